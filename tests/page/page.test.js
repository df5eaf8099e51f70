// The page in a real Chromium, against running pipelines.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SHOP, hide, launch, press, shot, shown as shownIn, until } from "./pipeline.js";

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const shown = (...args) => shownIn(browser, ...args);
const open = (page, id) => page.locator(`[data-node="${id}"]`).click();

test("each button of a stage does what it says", () => shown(SHOP, async (page, pipeline) => {
  await open(page, "stage/check");
  const is = (what, look) => until(what, () => look(pipeline.stage("check")));
  await press(page, "One worker more");
  await is("three workers", (stage) => stage.processes === 3);
  await page.getByRole("status").filter({ hasText: "processes 2 -> 3" }).waitFor();
  await press(page, "One worker fewer");
  await is("two workers", (stage) => stage.processes === 2);
  await page.locator("#panel").getByRole("button", { name: "Pause" }).click();
  await is("a pause", (stage) => stage.paused);
  await page.locator("[data-node='stage/check']", { hasText: "paused" }).waitFor();
  await page.locator("#panel").getByRole("button", { name: "Resume" }).click();
  await is("no pause", (stage) => !stage.paused);
  await press(page, "Restart");
  await is("a restart", (stage) => stage.restarts.requested > 0);
  await press(page, "Stop");
  await is("a stop", (stage) => stage.fate === "stopped");
  await page.locator("[data-node='stage/check']", { hasText: "stopped" }).waitFor();
  await press(page, "Start");
  await is("a start", (stage) => stage.fate === "wanted" && stage.running === 2);
  // The whole pipeline.
  await page.locator("header").getByRole("button", { name: "Pause" }).click();
  await until("all paused", () => pipeline.status().paused);
  await page.locator("header").getByRole("button", { name: "Resume" }).click();
  await until("all resumed", () => !pipeline.status().paused);
}));

test("a stage shows its rates, its time, what happened with last words, and its log", () => shown(SHOP.replace("reply", "stream"), async (page) => {
  await open(page, "stage/check");
  await page.locator("#panel .events", { hasText: "no article" }).first().waitFor();
  await page.locator(".legend", { hasText: "% at work" }).waitFor();
  await page.locator(".log", { hasText: "no article" }).waitFor();
  await page.locator("figcaption", { hasText: "done" }).waitFor();
  await until("a bottleneck in words", async () => (await page.locator("#bottleneck").textContent()).includes("bottleneck"));
  await shot(page, "page-stage.png");
}));

test("a stage is called what `mprun status` calls it: one that fails is a fault, one that waits for its time is none", () => shown(`
[stages.broken]
command = ["sh", "-c", "echo no database >&2; exit 1"]
[stages.nightly]
command = ["true"]
schedule = "30 4 1 1 *"
[stages.web]
command = ["sleep", "1000"]
`, async (page, pipeline) => {
  const box = (name) => page.getByRole("button", { name: `Service ${name}` });
  await box("nightly").filter({ hasText: "scheduled" }).waitFor();
  await box("broken").filter({ hasText: "failing" }).waitFor();
  await page.locator("#state", { hasText: "1 stage failing" }).waitFor();
  await until("the page to have no more workers missing than fail", async () => ["2", "1 of 2"].includes(await page.locator("#summary dd").first().textContent()));
  assert.match(pipeline.tell("status"), /nightly.*scheduled/);
  assert.match(pipeline.tell("status"), /broken.*failing/);
  // Nothing is said of stages and workers where there are services alone.
  assert.equal(await page.locator("#summary dt").first().textContent(), "processes");
  await box("broken").click();
  await page.locator("#panel h2", { hasText: /^Service broken$/ }).waitFor();
  await page.locator("#panel .lead", { hasText: /^failing: the last process failed, starts again in / }).waitFor();
  await page.locator("#panel caption", { hasText: /^Processes$/ }).waitFor();
  await page.getByRole("button", { name: "One process more" }).waitFor();
  pipeline.edit(new URL(pipeline.base).host, "[stages.web]\ncommand = [\"sleep\", \"1000\"]\n");
  await page.locator("#panel .lead", { hasText: "This service is not in the pipeline any more." }).waitFor();
}));

test("a stage that is failing is the limit, and not one that waits for items", () => shown(`
[stages.src]
use = "count"
rate = "20/s"
output = "in"
[stages.f]
command = ["sh", "-c", "exit 9"]
mode = "each"
attempts = 3
input = "in"
output = "out"
[stages.end]
use = "discard"
input = "out"
`, async (page) => {
  await page.locator("#bottleneck", { hasText: /^f is the bottleneck: it is failing, and / }).waitFor();
  await page.locator("[data-node='stage/f']", { hasText: "bottleneck" }).waitFor();
  assert.doesNotMatch(await page.locator("[data-node='stage/src']").textContent(), /bottleneck/);
  await open(page, "stage/f");
  await page.locator("#panel .lead", { hasText: /^failing/ }).waitFor();
  assert.equal(await page.locator("#panel .legend").count(), 0);
}));

test("a queue shows its ledger, the age of its oldest item, and items", () => shown(SHOP, async (page) => {
  await open(page, "queue/orders");
  await page.getByText("It adds up.").waitFor();
  await page.locator("#panel .lead", { hasText: "the oldest waits" }).waitFor();
  // Numbers take no bytes of a queue; lines of text do.
  assert.match(await page.locator("#panel .lead").textContent(), /^\d+ of 256 items · /);
  await press(page, "Show items");
  await page.locator(".items li").nth(3).waitFor();
  await page.locator(".items li .hint", { hasText: /waited (under |over )?[\d.]+ s/ }).first().waitFor();
  await shot(page, "page-queue.png");
  await press(page, "Stop");
  await press(page, "Close details");
  assert.equal(await page.locator("#panel").isVisible(), false);
}));

test("dead letters are grouped, shown, put back, and dropped only after a question", () => shown(SHOP, async (page, pipeline) => {
  const letters = () => pipeline.status().letters.letters;
  await until("two dead letters", () => letters() >= 2);
  pipeline.tell("pause", "orders");
  await page.getByRole("button", { name: "dead letters" }).click();
  await page.getByRole("button", { name: /^Show / }).first().click();
  await page.locator(".letters pre", { hasText: "77" }).first().waitFor();
  await shot(page, "page-dead-letters.png");
  const put = pipeline.status().queues.find((queue) => queue.name === "orders").put;
  await page.getByRole("button", { name: /^Retry / }).first().click();
  await page.getByRole("status").filter({ hasText: "put back" }).waitFor();
  assert.ok(pipeline.status().queues.find((queue) => queue.name === "orders").put > put);
  // Among good items they fail once more.
  pipeline.tell("resume", "orders");
  await until("letters again", () => letters() > 0);
  pipeline.tell("pause", "orders", "--wait");
  await page.getByRole("button", { name: /^Drop / }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.ok(letters() > 0, "nothing is dropped without a yes");
  await until("none to be left", async () => {
    const drop = page.getByRole("button", { name: /^Drop / }).first();
    if (await drop.isVisible()) {
      await drop.click();
      await page.getByRole("dialog").getByRole("button", { name: "Yes" }).click();
    }
    await page.waitForTimeout(300);
    return letters() === 0;
  });
}));

// Many of its items fail, also when they are put back.
const FAILS = SHOP.replace("*77)", "*7)");

test("a retry puts back each letter that was there once, though all fail again", () => shown(FAILS, async (page, pipeline) => {
  const letters = () => pipeline.status().letters.letters;
  await until("some letters", () => letters() >= 10);
  const asked = [];
  page.on("request", (request) => request.url().endsWith("/v1/dead/retry") && asked.push(...request.postDataJSON().keys));
  await page.getByRole("button", { name: "dead letters" }).click();
  await page.getByRole("button", { name: /^Retry / }).first().click();
  const said = page.getByRole("status").filter({ hasText: /^\d+ put back$/ });
  await said.waitFor();
  const count = asked.length;
  assert.equal(await said.textContent(), `${count} put back`);
  await until("letters again", () => letters() >= 10);
  assert.equal(asked.length, count, "no letter is put back again");
  assert.equal(new Set(asked).size, count);
}));

test("a drop takes the letters that were there at the question, and none that came after it", () => shown(FAILS, async (page, pipeline) => {
  const letters = () => pipeline.status().letters.letters;
  await until("some letters", () => letters() >= 5);
  await page.getByRole("button", { name: "dead letters" }).click();
  const sent = page.waitForRequest((request) => request.url().endsWith("/v1/dead/drop"));
  await page.getByRole("button", { name: /^Drop / }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  const [, asked] = /Drop (\d+) letters? of check/.exec(await dialog.textContent());
  const before = letters();
  await until("more letters", () => letters() > before + 3);
  await dialog.getByRole("button", { name: "Yes" }).click();
  assert.equal((await sent).postDataJSON().keys.length, Number(asked));
  await page.getByRole("status").filter({ hasText: `${asked} dropped` }).waitFor();
  assert.ok(letters() > 3);
}));

test("a drop says how many letters were there, though another has dropped them at the question", () => shown(FAILS, async (page, pipeline) => {
  await until("some letters", () => pipeline.status().letters.letters >= 3);
  await page.getByRole("button", { name: "dead letters" }).click();
  await page.getByRole("button", { name: /^Drop / }).first().click();
  await page.getByRole("dialog").waitFor();
  pipeline.tell("dead", "drop", pipeline.file.toString(), "--all");
  await page.getByRole("dialog").getByRole("button", { name: "Yes" }).click();
  await page.getByRole("status").filter({ hasText: /^0 dropped; \d+ were not there any more$/ }).waitFor();
}));

test("a letter that is read stays where it is while others come", () => shown(FAILS.replace('echo "no article $n" >&2', 'for i in $(seq 19); do echo "line $i of what was wrong with $n" >&2; done'), async (page, pipeline) => {
  await until("a letter", () => pipeline.status().letters.letters > 0);
  await page.getByRole("button", { name: "dead letters" }).click();
  await page.getByRole("button", { name: /^Show / }).first().click();
  const words = page.locator(".letters .words").first();
  await words.evaluate((one) => {
    one.focus();
    one.scrollTop = 60;
    one.id = "before";
  });
  await page.locator("#before").waitFor({ state: "detached" });
  assert.deepEqual(await words.evaluate((one) => [one === document.activeElement, one.scrollTop]), [true, 60]);
}));

test("the way back leads over what was selected before, and the address to what it says", () => shown(SHOP, async (page) => {
  const panel = (text) => page.locator("#panel h2", { hasText: text }).waitFor();
  await open(page, "stage/check");
  await open(page, "queue/orders");
  await panel("Queue orders");
  await page.goBack();
  await panel("Stage check");
  await page.goForward();
  await panel("Queue orders");
  await page.evaluate(() => { location.hash = "#stage/book"; });
  await panel("Stage book");
  for (let n = 0; n < 3; n++) await page.goBack();
  await page.locator("#panel").waitFor({ state: "hidden" });
  assert.equal(new URL(page.url()).hash, "");
}));

test("text that is selected stays while the page goes on", () => shown(SHOP, async (page, pipeline) => {
  await open(page, "stage/check");
  await page.locator("#panel table td").nth(1).waitFor();
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelectorAll("#panel table td")[1]));
  const pid = await page.evaluate(() => getSelection().toString().trim());
  assert.equal(pid, String(pipeline.stage("check").workers[0].pid));
  const before = await page.locator("#state").textContent();
  await until("the next second", async () => (await page.locator("#state").textContent()) !== before);
  assert.equal(await page.evaluate(() => getSelection().toString().trim()), pid);
}));

test("a reload shows its plan, and a bad file its faults, before anything is applied", () => shown(SHOP, async (page, pipeline) => {
  const port = new URL(pipeline.base).host;
  pipeline.tell("scale", "book=2");
  await press(page, "Reload …");
  await page.locator(".steps", { hasText: "processes: 2 -> 1" }).waitFor();
  assert.equal(pipeline.stage("book").processes, 2, "only a plan");
  await press(page, "Apply");
  await until("the reload", () => pipeline.stage("book").processes === 1);
  await page.getByText("nothing to do").waitFor();
  pipeline.edit(port, SHOP.replace("discard", "<b>discrad</b>"));
  await press(page, "Look again");
  await page.getByText("The file can't be used:").waitFor();
  await page.locator("#panel pre", { hasText: "<b>discrad</b>" }).waitFor();
  await page.locator("#notice", { hasText: "not used" }).waitFor();
}));

test("after kill -9 the page says that the pipeline is gone, and comes back by itself", () => shown(SHOP, async (page, pipeline) => {
  // A worker first: the page shows the restart.
  await open(page, "stage/enrich");
  process.kill(pipeline.stage("enrich").workers[0].pid, "SIGKILL");
  await page.locator("#panel .events", { hasText: "was killed by SIGKILL" }).waitFor();
  await page.locator("#lately", { hasText: "enrich[0] ended" }).or(page.locator("#lately", { hasText: "was killed by SIGKILL" })).first().waitFor();
  await pipeline.kill();
  await page.getByRole("alert").filter({ hasText: "comes back by itself" }).waitFor();
  await shot(page, "page-gone.png");
  pipeline.edit(new URL(pipeline.base).host, SHOP);
  await pipeline.start();
  await page.getByRole("alert").waitFor({ state: "hidden" });
  await page.locator("#state", { hasText: "running" }).waitFor();
}));

test("the page can be loaded again in the middle of an upgrade", () => shown(SHOP, async (page, pipeline) => {
  await open(page, "stage/check");
  let upgrades = 0;
  // An upgrade may be over before the page is there once: then there is another one.
  await until("a load within an upgrade, from its beginning to its end", async () => {
    let isOver = false;
    const upgrade = pipeline.begin("upgrade", "--wait").finally(() => { isOver = true; });
    let within = 0;
    do {
      await page.reload();
      within += isOver ? 0 : 1;
    } while (!isOver);
    assert.equal(await upgrade, 0);
    upgrades += 1;
    return within > 0;
  });
  assert.equal(pipeline.status().upgrades, upgrades);
  await page.locator("#panel h2", { hasText: "Stage check" }).waitFor();
  await page.locator("#state", { hasText: "up " }).waitFor();
  await page.locator("[data-node='stage/check']", { hasText: "/s" }).waitFor();
}));

test("one stream is enough for all tabs of a browser, which has six connections", () => shown(SHOP, async (page, pipeline) => {
  const tabs = [page];
  for (let n = 0; n < 7; n += 1) {
    const tab = await page.context().newPage();
    await tab.goto(`${pipeline.base}/`);
    tabs.push(tab);
  }
  // Items are a stream for each tab, as long as it is looked at.
  for (const tab of tabs) {
    await open(tab, "queue/orders");
    await press(tab, "Show items");
    await tab.locator(".items li").first().waitFor();
    await hide(tab, true);
  }
  for (const tab of tabs) await hide(tab, false).then(() => tab.locator(".items li").nth(2).waitFor()).then(() => hide(tab, true));
  for (const tab of tabs) await press(tab, "Close details").then(() => hide(tab, false));
  for (const tab of tabs) {
    await tab.bringToFront();
    await tab.locator("#state", { hasText: "running" }).waitFor();
    const before = await tab.locator("#state").textContent();
    await until("the next second", async () => (await tab.locator("#state").textContent()) !== before);
  }
  await tabs[0].bringToFront();
  await open(tabs[0], "stage/check");
  await tabs[0].locator("#panel .legend").waitFor();
  await shot(tabs[0], "page.png");
  await tabs[0].emulateMedia({ colorScheme: "dark" });
  await shot(tabs[0], "page-dark.png");
  await tabs.at(-1).locator("header").getByRole("button", { name: "Pause" }).click();
  await tabs[0].bringToFront();
  await tabs[0].locator("#state", { hasText: "paused" }).waitFor();
}));

test("a link is good once, and without a session a page says how to open it and nothing else", () => shown(SHOP, async (page, pipeline) => {
  const other = await (await browser.newContext()).newPage();
  await other.goto(`${pipeline.base}/`);
  assert.match(await other.locator("main").textContent(), /mprun open/);
  assert.equal((await other.request.get(`${pipeline.base}/page/main.js`)).status(), 401);
  const link = pipeline.tell("open", "--print").trim();
  await other.goto(link);
  await other.locator("#state", { hasText: "up " }).waitFor();
  assert.ok(!other.url().includes("#"), "the code is out of the address");
  const cookies = await other.context().cookies();
  assert.deepEqual(cookies.map((cookie) => [cookie.httpOnly, cookie.sameSite]), [[true, "Strict"]]);
  // The cookie alone, as another port of the host would get it, reads nothing.
  assert.equal((await other.request.get(`${pipeline.base}/v1/status`)).status(), 401);
  await other.context().close();
  const late = await (await browser.newContext()).newPage();
  await late.goto(link);
  await late.locator("#said", { hasText: "was used" }).waitFor();
  await late.context().close();
}));

test("for looking only, nothing can be pressed that changes anything", () => shown(SHOP, async (page) => {
  await open(page, "stage/check");
  for (const name of ["Restart", "Stop", "One worker more"]) {
    assert.ok(await page.getByRole("button", { name, exact: true }).isDisabled(), name);
  }
  assert.ok(await page.locator("header").getByRole("button", { name: "Pause" }).isDisabled());
  const code = await page.evaluate(async () => (await fetch("/v1/pause", { method: "POST", body: "{}", headers: { "x-mprun-key": localStorage.getItem("mprun-key") } })).status);
  assert.equal(code, 403);
  await page.evaluate(() => { location.hash = "#reload/"; });
  await page.locator("#panel", { hasText: "This page is for looking only." }).waitFor();
  assert.equal(await page.getByText("can't be used").count(), 0);
}, { args: ["--read-only"] }));
