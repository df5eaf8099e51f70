// The graph: stages and queues as buttons, the lines between them as a drawing behind.
import { byId, drawn, element, say, set } from "./dom.js";
import { fold, partsOf, widest } from "./fold.js";
import { MARGIN } from "./lines.js";
import { bar, curves, picture, shares, showBar } from "./times.js";
import { counted, fullness, held, isService, number, rate, restarts, stateOf } from "./words.js";

// Where all fits into a window as large as it can be drawn, and where it does not.
const ROOMY = { stage: { width: 168, height: 78 }, queue: { width: 118, height: 40 }, along: 24, across: 16 };
const DENSE = { stage: { width: 115, height: 38 }, queue: { width: 54, height: 24 }, along: 14, across: 8 };
// The padding of the graph, and of all that is beside it without details.
const [PADDING, SIDES] = [8, 44];
// A graph that is a little higher than the window has large boxes still.
const ROOMY_HEIGHT = { least: 420, ofWindow: 0.9 };
const VISIBLE_SHARE = 0.7;
const WIDEST_STAGE = 240;
const SPARK = { width: 160, height: 26 };

// A name that is too long is cut in its middle: names of many stages differ at their end.
function label(name) {
  if (name.length <= 12) return element("span", { class: "label" }, element("span", { class: "start" }, name));
  const part = (text, kind) => element("span", { class: kind, "aria-hidden": "true" }, text);
  return element("span", { class: "label" }, element("span", { class: "spoken" }, name), part(name.slice(0, -6), "start"), part(name.slice(-6), "end"));
}

export class Graph {
  constructor(select) {
    this.select = select;
    this.nodes = new Map();
    this.edges = [];
    this.layout = null;
    new ResizeObserver(() => this.layout && this.place()).observe(byId("graph"));
  }

  lay(layout) {
    const where = byId("graph");
    const focused = document.activeElement?.dataset?.node;
    this.layout = layout;
    this.nodes.clear();
    this.lines = drawn("svg", { "aria-hidden": "true" });
    this.lines.append(drawn("defs", {}, drawn("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" }, drawn("path", { d: "M0 0L8 4L0 8z" }))));
    this.edges = layout.edges.map((edge) => {
      const line = drawn("path", { class: "edge", "marker-end": "url(#tip)" });
      this.lines.append(line);
      return { ...edge, line };
    });
    const sheet = element("div", { class: "sheet" }, this.lines);
    this.parts = partsOf(layout);
    for (const { id, kind, name } of this.parts.groups.flat(3)) {
      const parts = kind === "stage"
        ? [element("span", { class: "spoken" }, "Stage "), element("span", { class: "title" }, label(name), element("span", { class: "badge" })), element("span", { class: "facts" }, element("span", { class: "figures" }, element("span"), element("span", { class: "workers" })), element("span", { class: "marks" })), element("span", { class: "drawings", "aria-hidden": "true" })]
        : [element("span", { class: "spoken" }, "Queue "), element("span", { class: "fill" }), label(name), element("span", { class: "figures" }, element("span", { class: "count" }), element("span", { class: "of" }), element("span", { class: "full" }))];
      const button = element("button", { type: "button", class: `node ${kind}`, title: name, "data-node": id, onclick: () => this.select(kind, name) }, ...parts);
      this.nodes.set(id, { kind, name, button });
      sheet.append(button);
    }
    where.replaceChildren(sheet);
    this.sheet = sheet;
    // New nodes are nowhere yet, whatever room there is.
    this.room = null;
    this.place();
    if (focused) this.nodes.get(focused)?.button.focus();
  }

  // Large boxes where the whole graph fits into the window with them, else small ones. The details beside it change nothing of that.
  place() {
    const room = byId("graph").clientWidth - PADDING;
    // On a phone the details stand in its place.
    if (room < 0) return;
    const windowSize = `${document.documentElement.clientWidth} ${innerHeight}`;
    if (room === this.room && windowSize === this.windowSize) return;
    [this.room, this.windowSize] = [room, windowSize];
    const whole = Math.max(room, document.documentElement.clientWidth - SIDES);
    this.isDense = fold(this.parts, whole, this.fitted(ROOMY, whole)).height > Math.max(ROOMY_HEIGHT.least, innerHeight * ROOMY_HEIGHT.ofWindow);
    const sizes = this.fitted(this.isDense ? DENSE : ROOMY, room);
    const { places, paths, width, height } = fold(this.parts, room, sizes);
    // What is above the graph takes its part of the window.
    this.isLarge = this.isDense || height > innerHeight * VISIBLE_SHARE;
    set(this.sheet, "data-dense", this.isDense ? "" : null);
    for (const [id, { button }] of this.nodes) {
      const at = places.get(id);
      Object.assign(button.style, { left: `${at.left}px`, top: `${at.top}px`, width: `${at.width}px` });
    }
    Object.assign(this.sheet.style, { width: `${width}px`, height: `${height}px` });
    set(this.lines, "width", width);
    set(this.lines, "height", height);
    this.edges.forEach((edge, n) => {
      edge.isFar = paths[n].isFar;
      set(edge.line, "d", paths[n].path);
    });
  }

  // Rows are others beside the details: a box may have moved out of the window.
  lead(id, block) {
    this.place();
    this.nodes.get(id)?.button.scrollIntoView({ block });
  }

  // Rows that are full take the whole width: the boxes of stages get what is left.
  fitted(sizes, room) {
    const space = room - 2 * MARGIN;
    if (widest(this.parts, sizes) <= space) return sizes;
    const pair = sizes.queue.width + 2 * sizes.along;
    const pairs = Math.max(1, Math.floor((space + sizes.along) / (sizes.stage.width + pair)));
    const width = Math.floor((space + sizes.along) / pairs) - pair;
    const least = sizes.stage.width * 0.75;
    return { ...sizes, stage: { ...sizes.stage, width: Math.min(WIDEST_STAGE, Math.max(least, width)) } };
  }

  update(snapshot, history, before, selected) {
    // Lines of rates have a point each few seconds.
    const drawing = `${snapshot.run} ${history.at(-1)?.at} ${this.nodes.size} ${this.isDense}`;
    const isNew = drawing !== this.drawing;
    this.drawing = drawing;
    const stages = new Map(snapshot.stages.map((stage) => [stage.name, stage]));
    const queues = new Map(snapshot.queues.map((queue) => [queue.name, queue]));
    for (const [id, { kind, name, button }] of this.nodes) {
      set(button, "aria-current", id === selected ? "true" : null);
      if (kind === "stage" && stages.has(name)) {
        this.showStage(button, stages.get(name), snapshot);
        this.drawStage(button, stages.get(name), snapshot, isNew && history, before);
      }
      if (kind === "queue" && queues.has(name)) this.showQueue(button, queues.get(name));
    }
    for (const edge of this.edges) {
      const stage = stages.get(edge.stage);
      const flow = (edge.reads ? stage?.rate?.done : stage?.rate?.emitted) ?? 0;
      const share = flow / Math.max(1, (edge.reads ? stage?.inputs?.length : stage?.outputs?.length) ?? 1);
      // Lines between rows have little room.
      const [most, unit] = edge.isFar ? [3, 0.8] : [7, 1.6];
      set(edge.line, "stroke-width", (1.2 + Math.min(most, Math.log10(1 + share) * unit)).toFixed(1));
      set(edge.line, "class", share > 0 ? "edge flows" : "edge");
    }
  }

  showStage(button, stage, snapshot) {
    const [word, kind] = stateOf(stage);
    const limits = snapshot.bottleneck?.stage === stage.name;
    const flow = (stage.inputs ?? []).length ? stage.rate.done : stage.rate.emitted;
    set(button, "data-state", kind);
    set(button, "data-limit", limits ? "" : null);
    say(button.querySelector(".badge"), kind === "good" ? "" : word);
    const [speed, workers] = button.querySelector(".figures").children;
    say(speed, rate(flow));
    say(workers, ` · ${stage.running}/${stage.processes}`);
    set(workers, "data-single", stage.running === 1 && stage.processes === 1 ? "" : null);
    const count = restarts(stage);
    const marks = [limits && "bottleneck", stage.totals.dead && `${number(stage.totals.dead)} dead`, count && counted(count, "restart")];
    say(button.querySelector(".marks"), marks.filter(Boolean).join(" · "));
  }

  drawStage(button, stage, snapshot, history, before) {
    const drawings = button.querySelector(".drawings");
    if (!drawings.firstChild) drawings.append(picture("spark", SPARK.width, SPARK.height, drawn("polygon", { class: "ground" }), drawn("polyline")), bar([]));
    const [spark, split] = drawings.children;
    showBar(split, shares(stage, before));
    // Small boxes have no room for a line.
    if (!history || this.isDense) return;
    const { line, ground } = curves(stage.name, stage.rate, history, snapshot.uptime, SPARK.width, SPARK.height);
    const n = (stage.inputs ?? []).length ? 1 : 2;
    set(spark.firstChild, "points", ground(n));
    set(spark.lastChild, "points", line(n));
  }

  showQueue(button, queue) {
    const share = fullness(queue);
    button.querySelector(".fill").style.width = `${Math.round(share * 100)}%`;
    set(button, "data-full", share > 0.9 ? "" : null);
    const [count, of, full] = button.querySelector(".figures").children;
    say(count, number(held(queue)));
    say(of, ` of ${number(queue.capacity)}`);
    say(full, share > 0.9 ? " full" : "");
  }
}

// Services have no place in the flow.
export function showServices(snapshot, selected, select) {
  const services = snapshot.stages.filter(isService);
  byId("services").hidden = !services.length;
  const list = byId("service-list");
  const names = services.map((stage) => stage.name).join("\n");
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    list.replaceChildren(...services.map((stage) => element("li", {}, element("button", { type: "button", class: "node stage", title: stage.name, onclick: () => select("stage", stage.name) }, element("span", { class: "spoken" }, "Service "), element("span", { class: "title" }, label(stage.name), element("span", { class: "badge" })), element("span", { class: "facts" }, element("span", { class: "figures" }), element("span", { class: "marks" }))))));
  }
  services.forEach((stage, n) => {
    const button = list.children[n].firstChild;
    const [word, kind] = stateOf(stage);
    set(button, "data-state", kind);
    set(button, "aria-current", selected === `stage/${stage.name}` ? "true" : null);
    say(button.querySelector(".badge"), kind === "good" ? "" : word);
    const checked = stage.workers.map((worker) => worker.check?.state).find(Boolean);
    say(button.querySelector(".figures"), `${stage.running}/${stage.processes} up${checked ? ` · ${checked}` : ""}`);
    say(button.querySelector(".marks"), restarts(stage) ? counted(restarts(stage), "restart") : "");
  });
}
