// The pipeline in a few figures.
import { byId, element, say, set } from "./dom.js";
import { counted, expected, held, isService, number, restarts, stateOf } from "./words.js";

const sum = (all, of) => all.reduce((before, one) => before + of(one), 0);

// `dead`: all dead letters that are kept.
export function showSummary({ stages, queues }, dead) {
  const [running, processes] = [sum(stages, (stage) => stage.running), sum(stages, (stage) => expected(stage))];
  const full = queues.filter((queue) => held(queue) >= queue.capacity).length;
  const figures = [
    [stages.every(isService) ? "processes" : "workers", running === processes ? number(running) : `${number(running)} of ${number(processes)}`, running < processes && "warning"],
    queues.length && ["items wait", number(sum(queues, held))],
    queues.length && ["queues full", number(full), full && "warning"],
    ["restarts", number(sum(stages, restarts))],
    ["dead letters", number(dead), dead && "bad"],
  ].filter(Boolean);
  const list = byId("summary");
  const names = figures.map(([name]) => name).join();
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    list.replaceChildren(...figures.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))));
  }
  figures.forEach(([, figure, kind], n) => {
    const where = list.children[n].lastChild;
    say(where, figure);
    set(where, "data-state", kind || null);
  });
}

const NAMED = 6;
const GRAVITY = ["bad", "warning"];

// In a graph that is larger than the window: which stages to look at, the worst first.
export function showAttention({ stages }, isLarge, open) {
  const where = byId("attention");
  where.hidden = !isLarge;
  if (!isLarge) return;
  const troubled = stages.map((stage) => [stage.name, ...stateOf(stage)]).filter(([, , kind]) => GRAVITY.includes(kind));
  troubled.sort(([, , a], [, , b]) => GRAVITY.indexOf(a) - GRAVITY.indexOf(b));
  const shown = JSON.stringify(troubled);
  if (where.dataset.shown === shown) return;
  where.dataset.shown = shown;
  const focused = where.contains(document.activeElement) && document.activeElement.dataset.stage;
  const buttons = troubled.slice(0, NAMED).map(([name, word, kind]) => element("button", { type: "button", "data-stage": name, "data-state": kind, onclick: () => open(name) }, `${name}: ${word}`));
  const rest = troubled.length > NAMED && `and ${counted(troubled.length - NAMED, "more stage")}`;
  where.replaceChildren(...(buttons.length ? [...buttons, rest].filter(Boolean) : [`No stage of ${stages.length} fails, starts or is paused.`]));
  if (focused) [...where.children].find((one) => one.dataset.stage === focused)?.focus();
}
