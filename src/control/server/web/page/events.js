// What happened to workers, of one stage or of all. It is asked for only when something has happened.
import { get } from "./api.js";
import { byId, element } from "./dom.js";
import { restarts } from "./words.js";

const SHOWN = 8;
// All pages of a server see the same change at once; they ask at different moments.
const SPREAD = 800;

// Another text whenever a worker has come or gone.
export const changes = (stages) => stages.map((stage) => `${restarts(stage)} ${stage.workers.map((worker) => `${worker.pid}${worker.state}`)}`).join();

// The newest first. `isChange`: it was asked for before.
export async function happened(isChange, wanted = () => true) {
  if (isChange) await new Promise((done) => setTimeout(done, Math.random() * SPREAD));
  const status = await get("/v1/status?history=true").catch(() => null);
  if (!status) return null;
  const all = status.stages.filter(wanted).flatMap((stage) => stage.workers.flatMap((worker) =>
    (worker.transitions ?? []).map((event) => ({ stage: stage.name, index: worker.index, ...event }))));
  return all.sort((a, b) => a.ago - b.ago);
}

// "failed: failed: …" says it twice.
const plain = ({ change, reason }) => (reason.startsWith(`${change}: `) ? reason.slice(change.length + 2) : reason);

export const line = (event, ...more) => element("li", { "data-change": event.change },
  element("b", {}, `${event.stage}[${event.index}] ${event.change}`), ` ${event.time.slice(11, 19)}: ${plain(event)}`, ...more);

// All stages: the beginning of a run is nothing to tell.
export class Lately {
  async update(snapshot) {
    const now = `${snapshot.run} ${changes(snapshot.stages)}`;
    if (now === this.seen) return;
    const isChange = Boolean(this.seen);
    this.seen = now;
    const events = await happened(isChange);
    if (!events) return void (this.seen = null);
    // The end of the one before says more than a start in its place.
    const shown = events.filter(({ change, reason }) => change !== "started" || !(reason === "the stage is new" || reason.startsWith("the one before it"))).slice(0, SHOWN);
    byId("lately").hidden = !shown.length;
    byId("event-list").replaceChildren(...shown.map((event) => line(event)));
  }
}
