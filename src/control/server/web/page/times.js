// How the workers of a stage spent their time, and its rates: what the graph and the details draw.
import { drawn, element } from "./dom.js";
import { stateOf } from "./words.js";

const SPLIT = [["working", "at work"], ["starved", "waits for items"], ["blocked", "waits for room"], ["paused", "paused"], ["for_turn", "waits for its turn"]];
// Rates are drawn over ten minutes, or over as long as they are known, some seconds at least.
export const SPAN = 600;
const LEAST_SPAN = 20;
// Between two points of a history of rates, in seconds.
const POINT_INTERVAL = 5;

// A history of rates with what a snapshot has, if that is due.
export function withPoint(history, { uptime, stages }) {
  if (history.length && uptime - history.at(-1).at < POINT_INTERVAL) return history;
  const rates = stages.filter((stage) => stage.rate).map((stage) => [stage.name, [stage.rate.done, stage.rate.emitted]]);
  return [...history.filter(({ at }) => uptime - at <= SPAN), { at: uptime, stages: Object.fromEntries(rates) }];
}

// Two histories of the same run.
export function joined(one, other) {
  const all = [...one, ...other].sort((a, b) => a.at - b.at);
  return all.filter(({ at }, n) => !n || Math.floor(at / POINT_INTERVAL) > Math.floor(all[n - 1].at / POINT_INTERVAL));
}

// Shares of the workers' time since an earlier snapshot: [kind, label, seconds, percent]. Those of a stage that is failing say nothing
// of what it could do.
export function shares(stage, before) {
  if (stateOf(stage)[0] === "failing") return [];
  const old = before?.stages.find((one) => one.name === stage.name)?.times ?? {};
  const spent = SPLIT.map(([key, label]) => [key, label, Math.max(0, (stage.times?.[key] ?? 0) - (old[key] ?? 0))]);
  const sum = spent.reduce((all, [, , seconds]) => all + seconds, 0);
  return spent.filter(([, , seconds]) => sum > 0 && seconds / sum >= 0.005).map((part) => [...part, Math.round((part[2] / sum) * 100)]);
}

export function bar(parts) {
  const made = element("span", { class: "split", "aria-hidden": "true" });
  showBar(made, parts);
  return made;
}

// What is there already stays, as a page may have hundreds of them.
export function showBar(where, parts) {
  const kinds = parts.map(([key]) => key).join();
  if (where.dataset.kinds !== kinds) {
    where.dataset.kinds = kinds;
    where.replaceChildren(...parts.map(([key]) => element("span", { class: `part ${key}` })));
  }
  // Whole percents: a share that is nearly the same is no change.
  parts.forEach(([, , , share], n) => {
    const width = `${Math.max(1, share)}`;
    if (where.children[n].style.flexGrow !== width) where.children[n].style.flexGrow = width;
  });
}

// The lines of a stage's rates in a picture of this size: items done, and emitted.
export function curves(name, { done, emitted }, history, now, width, height) {
  const points = [...history.filter((point) => Object.hasOwn(point.stages, name)).map((point) => [point.at, ...point.stages[name]]), [now, done, emitted]];
  const most = Math.max(1, ...points.flatMap(([, ...rates]) => rates));
  const span = Math.min(SPAN, Math.max(LEAST_SPAN, now - points[0][0]));
  const at = ([when], value) => `${(width - ((now - when) / span) * width).toFixed(1)},${(height - 1 - (value / most) * (height - 4)).toFixed(1)}`;
  const line = (n) => points.map((point) => at(point, point[n])).join(" ");
  return { most, known: now - points[0][0], line, ground: (n) => `${at(points[0], 0)} ${line(n)} ${at(points.at(-1), 0)}` };
}

export const picture = (kind, width, height, ...parts) =>
  drawn("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", class: kind }, ...parts);
