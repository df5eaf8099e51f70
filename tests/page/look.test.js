// The page with what is hostile, what is much, and for whom: each light, dark, and on a phone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SHOP, axe, launch, press, shot, shown as shownIn, until } from "./pipeline.js";

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const shown = (...args) => shownIn(browser, ...args);
const open = (page, id) => page.locator(`[data-node="${id}"]`).click();

const HOSTILE = `<img src=x onerror=alert(1)><script>alert(2)</script>`;
test("what items and programs say is text, and an item of 1 MiB is shortened", () => shown(`
[stages.feed]
use = "repeat"
with = { text = '${HOSTILE}' }
sleep = "20ms"
output = "bad"
[stages.eat]
command = ["sh", "-c", 'read n; echo "$n" >&2; exit 1']
mode = "each"
input = "bad"
attempts = 1
when_failing = "dead-letter"
[stages.huge]
command = ["sh", "-c", 'while sleep 0.3; do head -c 1048576 /dev/zero | tr "\\\\0" x; echo; done']
output = "long"
[stages.sink]
command = ["sh", "-c", "head -c 100 >/dev/null; exit 1"]
mode = "each"
input = "long"
attempts = 1
when_failing = "dead-letter"
[queues.long]
max_item = "2MiB"
max_bytes = "64MiB"
`, async (page) => {
  await open(page, "queue/bad");
  await press(page, "Show items");
  await page.locator(".items li", { hasText: "<script>" }).first().waitFor();
  await open(page, "stage/eat");
  await page.locator(".log", { hasText: "<script>" }).waitFor();
  await page.getByRole("button", { name: /ead letters/ }).click();
  await page.getByRole("button", { name: /^Show .*of eat/ }).first().click();
  await page.locator(".letters pre", { hasText: "<script>" }).first().waitFor();
  await page.getByRole("button", { name: /^Show .*of sink/ }).first().click();
  await page.locator(".letters", { hasText: "1.0 MiB" }).first().waitFor();
  const longest = await page.evaluate(() => Math.max(...[...document.querySelectorAll("pre")].map((one) => one.textContent.length)));
  assert.ok(longest <= 4200, `${longest}`);
  assert.equal(await page.evaluate(() => document.querySelectorAll("img, #content script").length), 0);
}));

// What is no name for a file in a good mood.
const NAME = Buffer.concat([Buffer.from(`"'<script>alert(1)<\u2044script>\n`), Buffer.from([0xff, 0xfe]), Buffer.from(".toml")]);
test("the name of the pipeline file is text, whatever it is", () => shown(SHOP, async (page, pipeline) => {
  pipeline.edit(new URL(pipeline.base).host, "[stages.<b>]");
  await press(page, "Reload …");
  await page.locator("#panel pre", { hasText: "stages" }).waitFor();
  await page.locator("#notice", { hasText: "not used" }).waitFor();
  assert.equal(await page.evaluate(() => document.querySelectorAll("#content script, #content b + script").length), 0);
  const status = await page.evaluate(async () => (await (await fetch("/v1/status", { headers: { "x-mprun-key": localStorage.getItem("mprun-key") } })).json()).file);
  assert.ok(status.includes("<script>"), status);
}, { pipeline: { file: NAME, head: 'name = "shop"' } }));

test("200 stages are drawn and followed without a pause of the page", () => {
  const chains = Array.from({ length: 20 }, (_, c) => Array.from({ length: 10 }, (_, n) => `[stages.s${c}_${n}]\nuse = "${n === 0 ? "count" : n === 9 ? "discard" : "format"}"\n${n === 0 ? `sleep = "50ms"\n` : `input = "q${c}_${n - 1}"\n`}${n === 9 ? "" : `output = "q${c}_${n}"\n`}${n > 0 && n < 9 ? `with = { template = "{item}" }\n` : ""}`).join("")).join("");
  return shown(chains, async (page) => {
    await page.locator("[data-node='stage/s19_9']").waitFor({ state: "attached" });
    assert.equal(await page.locator(".sheet .stage").count(), 200);
    // What each of some seconds costs: the longest task, and the browser's whole work.
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    const spent = async () => (await session.send("Performance.getMetrics")).metrics.find((one) => one.name === "TaskDuration").value;
    const before = await spent();
    const longest = await page.evaluate(() => new Promise((done) => {
      let most = 0;
      new PerformanceObserver((list) => list.getEntries().forEach((entry) => { most = Math.max(most, entry.duration); })).observe({ entryTypes: ["longtask"] });
      setTimeout(() => done(most), 3500);
    }));
    const each = Math.round(((await spent()) - before) * 1000 / 3.5);
    const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
    process.stderr.write(`200 stages: ${each} ms of work a second, the longest task ${longest} ms, ${nodes} elements\n`);
    assert.ok(longest < 400, `a task of ${longest} ms`);
    assert.ok(nodes < 8000, `${nodes} elements`);
    await page.locator("#find").fill("s13_4");
    await page.keyboard.press("Enter");
    await page.locator("#panel h2", { hasText: "Stage s13_4" }).waitFor();
    // A part of a name is enough; what is nowhere is said.
    await page.locator("#find").fill("S14_");
    await page.keyboard.press("Enter");
    await page.locator("#panel h2", { hasText: "Stage s14_0" }).waitFor();
    await page.locator("#find").fill("zzz");
    await page.keyboard.press("Enter");
    await page.locator("#answer", { hasText: "zzz" }).waitFor();
    await shot(page, "page-200-stages.png");
  });
});

test("names that differ at their end can be told apart", () => {
  const name = (n) => `stage-number-of-a-long-chain-${n}`;
  const text = `[stages.${name(150)}]\nuse = "tick"\nwith = { every = "1s" }\noutput = "queue-number-of-a-long-chain-7"\n[stages.${name(151)}]\nuse = "discard"\ninput = "queue-number-of-a-long-chain-7"\n`;
  return shown(text, async (page) => {
    const node = page.getByRole("button", { name: `Stage ${name(150)}` });
    await node.waitFor();
    const [outer, end] = [await node.boundingBox(), await node.locator(".end").boundingBox()];
    assert.equal(await node.locator(".end").textContent(), "in-150");
    assert.ok(end.width > 10 && end.x + end.width <= outer.x + outer.width, JSON.stringify([outer, end]));
    assert.deepEqual(await axe(page), []);
  });
});

test("the keyboard does all, and axe finds nothing: light, dark, on a phone", async () => {
  for (const [colorScheme, width, height] of [["light", 1280, 800], ["dark", 1280, 800], ["light", 390, 844]]) {
    await shown(SHOP, async (page, pipeline) => {
      await until("a dead letter", () => pipeline.status().letters.letters > 0);
      await page.waitForTimeout(1500);
      assert.deepEqual(await axe(page), [], `${colorScheme} ${width}`);
      await shot(page, `whole-${width < 500 ? "phone" : colorScheme}.png`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no sideways scrolling");
      await page.locator("[data-node='stage/check']").focus();
      await page.keyboard.press("Enter");
      await page.locator("#panel .events").waitFor();
      assert.deepEqual(await axe(page), [], `${colorScheme} ${width}, a stage`);
      await shot(page, `whole-${width < 500 ? "phone" : colorScheme}-stage.png`);
      await page.keyboard.press("Escape");
      assert.equal(await page.evaluate(() => document.activeElement.dataset.node), "stage/check");
      await page.keyboard.press("/");
      assert.equal(await page.evaluate(() => document.activeElement.id), "find");
      for (const id of ["queue/orders"]) {
        await open(page, id);
        await page.getByText("It adds up.").waitFor();
        assert.deepEqual(await axe(page), [], `${colorScheme} ${width}, ${id}`);
      }
      await page.getByRole("button", { name: /dead letter/ }).click();
      await page.getByRole("button", { name: /^Show / }).first().click();
      await page.locator(".letters pre").first().waitFor();
      assert.deepEqual(await axe(page), [], `${colorScheme} ${width}, dead letters`);
      await press(page, "Reload …");
      await page.getByText("nothing to do").waitFor();
      assert.deepEqual(await axe(page), [], `${colorScheme} ${width}, a reload`);
      await page.keyboard.press("Escape");
      process.kill(pipeline.child.pid, "SIGSTOP");
      await page.getByRole("alert").waitFor().finally(() => process.kill(pipeline.child.pid, "SIGCONT"));
      assert.deepEqual(await axe(page), [], `${colorScheme} ${width}, no answer`);
    }, { colorScheme, viewport: { width, height } });
  }
});
