// A running pipeline in a folder of its own, and a browser that has opened its page.
import { chromium } from "playwright-core";
import { execFileSync, spawn } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const MPRUN = process.env.MPRUN_TEST_BINARY ?? path.resolve("../../target/debug/mprun");
const AXE = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const LIMIT = 30_000;

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
  constructor(text) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "mprun-page-"));
    this.file = path.join(this.folder, "shop.toml");
    this.env = { ...process.env, XDG_RUNTIME_DIR: path.join(this.folder, "run"), XDG_STATE_HOME: path.join(this.folder, "state") };
    for (const name of ["RUNTIME_DIRECTORY", "STATE_DIRECTORY", "JOURNAL_STREAM"]) delete this.env[name];
    this.text = text;
    this.edit("127.0.0.1:0", text);
  }

  edit(listen, text) {
    fs.writeFileSync(`${this.file}.new`, `[control]\nlisten = "${listen}"\n${text}`);
    fs.renameSync(`${this.file}.new`, this.file);
  }

  log() {
    return fs.readFileSync(path.join(this.folder, "log"), "utf8");
  }

  async start() {
    fs.writeFileSync(path.join(this.folder, "log"), "");
    const log = fs.openSync(path.join(this.folder, "log"), "a");
    this.child = spawn(MPRUN, ["run", this.file], { env: this.env, cwd: this.folder, stdio: ["ignore", "ignore", log] });
    fs.closeSync(log);
    await until("the pipeline to be up", () => this.log().includes("up after"));
    const base = /control over TCP on (http:\/\/[^/]+)/.exec(this.log())[1];
    // The next start has the same address: the page is to come back by itself.
    this.base = base;
    return this;
  }

  tell(...args) {
    return execFileSync(MPRUN, args, { env: this.env, cwd: this.folder, encoding: "utf8" });
  }

  status() {
    return JSON.parse(this.tell("status", "--json"));
  }

  stage(name) {
    return this.status().stages.find((stage) => stage.name === name);
  }

  async kill() {
    const ended = new Promise((done) => this.child.once("exit", done));
    this.child.kill("SIGKILL");
    await ended;
  }

  async end() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    await until("the processes to be gone", () => {
      const found = fs.readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
        try { return fs.readlinkSync(`/proc/${pid}/cwd`) === this.folder; } catch { return false; }
      });
      return !found.length;
    });
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export const launch = () => chromium.launch({ executablePath: process.env.MPRUN_TEST_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

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
  await page.goto(pipeline.tell("open", "--print", ...args).trim());
  await page.waitForURL(`${pipeline.base}/`);
  await page.locator("#state", { hasText: "up " }).waitFor();
  return page;
}

// What axe finds. It runs in a world of its own, where the page's policy does not hold.
export async function axe(page) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  await session.send("Runtime.evaluate", { expression: AXE, contextId });
  const { result } = await session.send("Runtime.evaluate", { expression: "axe.run().then((found) => JSON.stringify(found.violations.map((one) => [one.id, one.help, ...one.nodes.slice(0, 3).map((node) => node.html)])))", contextId, awaitPromise: true, returnByValue: true });
  return JSON.parse(result.value);
}
