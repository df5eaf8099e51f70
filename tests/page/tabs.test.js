// Several tabs of a browser, which has six connections to a host, and tabs that are hidden.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { FLOW, hide, launch, shown as shownIn, until } from "./pipeline.js";

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());
const shown = (...args) => shownIn(browser, ...args);

async function crash(page) {
  const crashed = page.waitForEvent("crash");
  const session = await page.context().newCDPSession(page);
  session.send("Page.crash").catch(() => {});
  await crashed;
}

test("a tab behind others has the state in its title, and draws nothing", () => shown(FLOW, async (page, pipeline) => {
  await hide(page, true);
  pipeline.tell("pause");
  await until("the title", async () => (await page.title()).startsWith("paused: shop"));
  assert.match(await page.locator("#state").textContent(), /^running/);
  await hide(page, false);
  await page.locator("#state", { hasText: "paused" }).waitFor();
}));

for (const kind of ["SharedWorker", "no SharedWorker"]) {
  test(`a browser whose tabs are all hidden has no stream, asks for the state now and then, and follows again when it is looked at: ${kind}`, { timeout: 120_000 }, () => shown(FLOW, async (page, pipeline) => {
    if (kind !== "SharedWorker") {
      await page.addInitScript(() => { delete window.SharedWorker; });
      await page.reload();
      await page.locator("#state", { hasText: "running" }).waitFor();
    }
    assert.ok(pipeline.connections() >= 1);
    // A look at another tab ends nothing.
    await hide(page, true);
    await hide(page, false);
    await until("the next seconds", async () => /up [6-9]/.test(await page.locator("#state").textContent()));
    assert.ok(pipeline.connections() >= 1);
    const other = await page.context().newPage();
    await other.goto(`${pipeline.base}/`);
    await other.locator("#state", { hasText: "up " }).waitFor();
    await hide(page, true);
    // A tab that crashes says nothing.
    if (kind === "SharedWorker") await crash(other);
    else await hide(other, true);
    await until("no connection", () => pipeline.connections() === 0);
    if (kind === "SharedWorker") {
      pipeline.tell("pause");
      await until("the title", async () => (await page.title()).startsWith("paused: shop"));
      assert.match(await page.locator("#state").textContent(), /^running/, "nothing is drawn");
      pipeline.tell("resume");
    }
    await hide(page, false);
    const begun = Date.now();
    await page.locator("#state", { hasText: "running" }).waitFor();
    const before = await page.locator("#state").textContent();
    await until("the next second", async () => (await page.locator("#state").textContent()) !== before);
    assert.ok(Date.now() - begun < 6000, `${Date.now() - begun} ms`);
    assert.equal(await page.locator("#gone").isVisible(), false);
    // A server that ends while no tab is looked at.
    await hide(page, true);
    await pipeline.kill();
    await until("the title", async () => (await page.title()).startsWith("no answer: shop"));
  }));
}

test("a tab whose session has ended says so, and follows the session of a link that another tab has followed", () => shown(FLOW, async (page, pipeline) => {
  const host = new URL(pipeline.base).host;
  await page.locator("[data-node='stage/pass']").click();
  fs.rmSync(path.join(pipeline.folder, "state/mprun/shop/token"));
  pipeline.edit(host, FLOW);
  await pipeline.kill();
  await pipeline.start();
  await page.locator("#state", { hasText: "session ended" }).waitFor();
  await page.getByRole("alert").filter({ hasText: "Run `mprun open` where the pipeline runs" }).waitFor();
  assert.match(await page.title(), /^session ended: shop/);
  const other = await page.context().newPage();
  await other.goto(pipeline.tell("open", "--print").trim());
  await other.locator("#state", { hasText: "running" }).waitFor();
  await page.locator("#state", { hasText: "running" }).waitFor();
  assert.equal(await page.getByRole("alert").isVisible(), false);
  // What was looked at still is.
  await page.locator("#panel h2", { hasText: "Stage pass" }).waitFor();
}));

test("a tab that comes later has the rates of the time before it", () => shown(FLOW, async (page) => {
  const MANY = 4;
  await until("some points", async () => await page.locator("[data-node='stage/pass'] polyline").getAttribute("points").then((points) => points?.split(" ").length >= MANY));
  const other = await page.context().newPage();
  await other.goto(page.url());
  const points = other.locator("[data-node='stage/pass'] polyline[points]");
  await points.waitFor({ state: "attached" });
  assert.ok((await points.getAttribute("points")).split(" ").length >= MANY, await points.getAttribute("points"));
}));
