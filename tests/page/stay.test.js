// A page that stays open: for long, without a connection, over a reload and the end of the run.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FLOW, axe, launch, shot, shown as shownIn, until } from "./pipeline.js";

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());
const shown = (...args) => shownIn(browser, ...args);
const alert = (page) => page.getByRole("alert");

// The heap in use and the DOM's size, after what can go has gone.
async function size(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  await session.detach();
  return { heap: usedSize, nodes };
}

test("a page that has had 10,000 events has not grown", { timeout: 120_000 }, () => shown(FLOW, async (page) => {
  const EACH = 2000;
  const asked = await page.evaluate(async () => (await fetch("/v1/status", { headers: { "x-mprun-key": localStorage.getItem("mprun-key") } })).json());
  let sent = 0;
  // The page reads the stream itself, and gets many seconds at once.
  await page.addInitScript(() => { delete window.SharedWorker; Math.random = () => 0; });
  await page.route("**/v1/events", (route) => {
    const events = Array.from({ length: EACH }, () => {
      sent += 1;
      const queues = asked.queues.map((queue) => ({ ...queue, put: sent * 90, done: sent * 90 - 40, waiting: 40 - (sent % 3), leased: sent % 3, delayed: 0, dropped: 0, dead: 0 }));
      const stages = asked.stages.map((stage) => ({ ...stage, restarts: sent % 500 ? stage.restarts : { killed: sent }, rate: { ...stage.rate, done: sent % 100, emitted: sent % 90 } }));
      return `event: snapshot\ndata: ${JSON.stringify({ ...asked, uptime: sent, queues, stages })}\n\n`;
    });
    const layout = JSON.stringify(LAYOUT);
    return route.fulfill({ contentType: "text/event-stream", body: `event: layout\ndata: ${layout}\n\n${events.join("")}` });
  });
  const LAYOUT = {
    length: 5, breadth: 0,
    stages: ["make", "pass", "end"].map((name, n) => ({ name, along: n * 2, across: 0 })),
    queues: ["made", "passed"].map((name, n) => ({ name, along: n * 2 + 1, across: 0 })),
    edges: [["make", "made", false], ["pass", "made", true], ["pass", "passed", false], ["end", "passed", true]].map(([stage, queue, reads]) => ({ stage, queue, reads, bends: [] })),
  };
  await page.reload();
  await page.locator("[data-node='queue/made']").click();
  const had = (count) => until(`${count} events`, () => sent > count);
  // Ten minutes of history are full.
  await had(2 * EACH);
  const early = await size(page);
  await had(5 * EACH);
  const late = await size(page);
  assert.ok(late.nodes <= early.nodes + 10, `${JSON.stringify([early, late])}`);
  assert.ok(late.heap < early.heap * 1.3 + 1e6, `${JSON.stringify([early, late])}`);
  process.stderr.write(`10,000 events: ${JSON.stringify([early, late])}\n`);
}));

test("a page shows the newest state whatever separators of lines are in a name, and with stages called as parts of the language", () => shown(FLOW, async (page, pipeline) => {
  const moves = async () => {
    const before = await page.locator("#state").textContent();
    await until("the next second", async () => (await page.locator("#state").textContent()) !== before);
  };
  await moves();
  const host = new URL(pipeline.base).host;
  pipeline.edit(host, FLOW.replace("stages.pass", "stages.constructor"));
  await page.locator("[data-node='stage/constructor']").click();
  await page.locator("#panel .legend").waitFor();
  await page.locator("#panel figcaption").waitFor();
  await moves();
}, { pipeline: { file: "shop\u2028of\u2029ann\u0085.toml" } }));

test("a pipeline that says nothing for some seconds is said to be gone, and is back when it speaks", () => shown(FLOW, async (page, pipeline) => {
  process.kill(pipeline.child.pid, "SIGSTOP");
  try {
    await alert(page).filter({ hasText: "comes back by itself" }).waitFor();
    assert.match(await page.title(), /^no answer: shop/);
    assert.deepEqual(await axe(page), []);
  } finally {
    process.kill(pipeline.child.pid, "SIGCONT");
  }
  await alert(page).waitFor({ state: "hidden" });
  await page.locator("#state", { hasText: "running" }).waitFor();
  assert.match(await page.title(), /^shop/);
}));

test("pages that lose the server come back at different moments, later with each failure, or when they are asked to", () => shown(FLOW, async (page) => {
  const delays = (failures) => page.evaluate(async (failures) => {
    const { delay } = await import("/page/stream.js");
    return Array.from({ length: 500 }, () => delay(failures));
  }, failures);
  for (const [failures, longest] of [[1, 2000], [2, 4000], [4, 16_000], [40, 16_000]]) {
    const found = await delays(failures);
    assert.ok(Math.min(...found) >= longest / 5 && Math.max(...found) <= longest, `${failures} failures`);
    // Of 500 clients, no tenth of the time has more than twice its share.
    const tenths = Array(10).fill(0);
    for (const one of found) tenths[Math.min(9, Math.floor((one / longest - 0.2) / 0.08))] += 1;
    assert.ok(Math.max(...tenths) < 100, `${failures} failures: ${tenths}`);
  }
  const tries = [];
  await page.addInitScript(() => { delete window.SharedWorker; Math.random = () => 0.5; });
  await page.route("**/v1/events", (route) => { tries.push(Date.now()); return route.abort(); });
  await page.reload();
  await page.locator("#gone").waitFor();
  await until("four tries", () => tries.length >= 4);
  const gaps = tries.slice(1).map((at, n) => at - tries[n]);
  assert.ok(gaps[1] > gaps[0] * 1.5 && gaps[2] > gaps[1] * 1.5, `${gaps}`);
  await page.locator("#next-try", { hasText: "The next try is in 10 seconds." }).waitFor();
  assert.deepEqual(await axe(page), []);
  await page.unroute("**/v1/events");
  const asked = Date.now();
  await page.getByRole("button", { name: "Try now" }).click();
  await page.locator("#gone").waitFor({ state: "hidden" });
  assert.ok(Date.now() - asked < 5000, "not before the next try");
}));

test("a run that ends is said to have ended, and its next one is shown", () => shown(FLOW.replace("10ms", "150ms").replace('use = "discard"', 'command = ["sleep", "0.3"]\nmode = "each"'), async (page, pipeline) => {
  const host = new URL(pipeline.base).host;
  await until("items that wait", () => pipeline.status().queues.some((queue) => queue.waiting > 4));
  pipeline.begin("drain");
  await page.locator("#state", { hasText: "draining" }).waitFor();
  await alert(page).filter({ hasText: "The run ended at" }).waitFor();
  await page.locator("#state", { hasText: "ended" }).waitFor();
  assert.deepEqual(await axe(page), []);
  await shot(page, "page-ended.png");
  pipeline.edit(host, FLOW);
  await pipeline.start();
  await alert(page).waitFor({ state: "hidden" });
  await page.locator("#state", { hasText: "running" }).waitFor();
}));

test("a reload while somebody looks: what is gone says so, what is new is there, and the focus stays", () => shown(FLOW, async (page, pipeline) => {
  const host = new URL(pipeline.base).host;
  await page.locator("[data-node='stage/pass']").click();
  await page.locator("#panel .legend").waitFor();
  await page.locator("[data-node='stage/end']").focus();
  pipeline.edit(host, FLOW.replace("stages.pass", "stages.copy"));
  await page.locator("[data-node='stage/copy']").waitFor();
  await page.locator("#panel .lead", { hasText: "not in the pipeline any more" }).waitFor();
  assert.equal(await page.locator("[data-node='stage/pass']").count(), 0);
  // Nothing is left to press, nor said to be at work.
  assert.equal(await page.locator("#panel").getByRole("button").count(), 1);
  assert.equal(await page.locator("#panel .legend").count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.node), "stage/end");
  await page.locator("[data-node='stage/copy']", { hasText: "/s" }).click();
  await page.locator("#panel h2", { hasText: "Stage copy" }).waitFor();
  await page.locator("#panel .legend").waitFor();
  // A queue whose items are watched goes, and comes back.
  await page.locator("[data-node='queue/passed']").click();
  await page.locator("#panel").getByRole("button", { name: "Show items" }).click();
  await page.locator(".items li").first().waitFor();
  pipeline.edit(host, FLOW.replaceAll("passed", "handed").replace("stages.pass", "stages.copy"));
  await page.locator("#panel .lead", { hasText: "This queue is not in the pipeline any more" }).waitFor();
  assert.equal(await page.locator("#panel").getByRole("button").count(), 1);
  pipeline.edit(host, FLOW);
  await page.locator("#panel", { hasText: "It adds up." }).waitFor();
  await page.locator("#panel").getByRole("button", { name: "Show items" }).click();
  await page.locator("[data-node='stage/pass']").click();
  await page.locator("#panel").getByRole("button", { name: "Restart" }).waitFor();
}));

test("by the keyboard alone a stage is found, paused, resumed and closed, and a reload is looked at", () => shown(FLOW, async (page, pipeline) => {
  const focused = () => page.evaluate(() => {
    const { dataset, id, textContent } = document.activeElement;
    return dataset.node ?? dataset.act ?? (id || textContent);
  });
  const tab = async (wanted) => {
    for (let n = 0; n < 40; n += 1) {
      await page.keyboard.press("Tab");
      if (await focused() === wanted) return;
    }
    assert.fail(`Tab does not reach ${wanted}`);
  };
  const order = [];
  await tab("stage/make");
  for (let n = 0; n < 5; n += 1) {
    order.push(await focused());
    await page.keyboard.press("Tab");
  }
  assert.deepEqual(order, ["stage/make", "queue/made", "stage/pass", "queue/passed", "stage/end"], "in the order of the flow");
  // The graph can be skipped: with no details, what comes behind it.
  await page.locator("#skip").focus();
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "behind");
  await page.keyboard.press("/");
  await page.keyboard.type("pass");
  await page.keyboard.press("Enter");
  await page.locator("#panel h2", { hasText: "Stage pass" }).waitFor();
  await tab("Pause");
  await page.keyboard.press("Space");
  await until("a pause", () => pipeline.stage("pass").paused);
  await page.locator("#panel").getByRole("button", { name: "Resume" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#panel").isVisible(), false);
  assert.equal(await focused(), "find");
  await tab("reload");
  await page.keyboard.press("Enter");
  await page.getByText("nothing to do").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "reload");
}));
