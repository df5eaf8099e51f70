// The other pipelines of this user on this machine: how they are as a whole, and the way to their own pages.
import { get, isReadOnly } from "./api.js";
import { byId, element } from "./dom.js";
import { counted, time } from "./words.js";

const EACH = 3000;

// `ownPage`: the address at which this page is served on its machine; null while it does not answer.
export function followPipelines(ownPage) {
  const look = async () => {
    const own = ownPage();
    if (!document.hidden && own) show(await get("/v1/pipelines").catch(() => null), own);
    setTimeout(look, EACH);
  };
  // The token for looking is for this pipeline alone.
  if (!isReadOnly()) look();
}

function show(found, own) {
  if (!found) return;
  byId("pipelines").hidden = !found.length;
  const focused = document.activeElement?.dataset?.pipeline;
  byId("pipeline-list").replaceChildren(...found.map((pipeline) => one(pipeline, own)));
  if (focused) byId("pipeline-list").querySelector(`[data-pipeline="${CSS.escape(focused)}"]`)?.focus();
}

function one(pipeline, own) {
  const { name, phase, paused, uptime, processes, running, failing, letters } = pipeline;
  const link = address(pipeline.page, own);
  const kind = !phase || failing ? "bad" : paused || running < processes ? "warning" : "good";
  const state = !phase ? "no answer" : failing ? `${counted(failing, "stage")} failing` : paused ? "paused" : phase;
  const figures = phase ? [`up ${time(uptime)}`, `${running} of ${processes} workers`, letters > 0 && counted(letters, "dead letter")] : [];
  return element("li", { class: "card", "data-state": kind },
    link ? element("a", { href: link, "data-pipeline": name }, name) : element("b", {}, name), " ", element("span", { class: "badge" }, state),
    element("p", { class: "hint" }, [...figures, phase && !pipeline.page && "no page"].filter(Boolean).join(" · ")));
}

// A page that is served on a machine's loopback is reached from a browser there, not through a tunnel or a proxy: this page has its
// own address then.
function address(page, own) {
  if (!page) return null;
  const url = new URL(page);
  if (url.hostname === "localhost" || url.hostname === "[::1]" || url.hostname.startsWith("127.")) return location.host === new URL(own).host ? url.href : null;
  if (["0.0.0.0", "[::]"].includes(url.hostname)) url.hostname = location.hostname;
  return url.href;
}
