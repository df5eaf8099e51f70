// A run of shared queues over all its machines, as the broker knows it.
import { get } from "./api.js";
import { byId, element, table } from "./dom.js";
import { counted, number, quoted, rate, time } from "./words.js";

const EACH = 1000;

export class Machines {
  // The last answer with a run.
  run = null;

  follow(shared) {
    const look = async () => {
      if (!document.hidden && shared()) this.show(await get("/v1/machines").catch((error) => ({ fault: error.message })), shared());
      setTimeout(look, EACH);
    };
    look();
  }

  show({ run, fault }, own) {
    byId("machines").hidden = false;
    this.run = run ?? (fault ? this.run : null);
    const parts = [];
    if (fault) parts.push(element("p", { "data-state": "bad", class: "lead" }, `The broker does not answer: ${fault}`));
    if (!this.run && !fault) parts.push(element("p", {}, "No machine has begun a run."));
    if (this.run) parts.push(...tables(this.run, own ?? {}));
    const where = document.activeElement?.getAttribute("aria-label");
    const inside = byId("machine-list").contains(document.activeElement);
    byId("machine-list").replaceChildren(...parts);
    if (inside) [...byId("machine-list").children].find((one) => one.getAttribute("aria-label") === where)?.focus();
  }

  // Dead letters of shared queues lie in the broker.
  letters() {
    return (this.run?.queues ?? []).reduce((sum, queue) => sum + queue.letters, 0);
  }

  silent() {
    return this.run?.run.ended ? 0 : (this.run?.machines ?? []).filter((machine) => machine.state === "silent").length;
  }

  // A snapshot with what the broker holds of shared queues: of their items, a machine has those at hand only.
  over(snapshot) {
    const sums = new Map((this.run?.queues ?? []).map((queue) => [queue.name, queue]));
    const whole = (queue) => {
      const sum = queue.shared && sums.get(queue.name);
      return sum ? { ...queue, waiting: sum.waiting, delayed: 0, capacity: sum.capacity, bytes: 0 } : queue;
    };
    return { ...snapshot, queues: snapshot.queues.map(whole) };
  }

  // A sentence about a shared queue.
  queue(name) {
    const queue = this.run?.queues.find((queue) => queue.name === name);
    if (!queue) return null;
    return `On all machines: ${number(queue.waiting)} wait, ${number(queue.leased)} are leased, ${number(queue.done)} of ${number(queue.put)} are done; ${counted(queue.letters, "dead letter")} in the broker.`;
  }
}

// As `mprun forget` takes it.
const short = (id) => id.slice(0, 8);

function tables({ run, broker, bottleneck, machines, stages, queues }, { own, file }) {
  const alive = machines.filter((machine) => machine.state === "alive");
  const gone = machines.length - alive.length - machines.filter((machine) => machine.state === "silent").length;
  const head = [`Run ${run.number}`, run.ended ? `ended ${run.ended}` : `begun ${time(run.age)} ago`, `on ${counted(alive.length, "machine")}`, gone > 0 && `${gone} left`, broker];
  const rows = machines.filter((machine) => machine.state === "alive" || machine.state === "silent").map(({ id, state, age, leased, shown }) => [
    `${short(id)}${id === own ? " (this one)" : ""}`, shown?.host || "–", element("span", { "data-state": state === "alive" ? "good" : "bad", class: "word" }, state),
    age === null ? "–" : `${time(age)} ago`, shown ? time(shown.uptime) : "–", number(leased), shown ? number(shown.commits) : "–",
    (shown?.stages ?? []).filter((stage) => stage.running).map((stage) => `${stage.name} ${stage.running}`).join(", ") || "–",
  ]);
  const silent = run.ended ? [] : machines.filter((machine) => machine.state === "silent");
  return [
    element("p", { class: "hint" }, head.filter(Boolean).join(" · ")),
    ...silent.map(({ id, leased }) => element("p", { "data-state": "warning", class: "lead" },
      `${short(id)} has fallen silent and holds ${counted(leased, "item")}. If it is gone for good: mprun forget ${quoted(file)} ${short(id)}`)),
    bottleneck?.text && element("p", {}, `On all machines: ${bottleneck.text}`),
    table("On each machine", ["machine", "host", "state", "seen", "up", "leased", "commits to send", "runs"], rows),
    table("Shared queues", ["queue", "waiting", "leased", "of", "oldest", "put", "done", "dead letters"], queues.map((queue) => [
      queue.name, number(queue.waiting), number(queue.leased), number(queue.capacity), queue.oldest === null ? "–" : time(queue.oldest), number(queue.put), number(queue.done), number(queue.letters)])),
    table("Stages on all machines", ["stage", "state", "machines", "workers", "done", "emitted", "restarts"], stages.map((stage) => [
      stage.name, stage.state, String(stage.machines), `${stage.running}/${stage.processes}`, stage.is_source ? "–" : rate(stage.rate.done), rate(stage.rate.emitted), number(stage.restarts)])),
  ].filter(Boolean);
}
