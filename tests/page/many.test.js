// Several pipelines, and several machines, on one page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Pipeline, TICK, axe, cut, freePort, launch, shot, shown, until, visit } from "./pipeline.js";

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

async function neighbour(text, options, listen) {
  const pipeline = new Pipeline(text, options);
  pipeline.edit(listen, text);
  pipeline.name = options.file.replace(".toml", "");
  return pipeline.start();
}

test("the other pipelines of a user are listed, with links to pages that want their own session", () => shown(browser, TICK, async (page, pipeline) => {
  pipeline.name = "shop";
  const mail = await neighbour(TICK, { file: "mail.toml", place: pipeline }, "127.0.0.1:0");
  const quiet = await neighbour(TICK, { file: "quiet.toml", place: pipeline }, "");
  try {
    const card = (name) => page.locator("#pipeline-list li", { hasText: name });
    await card("mail").filter({ hasText: "running" }).waitFor();
    await card("quiet").filter({ hasText: "no page" }).waitFor();
    assert.equal(await card("quiet").getByRole("link").count(), 0);
    assert.equal(await card("shop").count(), 0, "the page's own pipeline is no other");
    mail.tell("pause", "mail");
    await card("mail").filter({ hasText: "paused" }).waitFor();
    assert.deepEqual(await axe(page), []);
    await shot(page, "page-pipelines.png");
    // The session of one page is good for no other.
    await card("mail").getByRole("link").click();
    await page.locator("pre", { hasText: "mprun open" }).waitFor();
    assert.equal(new URL(page.url()).origin, mail.base);
    await page.goBack();
    await page.locator("#state", { hasText: "up " }).waitFor();
    const own = await visit(browser, mail);
    await own.locator("#pipeline-list li", { hasText: "shop" }).getByRole("link").waitFor();
    await own.context().close();
    // A token for looking is for one pipeline.
    const looking = await visit(browser, pipeline, { args: ["--read-only"] });
    const code = await looking.evaluate(async () => (await fetch("/v1/pipelines", { headers: { "x-mprun-key": localStorage.getItem("mprun-key") } })).status);
    assert.equal(code, 403);
    assert.equal(await looking.locator("#pipelines").isVisible(), false);
    await looking.context().close();
    // At the other end of a tunnel, the loopback is another machine's.
    const port = await freePort();
    const tunnel = net.createServer((here) => {
      const there = net.connect(new URL(pipeline.base).port, "127.0.0.1");
      here.pipe(there).pipe(here);
      for (const end of [here, there]) end.on("error", () => [here, there].forEach((one) => one.destroy()));
    }).listen(port, "127.0.0.1");
    const far = await visit(browser, pipeline, { args: ["--base", `http://localhost:${port}`] });
    await far.locator("#pipeline-list li", { hasText: "mail" }).filter({ hasText: "workers" }).waitFor();
    assert.equal(await far.locator("#pipeline-list a").count(), 0);
    await far.context().close();
    tunnel.close();
    await mail.kill();
    await card("mail").waitFor({ state: "detached" });
  } finally {
    await mail.end();
    await quiet.end();
  }
}));

class Redis {
  // `more`: settings.
  constructor(...more) {
    this.more = more;
  }

  async start() {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "mprun-page-redis-"));
    this.port ??= await freePort();
    const settings = ["--port", this.port, "--bind", "127.0.0.1", "--dir", this.folder, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", ...this.more];
    this.child = spawn("redis-server", settings.map(String), { stdio: "ignore" });
    await until("Redis", () => new Promise((done) => {
      const socket = net.connect(this.port, "127.0.0.1", () => { socket.destroy(); done(true); });
      socket.once("error", () => done(false));
    }));
    return this;
  }

  set(name, value) {
    const socket = net.connect(this.port, "127.0.0.1", () => socket.end(`CONFIG SET ${name} ${value}\r\n`));
    return new Promise((done) => socket.once("close", done).resume());
  }

  async stop() {
    const ended = new Promise((done) => this.child.once("exit", done));
    this.child.kill("SIGKILL");
    await ended;
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

const shared = (port) => `
[broker]
url = "redis://127.0.0.1:${port}"
[queues.jobs]
shared = true
[stages.make]
use = "count"
machines = "one"
sleep = "5ms"
output = "jobs"
[stages.work]
use = "discard"
input = "jobs"
sleep = "15ms"
`;

test("a run on two machines is on the page of each, and what the broker's absence means is said", async () => {
  const redis = await new Redis().start();
  const text = shared(redis.port);
  const other = new Pipeline(text);
  try {
    await other.start();
    await shown(browser, text, async (page) => {
      const machines = page.locator("#machines");
      await machines.getByText("on 2 machines").waitFor();
      await machines.getByText("(this one)").waitFor();
      // What runs on the other one is no worker that is missing here.
      await page.locator("[data-node='stage/make'] .badge", { hasText: "elsewhere" }).waitFor();
      assert.equal(await page.locator("#summary dd").first().textContent(), "1");
      await page.locator("#bottleneck", { hasText: /^On this machine: / }).waitFor();
      const queue = machines.getByRole("row").filter({ hasText: "jobs" }).filter({ hasText: "1024" });
      await until("items in the broker", async () => Number(await queue.getByRole("cell").nth(1).textContent()) > 20);
      await machines.getByRole("row").filter({ hasText: "2/2" }).filter({ hasText: "work" }).waitFor();
      assert.deepEqual(await axe(page), []);
      await shot(page, "page-machines.png");
      await page.setViewportSize({ width: 360, height: 740 });
      await page.waitForTimeout(300);
      assert.deepEqual(await cut(page), []);
      await shot(page, "page-machines-phone.png");
      await page.setViewportSize({ width: 1280, height: 800 });
      await page.locator("[data-node='queue/jobs']").click();
      await page.locator("#panel", { hasText: "On all machines:" }).waitFor();
      await other.kill();
      await machines.getByRole("row").filter({ hasText: "silent" }).waitFor();
      await page.locator("#state", { hasText: "1 machine silent" }).waitFor();
      await machines.getByText(/mprun forget \S+shop\.toml [0-9a-f]{8}$/).waitFor();
      await redis.stop();
      await machines.getByText("The broker does not answer").waitFor();
      await page.locator("#notice", { hasText: "can't be reached" }).waitFor();
      // What was known stays to be seen.
      assert.ok(await machines.getByText("(this one)").isVisible());
      await redis.start();
      await page.locator("#notice").waitFor({ state: "hidden" });
      await machines.getByText("The broker does not answer").waitFor({ state: "detached" });
    });
  } finally {
    await other.end();
    if (redis.child.exitCode === null && redis.child.signalCode === null) await redis.stop();
  }
});

test("dead letters of shared queues are counted, with the command that shows them", async () => {
  const redis = await new Redis().start();
  const work = `[stages.work]\ncommand = "read x; exit 1"\nmode = "each"\ninput = "jobs"\nattempts = 1\nwhen_failing = "dead-letter"\n`;
  const text = shared(redis.port).replace(/\[stages\.work\][^]*/, work);
  try {
    await shown(browser, text, async (page) => {
      await page.locator("#letters", { hasText: /^\d+ dead letters$/ }).waitFor();
      await page.locator("#letters").click();
      await page.locator("#panel", { hasText: "mprun dead list --shared /" }).waitFor();
    });
  } finally {
    await redis.stop();
  }
});

test("a broker that is full is in the first lines of the page, with what waits and what to do, until it has room", async () => {
  const redis = await new Redis("--maxmemory", "6mb").start();
  const lines = path.join(redis.folder, "lines");
  fs.writeFileSync(lines, `${"x".repeat(1000)}\n`.repeat(6000));
  const text = shared(redis.port).replace("shared = true", "shared = true\ncapacity = 1000000")
    .replace(`use = "count"`, `use = "lines"\nwith = { path = "${lines}", path_is_shared = true }`).replace(`sleep = "5ms"\n`, "");
  try {
    await shown(browser, text, async (page, pipeline) => {
      pipeline.tell("pause", "work");
      const notice = page.locator("#notice");
      await notice.filter({ hasText: /The broker is full for [\d.]+ s: what make has for it waits\. .* or raise maxmemory\./ }).waitFor();
      assert.deepEqual(await axe(page), []);
      await page.setViewportSize({ width: 360, height: 740 });
      assert.deepEqual(await cut(page), []);
      await redis.set("maxmemory", 0);
      await notice.waitFor({ state: "hidden" });
    });
  } finally {
    await redis.stop();
  }
});
