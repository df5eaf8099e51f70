// One queue: its ledger, the age of its oldest item, and items that pass through.
import { lines } from "./api.js";
import { element, isSelected, say, table } from "./dom.js";
import { bytes, fullness, held, number, time } from "./words.js";

const SHOWN = 30;

export class QueueView {
  constructor(name, machines) {
    this.name = name;
    this.machines = machines;
    this.state = element("p", { class: "lead" });
    this.meter = element("meter", { min: 0, max: 1, high: 0.9, "aria-label": `How full ${name} is` });
    this.ledger = element("div");
    this.watch = element("button", { type: "button", onclick: () => (this.tap ? this.stop() : this.start()) }, "Show items");
    this.items = element("ol", { class: "items", tabindex: 0, "aria-label": "Items" });
    this.body = element("div", { class: "view" }, this.state, this.meter, this.ledger,
      element("h3", {}, "Items that pass"), element("p", { class: "hint" }, "Up to ten a second, each shortened, with how long it has waited. No item is taken, and no worker is delayed."), this.watch, this.items);
  }

  update(snapshot, _history, _before, puts) {
    const queue = snapshot.queues.find((queue) => queue.name === this.name);
    this.meter.hidden = this.watch.hidden = !queue;
    if (!queue) return this.showNone();
    this.puts = { seen: puts.get(this.name) ?? [], uptime: snapshot.uptime, heard: performance.now() };
    const notes = [queue.ended && "has ended", queue.closed && "has no reader left", queue.leaving && "leaves"].filter(Boolean);
    say(this.state, [`${queue.shared ? "on this machine: " : ""}${filled(queue)}`, oldest(queue, snapshot, puts), ...notes].filter(Boolean).join(" · "));
    this.meter.value = fullness(queue);
    if (isSelected(this.ledger)) return;
    const parts = ["done", "waiting", "delayed", "leased", "dropped", "dead"];
    const sum = parts.reduce((all, part) => all + queue[part], 0);
    const made = table("Ledger", ["put", ...parts], [[queue.put, ...parts.map((part) => queue[part])].map(String)]);
    const focused = this.ledger.contains(document.activeElement);
    this.ledger.replaceChildren(made, element("p", { class: "hint" }, sum === queue.put ? "It adds up." : `It does not add up: ${queue.put - sum} items are missing.`),
      element("p", { class: "hint" }, `Written by ${queue.writers.join(", ") || "no stage"}; read by ${queue.readers.join(", ") || "no stage"}; when full: ${queue.when_full}.`),
      ...(this.machines.queue(this.name) ? [element("p", {}, this.machines.queue(this.name))] : []));
    if (focused) made.firstChild?.focus?.();
  }

  showNone() {
    say(this.state, "This queue is not in the pipeline any more.");
    this.ledger.replaceChildren();
    this.stop();
  }

  start() {
    const tap = this.tap = new AbortController();
    say(this.watch, "Stop");
    const show = (item) => {
      const notes = [this.age(item), item.attempt > 1 && `try ${item.attempt}`, item.bytes > 160 && bytes(item.bytes)].filter(Boolean);
      this.items.prepend(element("li", {}, element("b", {}, `#${item.id}`), ` ${item.text}${item.bytes > 160 ? " …" : ""} `, element("span", { class: "hint" }, notes.join(" · "))));
      while (this.items.children.length > SHOWN) this.items.lastChild.remove();
    };
    lines(`/v1/tap?queue=${encodeURIComponent(this.name)}`, tap.signal, show).catch(() => {}).finally(() => this.tap === tap && this.stop());
  }

  // A tab behind others has no connection of its own: browsers allow six to a host.
  look(isShown) {
    const wasLeft = this.isLeft;
    this.isLeft = !isShown && Boolean(this.tap);
    if (this.isLeft) this.stop();
    else if (wasLeft) this.start();
  }

  // The age of an item in seconds: its number against the counts of items put, each with its time.
  age({ id }) {
    const { seen, uptime, heard } = this.puts ?? { seen: [] };
    const before = putBefore(seen, id);
    const now = uptime + (performance.now() - heard) / 1000;
    if (before !== null) return now - before < 1.5 ? "waited under 2 s" : `waited ${time(now - before)}`;
    return seen.length && now - seen[0][0] >= 2 ? `waited over ${time(now - seen[0][0])}` : null;
  }

  stop() {
    this.tap?.abort();
    this.tap = null;
    say(this.watch, "Show items");
  }

  close() {
    this.stop();
  }
}

// Items of up to eight bytes take none of `max_bytes`.
function filled(queue) {
  const items = `${number(held(queue))} of ${number(queue.capacity)} items`;
  return queue.bytes ? `${items}, ${bytes(queue.bytes)} of ${bytes(queue.max_bytes)}` : items;
}

// The last time at which an item had not been put yet: there were too few.
const putBefore = (seen, id) => seen.findLast(([, put]) => put <= id)?.[0] ?? null;

// Items go in order: the oldest that waits was put when so many had been put.
function oldest(queue, snapshot, puts) {
  if (!held(queue)) return "nothing waits";
  const number = queue.put - held(queue) - queue.leased;
  const before = putBefore(puts.get(queue.name) ?? [], number);
  if (before !== null) return `the oldest waits for about ${time(Math.max(0, snapshot.uptime - before))}`;
  const since = puts.get(queue.name)?.[0]?.[0] ?? snapshot.uptime;
  const seconds = snapshot.uptime - since;
  return seconds < 2 ? "looking for the oldest …" : `the oldest waits for more than ${time(seconds)}`;
}
