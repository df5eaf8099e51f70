// The page with what is hostile, what is much, and for whom: each light, dark, and on a phone.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { LIMIT, SHOP, TICK, axe, cut, launch, press, shot, shown as shownIn, until } from "./pipeline.js";

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const shown = (...args) => shownIn(browser, ...args);
const open = (page, id) => page.locator(`[data-node="${id}"]`).click();

// Boxes of the graph that stand in each other's way, or leave the sheet.
const clashes = (page) => page.evaluate(() => {
  const sheet = document.querySelector(".sheet").getBoundingClientRect();
  const boxes = [...document.querySelectorAll(".sheet .node")].map((node) => [node.dataset.node, node.getBoundingClientRect()]);
  const outside = boxes.filter(([, box]) => box.left < sheet.left || box.right > sheet.right + 1 || box.bottom > sheet.bottom + 1).map(([name]) => name);
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return [...outside, ...boxes.flatMap(([name, a], n) => boxes.slice(n + 1).filter(([, b]) => meet(a, b)).map(([other]) => `${name} ${other}`))];
});

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

// Bytes that are no UTF-8, a control character, a colour of a terminal, a letter that turns the direction of what follows.
test("an item of bytes is shown without what would act on a screen: in the queue, in the log, and as a dead letter", () => shown(`
[stages.raw]
command = ["sh", "-c", 'while sleep 0.05; do printf "\\377\\001\\033[31mred\\342\\200\\256live \\360\\237\\230\\200\\n"; done']
output = "raw"
[stages.spoil]
command = ["sh", "-c", 'read -r n; echo "$n" >&2; exit 1']
mode = "each"
input = "raw"
attempts = 1
when_failing = "dead-letter"
`, async (page) => {
  const risky = () => page.evaluate(() => document.querySelector("#content").textContent.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/u)?.[0]);
  await open(page, "queue/raw");
  await press(page, "Show items");
  await page.locator(".items li", { hasText: "😀" }).first().waitFor();
  assert.equal(await risky(), undefined);
  await open(page, "stage/spoil");
  await page.locator(".log", { hasText: "😀" }).waitFor();
  await page.locator("#panel .events", { hasText: "😀" }).or(page.locator("#panel .events", { hasText: "started" })).first().waitFor();
  assert.equal(await risky(), undefined);
  await page.getByRole("button", { name: /ead letters/ }).click();
  await page.getByRole("button", { name: /^Show .*of spoil/ }).first().click();
  await page.locator(".letters pre", { hasText: "\\u{202e}live 😀" }).first().waitFor();
  assert.equal(await risky(), undefined);
}));

test("the name of a program is text, and a fragment that is none of this page selects nothing", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "mprun-page-program-"));
  const program = path.join(folder, "<img src=x onerror=alert(1)>\"'&");
  fs.writeFileSync(program, "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
  await shown(TICK + `[stages.web]\ncommand = [${JSON.stringify(program)}]\n`, async (page, pipeline) => {
    await page.getByRole("button", { name: "Service web" }).click();
    await page.locator("#panel .lead", { hasText: "<img src=x" }).waitFor();
    for (const fragment of ["constructor/x", "__proto__/x", "toString", "%E0%A4%A", "stage/<img src=x onerror=alert(1)>", "stage/%3Cscript%3E", "/", "stage"]) {
      const other = await page.context().newPage();
      other.on("pageerror", (error) => page.faults.push(`${fragment}: ${error.message}`));
      await other.goto(`${pipeline.base}/#${fragment}`);
      await other.locator("#state", { hasText: "up " }).waitFor();
      assert.equal(await other.locator("#panel").isVisible(), false, fragment);
      await other.close();
    }
    assert.equal(await page.evaluate(() => document.querySelectorAll("img, #content script").length), 0);
    // A name that is nowhere.
    await page.goto(`${pipeline.base}/#stage/nowhere`);
    await page.reload();
    await page.locator("#panel .lead", { hasText: "not in the pipeline any more" }).waitFor();
  }).finally(() => fs.rmSync(folder, { recursive: true, force: true }));
});

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

const sizes = async (page, look) => {
  for (const [width, height] of [[1280, 800], [768, 800], [360, 740]]) {
    await page.setViewportSize({ width, height });
    // The page is drawn anew a moment after its window has changed.
    const limit = Date.now() + LIMIT;
    for (;;) {
      try {
        await look(width);
        break;
      } catch (error) {
        if (Date.now() > limit) throw error;
        await page.waitForTimeout(100);
      }
    }
  }
};

test("a chain of 200 stages is in rows that fit every window, and the way to a stage that fails is short", () => {
  const stage = (n) => `[stages.step-${n}]\n${n === 0 ? `use = "count"\nsleep = "50ms"\n` : `input = "queue-${n - 1}"\n`}${n === 199 ? "" : `output = "queue-${n}"\n`}${n === 150 ? `command = ["sh", "-c", "exit 1"]\n` : n === 199 ? `use = "discard"\n` : n > 0 ? `use = "format"\nwith = { template = "{item}" }\n` : ""}`;
  return shown(Array.from({ length: 200 }, (_, n) => stage(n)).join(""), async (page) => {
    const troubled = page.getByRole("button", { name: /^step-150: failing/ });
    await troubled.waitFor();
    await page.locator("[data-node='stage/step-150'] .marks", { hasText: "restart" }).waitFor();
    await sizes(page, async (width) => {
      assert.deepEqual(await clashes(page), [], `${width}`);
      assert.deepEqual(await cut(page), [], `${width}`);
      const height = await page.locator(".sheet").evaluate((sheet) => sheet.offsetHeight);
      assert.ok(height < { 1280: 2000, 768: 3700, 360: 11_500 }[width], `${width} ${height}`);
      // Figures can be read without a lens.
      assert.ok(await page.evaluate(() => Math.min(...[...document.querySelectorAll(".sheet .figures")].map((one) => Number.parseFloat(getComputedStyle(one).fontSize)))) >= 10);
    });
    await page.setViewportSize({ width: 1280, height: 800 });
    await shot(page, "page-chain.png");
    assert.deepEqual(await axe(page), []);
    // The keyboard follows the flow over the ends of rows.
    const names = await page.evaluate(() => [...document.querySelectorAll(".sheet .node")].map((node) => node.dataset.node));
    assert.deepEqual(names.slice(0, 40), Array.from({ length: 20 }, (_, n) => [`stage/step-${n}`, `queue/queue-${n}`]).flat());
    await troubled.click();
    await page.locator("#panel h2", { hasText: "Stage step-150" }).waitFor();
    const box = await page.locator("[data-node='stage/step-150']").boundingBox();
    assert.ok(box.y >= 0 && box.y + box.height <= 800, JSON.stringify(box));
    assert.deepEqual(await clashes(page), []);
  });
});

test("a wide fan is in rows, too, and every line of it leads from one box to another", () => {
  const work = Array.from({ length: 60 }, (_, n) => `[stages.work-${n}]\nuse = "format"\nwith = { template = "{item}" }\ninput = "jobs"\noutput = "results"\n`).join("");
  return shown(`[stages.feed]\nuse = "count"\nsleep = "20ms"\noutput = "jobs"\n${work}[stages.end]\nuse = "discard"\ninput = "results"\n`, async (page) => {
    await page.locator("[data-node='stage/work-59']", { hasText: "/s" }).waitFor();
    await sizes(page, async (width) => {
      assert.deepEqual(await clashes(page), [], `${width}`);
      assert.deepEqual(await cut(page), [], `${width}`);
      // A line begins at the right side of a box, and ends at the left side of one.
      const loose = await page.evaluate(() => {
        const sheet = document.querySelector(".sheet").getBoundingClientRect();
        const boxes = [...document.querySelectorAll(".sheet .node")].map((node) => node.getBoundingClientRect());
        const at = ({ x, y }, side, gap) => boxes.some((box) => Math.abs(box[side] - sheet.left - x - gap) < 1.5 && Math.abs((box.top + box.bottom) / 2 - sheet.top - y) < 1.5);
        return [...document.querySelectorAll(".sheet path.edge")].filter((line) => !at(line.getPointAtLength(0), "right", 0) || !at(line.getPointAtLength(line.getTotalLength()), "left", 3)).length;
      });
      assert.equal(loose, 0, `${width}`);
    });
    const height = await page.locator(".sheet").evaluate((sheet) => sheet.offsetHeight);
    assert.ok(height < 2600, `${height}`);
  });
});

test("any graph has its place in any width", () => shown(TICK, async (page) => {
  const found = await page.evaluate(async () => {
    const { fold, partsOf } = await import("/page/fold.js");
    let seed = 17;
    const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
    const size = { stage: { width: 115, height: 38 }, queue: { width: 54, height: 24 }, along: 14, across: 8 };
    for (let round = 0; round < 300; round += 1) {
      const ranks = Array.from({ length: 1 + random(30) }, () => 1 + random(random(5) ? 4 : 30));
      const made = (parity) => ranks.flatMap((count, along) => along % 2 === parity ? Array.from({ length: count }, (_, n) => ({ name: `${along}-${n}`, along, across: n * 1.5 + random(4) / 8 })) : []);
      const [stages, queues] = [made(0), made(1)];
      const edges = !queues.length ? [] : Array.from({ length: random(80) }, () => {
        const [stage, queue] = [stages[random(stages.length)], queues[random(queues.length)]];
        const reads = Boolean(random(2));
        const [from, to] = reads ? [queue, stage] : [stage, queue];
        const bends = Array.from({ length: Math.max(0, to.along - from.along - 1) }, (_, n) => ({ along: from.along + n + 1, across: 200 + random(5) }));
        return { stage: stage.name, queue: queue.name, reads, bends };
      });
      const width = 300 + random(1500);
      const { places, paths, ...whole } = fold(partsOf({ stages, queues, edges }), width, size);
      const boxes = [...places.values()].map((at) => [at.left, at.top, at.left + at.width, at.middle * 2 - at.top]);
      const all = JSON.stringify([round, width, whole]);
      if (boxes.length !== stages.length + queues.length) return `a node is lost: ${all}`;
      if (paths.some(({ path }) => !/^M[\d., MCLQ-]+$/.test(path.replaceAll(/e-\d+/g, "")))) return `a line is broken: ${all}`;
      if (boxes.some(([left, top, right, bottom]) => left < 0 || top < 0 || right > whole.width || bottom > whole.height)) return `outside: ${all}`;
      const clash = boxes.findIndex((a, n) => boxes.slice(n + 1).some((b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]));
      if (clash >= 0) return `two in one place: ${all}`;
      if (whole.width > Math.max(width, 280)) return `too wide: ${all}`;
    }
    return "";
  });
  assert.equal(found, "");
}));

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
  for (const [colorScheme, width, height] of [["light", 1280, 800], ["dark", 1280, 800], ["light", 360, 740]]) {
    await shown(SHOP, async (page, pipeline) => {
      await until("a dead letter", () => pipeline.status().letters.letters > 0);
      await page.waitForTimeout(1500);
      assert.deepEqual(await axe(page), [], `${colorScheme} ${width}`);
      await shot(page, `whole-${width < 500 ? "phone" : colorScheme}.png`);
      assert.deepEqual(await cut(page), [], `${colorScheme} ${width}`);
      await page.locator("[data-node='stage/check']").focus();
      await page.keyboard.press("Enter");
      await page.locator("#panel .events").waitFor();
      assert.deepEqual(await cut(page), [], `${colorScheme} ${width}, a stage`);
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
        assert.deepEqual(await cut(page), [], `${colorScheme} ${width}, ${id}`);
      }
      await page.getByRole("button", { name: /dead letter/ }).click();
      await page.getByRole("button", { name: /^Show / }).first().click();
      await page.locator(".letters pre").first().waitFor();
      assert.deepEqual(await axe(page), [], `${colorScheme} ${width}, dead letters`);
      assert.deepEqual(await cut(page), [], `${colorScheme} ${width}, dead letters`);
      await shot(page, `whole-${width < 500 ? "phone" : colorScheme}-letters.png`);
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
