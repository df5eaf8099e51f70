// A running pipeline in a folder of its own, and a browser that has opened its page.
import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

export const MPRUN = process.env.MPRUN_TEST_BINARY ?? path.resolve("../../target/debug/mprun");
const AXE = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const LIMIT = 30_000;
// A small pipeline, for what is not about pipelines.
export const TICK = `
[stages.tick]
use = "tick"
with = { every = "20ms" }
output = "ticks"
[stages.end]
use = "discard"
input = "ticks"
`;

// A line of three stages.
export const FLOW = `
[stages.make]
use = "count"
sleep = "10ms"
output = "made"
[stages.pass]
use = "format"
with = { template = "{item}" }
input = "made"
output = "passed"
[stages.end]
use = "discard"
input = "passed"
`;

// One with most that a page can show.
export const SHOP = `
[stages.orders]
use = "count"
sleep = "8ms"
output = "orders"
[stages.check]
command = ["sh", "-c", 'while read n; do case $n in *77) echo "no article $n" >&2; exit 3;; esac; sleep 0.02; echo $n; done']
mode = "reply"
input = "orders"
output = "checked"
processes = 2
attempts = 1
[stages.enrich]
use = "format"
with = { template = "{item}" }
input = "checked"
output = ["paid", "mails"]
[stages.book]
use = "discard"
input = "paid"
[stages.mail]
use = "discard"
input = "mails"
[stages.web]
command = ["sleep", "1000"]
[queues.orders]
capacity = 256
`;

export const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

// As when another tab is in front, or this one again.
export const hide = (page, hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}, hidden);

export async function until(what, look) {
  const end = Date.now() + LIMIT;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export class Pipeline {
  // `place`: the runtime folder and the state of another pipeline, of which this one is a neighbour. `file`: a name, or bytes. `head`: keys before all tables.
  constructor(text, { file = "shop.toml", place, listen = "127.0.0.1:0", head = "" } = {}) {
    this.head = head;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "mprun-page-"));
    this.file = Buffer.concat([Buffer.from(`${this.folder}/`), Buffer.from(file)]);
    this.env = place ? place.env : { ...process.env, XDG_RUNTIME_DIR: path.join(this.folder, "run"), XDG_STATE_HOME: path.join(this.folder, "state") };
    for (const name of ["RUNTIME_DIRECTORY", "STATE_DIRECTORY", "JOURNAL_STREAM"]) delete this.env[name];
    this.text = text;
    this.edit(listen, text);
  }

  edit(listen, text) {
    const fresh = path.join(this.folder, "new");
    fs.writeFileSync(fresh, `${this.head}\n${listen ? `[control]\nlisten = "${listen}"\n` : ""}${text}`);
    fs.renameSync(fresh, this.file);
  }

  log() {
    return fs.readFileSync(path.join(this.folder, "log"), "utf8");
  }

  async start() {
    fs.writeFileSync(path.join(this.folder, "log"), "");
    const log = fs.openSync(path.join(this.folder, "log"), "a");
    // A shell hands on a name that is no UTF-8.
    const octal = `'${[...this.file].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")}x'`;
    const script = `name=$(printf ${octal}); exec "$0" run "\${name%x}"`;
    this.child = spawn("sh", ["-c", script, MPRUN], { env: this.env, cwd: this.folder, stdio: ["ignore", "ignore", log] });
    fs.closeSync(log);
    await until("the pipeline to be up", () => {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.log()}`);
      return this.log().includes("up after");
    });
    // The next start has the same address: the page is to come back by itself.
    this.base = /control over TCP on (http:\/\/[^/]+)/.exec(this.log())?.[1];
    return this;
  }

  tell(...args) {
    return execFileSync(MPRUN, args, { env: this.env, cwd: this.folder, encoding: "utf8" });
  }

  // Without waiting for the end of the command.
  begin(...args) {
    const child = spawn(MPRUN, args, { env: this.env, cwd: this.folder, stdio: "ignore" });
    return new Promise((done) => child.once("exit", done));
  }

  status() {
    return JSON.parse(this.tell("status", "--json", ...(this.name ? [this.name] : [])));
  }

  stage(name) {
    return this.status().stages.find((stage) => stage.name === name);
  }

  // Connections to the page's address.
  connections() {
    const port = Number(new URL(this.base).port).toString(16).toUpperCase().padStart(4, "0");
    const lines = fs.readFileSync(`/proc/${this.child.pid}/net/tcp`, "utf8").split("\n").map((line) => line.trim().split(/\s+/));
    return lines.filter(([, local, , state]) => local?.endsWith(`:${port}`) && state === "01").length;
  }

  async kill() {
    const ended = new Promise((done) => this.child.once("exit", done));
    this.child.kill("SIGKILL");
    await ended;
  }

  async end() {
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    await until("the processes to be gone", () => {
      const found = fs.readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
        try { return fs.readlinkSync(`/proc/${pid}/cwd`) === this.folder; } catch { return false; }
      });
      return !found.length;
    });
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export const launch = (...args) => chromium.launch({ executablePath: process.env.MPRUN_TEST_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage", ...args] });

// A fresh browser profile that has followed a link. What the page reports as an error, or its policy blocks, fails the test.
export async function visit(browser, pipeline, { args = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, bypassCSP: false, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => {
    // Requests that fail while the pipeline is gone are meant to.
    if (message.type() === "error" && !message.text().includes("Failed to load resource")) page.faults.push(message.text());
  });
  page.on("dialog", (dialog) => page.faults.push(`dialog: ${dialog.message()}`));
  // What is not there must not be shown as a word of the language.
  await page.addInitScript(() => new MutationObserver((changes) => {
    const nodes = changes.flatMap(({ target, addedNodes }) => [...addedNodes, target].filter((node) => node.nodeType !== Node.DOCUMENT_NODE && !node.localName?.match(/^(script|body|html|head|main|aside)$/)));
    const found = nodes.map((node) => node.textContent).find((text) => /\b(null|undefined|NaN|object Object)\b/.test(text));
    if (found) console.error(`a missing value is shown: ${found}`);
  }).observe(document, { childList: true, subtree: true, characterData: true }));
  const base = args.includes("--base") ? args[args.indexOf("--base") + 1] : pipeline.base;
  await page.goto(pipeline.tell("open", "--print", ...(pipeline.name ? [pipeline.name] : []), ...args).trim());
  await page.waitForURL(`${base}/`);
  await page.locator("#state", { hasText: "up " }).waitFor();
  return page;
}

// Uses a page of a running pipeline, which is ended whatever happens.
export async function shown(browser, text, use, { pipeline: place, ...options } = {}) {
  const pipeline = new Pipeline(text, place);
  let page;
  try {
    await pipeline.start();
    page = await visit(browser, pipeline, options);
    await use(page, pipeline);
    assert.deepEqual(page.faults, []);
  } finally {
    await page?.context().close();
    await pipeline.end();
  }
}

export const shot = (page, name) => process.env.MPRUN_SCREENSHOTS && page.screenshot({ path: path.join(process.env.MPRUN_SCREENSHOTS, name) });

// What is wider than its place without a sign of that, or below its box in the graph, and so can't be read whole.
export const cut = (page) => page.evaluate(() => [
  ...[...document.querySelectorAll(".node.stage :is(.label, .badge, .figures, .marks)")].filter((one) => one.checkVisibility() && one.getBoundingClientRect().bottom > one.closest(".node").getBoundingClientRect().bottom),
  ...[document.documentElement, ...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && !one.matches(".spoken, .node") && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline" && getComputedStyle(one).textOverflow !== "ellipsis" && (one === document.documentElement || getComputedStyle(one).overflowX !== "visible"))]
  .map((one) => `${one.localName}#${one.id}.${one.className} ${one.textContent.slice(0, 60)}`));

// What axe finds. It runs in a world of its own, where the page's policy does not hold.
export async function axe(page) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  await session.send("Runtime.evaluate", { expression: AXE, contextId });
  const { result } = await session.send("Runtime.evaluate", { expression: "axe.run().then((found) => JSON.stringify(found.violations.map((one) => [one.id, one.help, ...one.nodes.slice(0, 3).map((node) => node.html)])))", contextId, awaitPromise: true, returnByValue: true });
  return JSON.parse(result.value);
}

// One that the system has given away, and nobody has.
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}
