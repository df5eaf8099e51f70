// The pipeline in a few figures.
import { byId, element, say, set } from "./dom.js";
import { held, number, restarts, runsHere } from "./words.js";

const sum = (all, of) => all.reduce((before, one) => before + of(one), 0);

// `dead`: all dead letters that are kept.
export function showSummary({ stages, queues }, dead) {
  const [running, processes] = [sum(stages, (stage) => stage.running), sum(stages, (stage) => (runsHere(stage) ? stage.processes : stage.running))];
  const full = queues.filter((queue) => held(queue) >= queue.capacity).length;
  const figures = [
    ["workers", running === processes ? number(running) : `${number(running)} of ${number(processes)}`, running < processes && "warning"],
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
