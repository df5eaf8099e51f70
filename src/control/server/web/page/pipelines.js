// The other pipelines of this user on this machine: how they are as a whole, and the way to their own pages.
import { get, isReadOnly } from "./api.js";
import { byId, element } from "./dom.js";
import { counted, time } from "./words.js";

const EACH = 3000;

export function followPipelines(isThere) {
  const look = async () => {
    if (!document.hidden && isThere()) show(await get("/v1/pipelines").catch(() => null));
    setTimeout(look, EACH);
  };
  // The token for looking is for this pipeline alone.
  if (!isReadOnly()) look();
}

function show(found) {
  if (!found) return;
  byId("pipelines").hidden = !found.length;
  const focused = document.activeElement?.dataset?.pipeline;
  byId("pipeline-list").replaceChildren(...found.map(one));
  if (focused) byId("pipeline-list").querySelector(`[data-pipeline="${CSS.escape(focused)}"]`)?.focus();
}

function one(pipeline) {
  const { name, phase, paused, uptime, processes, running, failing, letters } = pipeline;
  const link = address(pipeline.page);
  const kind = !phase || failing ? "bad" : paused || running < processes ? "warning" : "good";
  const state = !phase ? "no answer" : failing ? `${counted(failing, "stage")} failing` : paused ? "paused" : phase;
  const figures = phase ? [`up ${time(uptime)}`, `${running} of ${processes} workers`, letters > 0 && counted(letters, "dead letter")] : [];
  return element("li", { class: "card", "data-state": kind },
    link ? element("a", { href: link, "data-pipeline": name }, name) : element("b", {}, name), " ", element("span", { class: "badge" }, state),
    element("p", { class: "hint" }, [...figures, phase && !pipeline.page && "no page"].filter(Boolean).join(" · ")));
}

// A page that is served on this machine's loopback is reached from a browser on this machine only.
function address(page) {
  if (!page) return null;
  const url = new URL(page);
  const isLoopback = (host) => host === "localhost" || host === "[::1]" || host.startsWith("127.");
  if (isLoopback(url.hostname)) return isLoopback(location.hostname) ? url.href : null;
  if (["0.0.0.0", "[::]"].includes(url.hostname)) url.hostname = location.hostname;
  return url.href;
}
