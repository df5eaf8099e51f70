// One stage: its workers, its rates, what went wrong, its log, and what can be done to it.
import { get, isReadOnly } from "./api.js";
import { drawn, element, isSelected, renew, say, set, table } from "./dom.js";
import { changes, happened, line } from "./events.js";
import { SPAN, bar, curves, picture, shares } from "./times.js";
import { isService, number, obstacle, rate, rest, stateOf, time } from "./words.js";

export class StageView {
  constructor(name, act) {
    this.name = name;
    this.act = act;
    this.body = element("div", { class: "view" });
    this.state = element("p", { class: "lead" });
    this.buttons = element("div", { class: "buttons", role: "group", "aria-label": `Control ${name}` });
    this.flow = element("div");
    this.workers = element("div");
    this.events = element("div");
    this.log = element("pre", { class: "log", tabindex: 0, "aria-label": `Last lines of ${name}` });
    this.body.append(this.state, this.buttons, this.flow, this.workers, element("h3", {}, "What happened"), this.events, element("h3", {}, "Log"), this.log);
    this.seen = "";
  }

  update(snapshot, history, before) {
    const stage = snapshot.stages.find((stage) => stage.name === this.name);
    if (!stage) return this.showNone();
    this.isService = isService(stage);
    const [word, kind] = stateOf(stage);
    const what = stage.failing?.last_words ?? obstacle(stage) ?? rest(stage);
    const why = what ? `: ${what}` : "";
    say(this.state, `${word}${why} · ${stage.kind} · ${stage.running} of ${stage.processes} ${this.isService ? "up" : "workers"}${stage.rate_limit ? ` · limit ${stage.rate_limit}` : ""}`);
    set(this.state, "data-state", kind);
    this.showButtons(stage);
    if (!this.isService) this.flow.replaceChildren(chart(stage, history, snapshot.uptime), ...split(stage, before));
    this.showWorkers(stage);
    this.showEvents(stage);
    this.showLog();
  }

  get title() {
    return `${this.isService ? "Service" : "Stage"} ${this.name}`;
  }

  // What happened and the log stay to be read.
  showNone() {
    say(this.state, `This ${this.isService ? "service" : "stage"} is not in the pipeline any more.`);
    set(this.state, "data-state", null);
    for (const part of [this.buttons, this.flow, this.workers]) part.replaceChildren();
    delete this.buttons.dataset.wanted;
  }

  showButtons(stage) {
    const stopped = ["stopped", "gave-up", "finished"].includes(stage.fate);
    const wanted = `${stage.processes} ${stage.paused} ${stopped} ${stage.fate}`;
    if (this.buttons.dataset.wanted === wanted) return;
    this.buttons.dataset.wanted = wanted;
    // A service that has ended by itself can be started again; a stage that is done has nothing left to do.
    const isOver = isReadOnly() || (stage.fate === "finished" && !this.isService);
    const one = this.isService ? "process" : "worker";
    const button = (label, path, body, more = {}) => element("button", { type: "button", "data-act": label, disabled: isOver, onclick: () => this.act(path, { stage: this.name, ...body }), ...more }, label);
    renew(this.buttons,
      element("span", { class: "scale" },
        button("−", "/v1/scale", { by: -1 }, { "aria-label": `One ${one} fewer`, disabled: isOver || stage.processes < 2 || stopped }),
        element("output", { "aria-label": this.isService ? "Processes" : "Workers" }, String(stage.processes)),
        button("+", "/v1/scale", { by: 1 }, { "aria-label": `One ${one} more`, disabled: isOver || stopped })),
      stage.paused ? button("Resume", "/v1/resume", {}) : button("Pause", "/v1/pause", {}),
      button("Restart", "/v1/restart", {}),
      stopped ? button("Start", "/v1/start-stage", {}) : button("Stop", "/v1/stop-stage", {}));
  }

  showWorkers(stage) {
    if (isSelected(this.workers)) return;
    const rows = stage.workers.map((worker) => [
      String(worker.index), worker.pid ? String(worker.pid) : "–",
      worker.state.replace("-", " ") + (worker.check ? `, ${worker.check.state}` : "") + (worker.until !== null && ["due", "resting"].includes(worker.state) ? ` in ${time(worker.until)}` : ""),
      worker.since === null ? "–" : time(worker.since),
      ...(this.isService ? [] : [number(worker.done)]),
    ]);
    const made = table(this.isService ? "Processes" : "Workers", ["#", "process", "state", "up", ...(this.isService ? [] : ["done"])], rows);
    const focused = this.workers.contains(document.activeElement);
    this.workers.replaceChildren(made);
    if (focused) made.focus();
  }

  async showEvents(stage) {
    const now = changes([stage]);
    if (now === this.seen) return;
    const isChange = Boolean(this.seen);
    this.seen = now;
    const events = await happened(isChange, (one) => one.name === this.name);
    if (!events) return void (this.seen = null);
    const lines = events.slice(0, 12).map((event) => line(event,
      event.item && element("span", { class: "item" }, ` at item ${event.item.id} of ${event.item.queue}, try ${event.item.attempt}: ${event.item.text}`),
      event.stderr?.length && element("pre", { tabindex: 0, "aria-label": "Last words", "data-act": `${event.index} ${event.time}` }, event.stderr.join("\n"))));
    renew(this.events, lines.length ? element("ul", { class: "events" }, ...lines) : element("p", {}, "Nothing yet."));
  }

  async showLog() {
    const answer = await get(`/v1/logs?stage=${encodeURIComponent(this.name)}&lines=100`).catch(() => null);
    if (!answer || isSelected(this.log)) return;
    const atEnd = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 4;
    say(this.log, answer.lines.join("\n") || "No lines yet.");
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  close() {}
}

function split(stage, before) {
  const parts = shares(stage, before);
  if (!parts.length) return [];
  const words = parts.filter(([, , , share]) => share).map(([key, label, , share]) => element("span", {}, element("i", { class: `part ${key}` }), ` ${share} % ${label}`));
  return [bar(parts), element("p", { class: "legend" }, ...words)];
}

function chart({ name, rate: now }, history, uptime) {
  const { most, known, line, ground } = curves(name, now, history, uptime, 600, 80);
  const made = picture("chart", 600, 80, drawn("polygon", { class: "ground", points: ground(1) }),
    drawn("polyline", { class: "emitted", points: line(2) }), drawn("polyline", { class: "done", points: line(1) }));
  const figures = `${rate(now.done)} done, ${rate(now.emitted)} emitted`;
  const words = known < 5 ? `Now ${figures}.` : `Now ${figures}; at most ${rate(most)} in the last ${known < SPAN ? time(known) : "ten minutes"}.`;
  return element("figure", {}, made, element("figcaption", {}, element("i", { class: "key done" }), " done ", element("i", { class: "key emitted" }), ` emitted. ${words}`));
}
