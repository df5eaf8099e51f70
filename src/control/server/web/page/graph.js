// The graph: stages and queues as buttons, the lines between them as a drawing behind.
import { byId, drawn, element, say, set } from "./dom.js";
import { bar, curves, picture, shares } from "./times.js";
import { counted, fullness, held, isService, number, rate, restarts, stateOf } from "./words.js";

const STAGE = { width: 168, height: 78 };
const QUEUE = { width: 118, height: 40 };
const GAP = { along: 32, across: 16 };
// For the lines that close a circle, beside all nodes.
const LANE = 14;
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
    const all = [...layout.stages.map((node) => ["stage", node]), ...layout.queues.map((node) => ["queue", node])];
    // In the order of the flow, so that the keyboard follows it.
    all.sort(([, a], [, b]) => a.along - b.along || a.across - b.across);
    for (const [kind, node] of all) {
      const parts = kind === "stage"
        ? [element("span", { class: "spoken" }, "Stage "), element("span", { class: "title" }, label(node.name), element("span", { class: "badge" })), element("span", { class: "figures" }), element("span", { class: "marks" }), element("span", { class: "drawings", "aria-hidden": "true" })]
        : [element("span", { class: "spoken" }, "Queue "), element("span", { class: "fill" }), label(node.name), element("span", { class: "figures" })];
      const id = `${kind}/${node.name}`;
      const button = element("button", { type: "button", class: `node ${kind}`, title: node.name, "data-node": id, onclick: () => this.select(kind, node.name) }, ...parts);
      this.nodes.set(id, { kind, node, button });
      sheet.append(button);
    }
    where.replaceChildren(sheet);
    this.sheet = sheet;
    // New nodes are nowhere yet, whatever room there is.
    this.room = null;
    this.place();
    if (focused) this.nodes.get(focused)?.button.focus();
  }

  // Along the flow from left to right where the window is wide enough for that, else from top to bottom. Beside the details it is
  // drawn smaller: what was at the left stays there.
  place() {
    const { length, breadth } = this.layout;
    const step = (STAGE.width + QUEUE.width) / 2 + GAP.along;
    const wide = (length - 1) * step + STAGE.width;
    // Many stages are drawn smaller, for an overview; `Find` leads to one.
    const least = 0.65;
    const across = wide * (this.nodes.size > 60 ? least : 0.72) <= document.documentElement.clientWidth - 40;
    const space = byId("graph").clientWidth - 8;
    const most = this.nodes.size > 60 ? least : 1;
    const zoom = across ? Math.min(most, Math.max(least, space / wide)) : most;
    const room = space / zoom;
    if (across === this.across && room === this.room) return;
    [this.across, this.room] = [across, room];
    const down = (STAGE.height + QUEUE.height) / 2 + GAP.along - 8;
    const lane = this.edges.some((edge) => this.goesBack(edge)) ? LANE : 0;
    const [unit, span] = across ? [STAGE.height + GAP.across, step] : [STAGE.width + GAP.across, down];
    const left = across ? 0 : Math.max(0, (room - (breadth * unit + STAGE.width)) / 2);
    const at = ({ along, across: beside }) => across
      ? [along * span + STAGE.width / 2, lane + beside * unit + STAGE.height / 2 + 4]
      : [lane + left + beside * unit + STAGE.width / 2, along * span + STAGE.height / 2 + 4];
    for (const { kind, node, button } of this.nodes.values()) {
      const size = kind === "stage" ? STAGE : QUEUE;
      const [x, y] = at(node);
      button.style.left = `${x - size.width / 2}px`;
      button.style.top = `${y - size.height / 2}px`;
    }
    const width = across ? (length - 1) * span + STAGE.width : left + breadth * unit + STAGE.width + 2 * lane;
    const height = across ? breadth * unit + STAGE.height + 8 + 2 * lane : (length - 1) * span + STAGE.height + 8;
    const first = across ? 4 : left;
    this.lanes = [first + 3, first + 2 * lane + breadth * unit + (across ? STAGE.height : STAGE.width) - 3];
    this.sheet.style.zoom = zoom;
    this.sheet.style.width = `${width}px`;
    this.sheet.style.height = `${height}px`;
    set(this.lines, "width", width);
    set(this.lines, "height", height);
    this.edges.forEach((edge) => this.draw(edge, at));
  }

  ends(edge) {
    const ends = [this.nodes.get(`stage/${edge.stage}`), this.nodes.get(`queue/${edge.queue}`)];
    return edge.reads ? ends.reverse() : ends;
  }

  goesBack(edge) {
    const [from, to] = this.ends(edge);
    return from.node.along >= to.node.along;
  }

  draw(edge, at) {
    const [from, to] = this.ends(edge);
    const [along, beside] = this.across ? [0, 1] : [1, 0];
    const half = ({ kind }, side) => (kind === "stage" ? STAGE : QUEUE)[(side === 0) ? "width" : "height"] / 2;
    const [a, b] = [at(from.node), at(to.node)];
    if (this.goesBack(edge)) {
      const middle = (this.lanes[0] + this.lanes[1]) / 2;
      const lane = this.lanes[(a[beside] + b[beside]) / 2 < middle ? 0 : 1];
      const point = (n, m) => (this.across ? `${n},${m}` : `${m},${n}`);
      const leave = a[beside] + Math.sign(lane - a[beside]) * half(from, beside);
      const come = b[beside] + Math.sign(lane - b[beside]) * (half(to, beside) + 3);
      const turn = 24;
      return set(edge.line, "d", `M${point(a[along], leave)}Q${point(a[along], lane)} ${point(a[along] - turn, lane)}L${point(b[along] + turn, lane)}Q${point(b[along], lane)} ${point(b[along], come)}`);
    }
    a[along] += half(from, along);
    b[along] -= half(to, along) + 3;
    // Straight on beside the nodes of a rank.
    const bends = edge.bends.flatMap((bend) => [-1, 1].map((side) => {
      const point = at(bend);
      point[along] += (side * (this.across ? STAGE.width : STAGE.height)) / 2;
      return point;
    }));
    const points = [a, ...bends, b];
    let path = `M${a}`;
    for (let i = 1; i < points.length; i += 1) {
      const [p, q] = [points[i - 1], points[i]];
      const middle = (p[along] + q[along]) / 2;
      path += this.across ? `C${middle},${p[1]} ${middle},${q[1]} ${q}` : `C${p[0]},${middle} ${q[0]},${middle} ${q}`;
    }
    set(edge.line, "d", path);
  }

  update(snapshot, history, before, selected) {
    // Lines of rates have a point each few seconds.
    const drawing = `${snapshot.run} ${history.at(-1)?.at} ${this.nodes.size}`;
    const isNew = drawing !== this.drawing;
    this.drawing = drawing;
    const stages = new Map(snapshot.stages.map((stage) => [stage.name, stage]));
    const queues = new Map(snapshot.queues.map((queue) => [queue.name, queue]));
    for (const [id, { kind, node, button }] of this.nodes) {
      set(button, "aria-current", id === selected ? "true" : null);
      if (kind === "stage" && stages.has(node.name)) {
        this.showStage(button, stages.get(node.name), snapshot);
        this.drawStage(button, stages.get(node.name), snapshot, isNew && history, before);
      }
      if (kind === "queue" && queues.has(node.name)) this.showQueue(button, queues.get(node.name));
    }
    for (const edge of this.edges) {
      const stage = stages.get(edge.stage);
      const flow = (edge.reads ? stage?.rate?.done : stage?.rate?.emitted) ?? 0;
      const share = flow / Math.max(1, (edge.reads ? stage?.inputs?.length : stage?.outputs?.length) ?? 1);
      set(edge.line, "stroke-width", (1.2 + Math.min(7, Math.log10(1 + share) * 1.6)).toFixed(1));
      set(edge.line, "class", share > 0 ? "edge flows" : "edge");
    }
  }

  showStage(button, stage, snapshot) {
    const [word, kind] = stateOf(stage);
    const limits = snapshot.bottleneck?.stage === stage.name;
    const flow = (stage.inputs ?? []).length ? stage.rate.done : stage.rate.emitted;
    const figures = `${rate(flow)} · ${stage.running}/${stage.processes}`;
    set(button, "data-state", kind);
    set(button, "data-limit", limits ? "" : null);
    say(button.querySelector(".badge"), kind === "good" ? "" : word);
    say(button.querySelector(".figures"), figures);
    const count = restarts(stage);
    const marks = [limits && "bottleneck", stage.totals.dead && `${number(stage.totals.dead)} dead`, count && counted(count, "restart")];
    say(button.querySelector(".marks"), marks.filter(Boolean).join(" · "));
  }

  drawStage(button, stage, snapshot, history, before) {
    const drawings = button.querySelector(".drawings");
    if (history || !drawings.firstChild) {
      const { line, ground } = curves(stage.name, stage.rate, history || [], snapshot.uptime, SPARK.width, SPARK.height);
      const n = (stage.inputs ?? []).length ? 1 : 2;
      drawings.replaceChildren(picture("spark", SPARK.width, SPARK.height, drawn("polygon", { class: "ground", points: ground(n) }), drawn("polyline", { points: line(n) })), bar(shares(stage, before)));
    } else {
      drawings.lastChild.replaceWith(bar(shares(stage, before)));
    }
  }

  showQueue(button, queue) {
    const share = fullness(queue);
    button.querySelector(".fill").style.width = `${Math.round(share * 100)}%`;
    set(button, "data-full", share > 0.9 ? "" : null);
    const figures = `${number(held(queue))} of ${number(queue.capacity)}`;
    say(button.querySelector(".figures"), share > 0.9 ? `${figures}, full` : figures);
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
    list.replaceChildren(...services.map((stage) => element("li", {}, element("button", { type: "button", class: "node stage", title: stage.name, onclick: () => select("stage", stage.name) }, element("span", { class: "spoken" }, "Service "), element("span", { class: "title" }, label(stage.name), element("span", { class: "badge" })), element("span", { class: "figures" }), element("span", { class: "marks" })))));
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
