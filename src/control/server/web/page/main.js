// The page: it follows the event stream, and shows what is selected.
import { isReadOnly, key, post } from "./api.js";
import { byId, element, say, set } from "./dom.js";
import { Lately } from "./events.js";
import { Graph, showServices } from "./graph.js";
import { LettersView } from "./letters.js";
import { Machines } from "./machines.js";
import { followPipelines } from "./pipelines.js";
import { QueueView } from "./queue.js";
import { ReloadView } from "./reload.js";
import { StageView } from "./stage.js";
import { follow } from "./stream.js";
import { showAttention, showSummary } from "./summary.js";
import { SPAN, joined, withPoint } from "./times.js";
import { brokerNote, counted, time, wholeState } from "./words.js";

const graph = new Graph(select);
const puts = new Map();
const [lately, machines] = [new Lately(), new Machines()];
let [snapshot, history, recent, view, selected, goneSince] = [null, [], [], null, null, null];

function hear({ kind, data, status, rest }) {
  if (kind === "gone") return showGone(status, rest);
  // Without a tab that is looked at, the server may have had no listener.
  if (kind === "history") history = joined(history, data.points);
  if (kind === "layout") graph.lay(data);
  if (kind === "snapshot") take(data);
  if (kind === "layout" && snapshot) show();
}

function take(next) {
  if (snapshot && snapshot.run !== next.run) [history, recent] = [[], []], puts.clear();
  snapshot = next;
  recent = [...recent.filter((old) => next.uptime - old.uptime <= 11), next];
  history = withPoint(history, next);
  for (const queue of next.queues) {
    const seen = puts.get(queue.name) ?? [];
    puts.set(queue.name, [...seen.filter(([at]) => next.uptime - at <= SPAN), [next.uptime, queue.put]]);
  }
  goneSince = null;
  byId("gone").hidden = true;
  set(document.body, "data-gone", null);
  if (document.hidden) showTitle();
  else show();
}

// A tab behind others is known by it.
function showTitle() {
  const [state, kind] = wholeState(snapshot, machines.silent());
  document.title = `${state === "running" ? "" : `${state}: `}${snapshot.pipeline} – mprun`;
  return [state, kind];
}

function show() {
  const { pipeline, uptime, bottleneck, broker } = snapshot;
  const dead = snapshot.letters.letters + machines.letters();
  const [state, kind] = showTitle();
  say(byId("name"), pipeline);
  say(byId("state"), `${state}, up ${time(uptime)}${isReadOnly() ? ", for looking only" : ""}`);
  set(byId("state"), "data-state", kind);
  const whole = machines.over(snapshot);
  showSummary(whole, dead);
  say(byId("bottleneck"), bottleneck ? `${broker ? "On this machine: " : ""}${bottleneck.text}` : "");
  say(byId("letters"), dead ? counted(dead, "dead letter") : "Dead letters");
  set(byId("letters"), "data-some", dead ? "" : null);
  say(byId("pause"), snapshot.paused ? "Resume" : "Pause");
  const notes = [broker && brokerNote(broker), snapshot.config.refusal && `The changed file is not used: ${snapshot.config.refusal.text.split("\n")[0]}`, snapshot.config.changed.length && `Changed by hand: ${snapshot.config.changed.join(", ")}`].filter(Boolean);
  byId("notice").hidden = !notes.length;
  say(byId("notice"), notes.join(" · "));
  const names = [...snapshot.stages, ...snapshot.queues].map((one) => one.name);
  if (byId("names").dataset.all !== names.join("\n")) {
    byId("names").dataset.all = names.join("\n");
    byId("names").replaceChildren(...names.map((name) => element("option", { value: name })));
  }
  const before = recent[0] === snapshot ? null : recent[0];
  if (graph.layout) graph.update(whole, history, before, selected);
  byId("graph").hidden = !snapshot.queues.length && snapshot.stages.every((stage) => !stage.rate);
  showAttention(snapshot, Boolean(graph.isLarge), (name) => lead("stage", name));
  showServices(snapshot, selected, select);
  lately.update(snapshot);
  view?.update(snapshot, history, before, puts);
  if (view?.title) say(byId("panel").querySelector("h2"), view.title);
}

function showGone(status, rest) {
  goneSince ??= new Date();
  const isOver = status === 401 || status === 403;
  const wasEnding = ["draining", "stopping"].includes(snapshot?.phase);
  const [state, word] = isOver ? ["session ended", "bad"] : wasEnding ? ["ended", "quiet"] : ["no answer", "bad"];
  set(document.body, "data-gone", "");
  say(byId("state"), state);
  set(byId("state"), "data-state", word);
  document.title = `${state}: ${snapshot?.pipeline ?? "mprun"}`;
  byId("gone").hidden = false;
  set(byId("gone"), "data-state", word);
  const since = goneSince.toTimeString().slice(0, 8);
  say(byId("gone-text"), isOver
    ? "This browser's session has ended. Run `mprun open` where the pipeline runs, and follow its link."
    : wasEnding ? `The run ended at ${since}: it was ${snapshot.phase}. This page comes back with the next run.`
    : status === 503 ? `As many clients as the pipeline serves are there since ${since}. This page comes back by itself.`
    : `No answer since ${since}: the pipeline is gone, or the way to it. This page comes back by itself.`);
  // Outside of the alert: a screen reader need not say each try.
  say(byId("next-try"), `The next try is in ${rest < 1500 ? "a second" : `${Math.round(rest / 1000)} seconds`}.`);
}

async function act(path, body) {
  try {
    const said = await post(path, body);
    say(byId("answer"), said.done ?? "done");
  } catch (error) {
    say(byId("answer"), error.message);
  }
}

function confirm(text) {
  say(byId("ask-text"), text);
  byId("ask").returnValue = "no";
  byId("ask").showModal();
  return new Promise((done) => byId("ask").addEventListener("close", () => done(byId("ask").returnValue === "yes"), { once: true }));
}

const answer = (text) => say(byId("answer"), text);
const VIEWS = {
  stage: (name) => [`Stage ${name}`, new StageView(name, act)],
  queue: (name) => [`Queue ${name}`, new QueueView(name, machines)],
  letters: () => ["Dead letters", new LettersView(confirm, answer, machines)],
  reload: () => ["Reload", new ReloadView(act)],
};

let opener = null;
function select(kind, name = "") {
  view?.close();
  opener = document.activeElement;
  selected = `${kind}/${name}`;
  const [title, next] = VIEWS[kind](name);
  view = next;
  const close = element("button", { type: "button", class: "close", "aria-label": "Close details", onclick: () => unselect() }, "✕");
  byId("panel").replaceChildren(element("div", { class: "head" }, element("h2", {}, title), close), view.body);
  byId("panel").hidden = false;
  set(document.body, "data-panel", "");
  location.hash = selected;
  if (snapshot) show();
  byId("panel").focus({ preventScroll: true });
  if (matchMedia("(max-width: 760px)").matches) byId("panel").scrollIntoView();
  else if (graph.layout) graph.lead(selected, "nearest");
}

function unselect() {
  view?.close();
  [view, selected] = [null, null];
  byId("panel").hidden = true;
  set(document.body, "data-panel", null);
  history_clear();
  if (snapshot) show();
  opener?.isConnected && opener.focus();
}

const history_clear = () => window.history.replaceState(null, "", "/");

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId(view ? "panel" : "behind").focus();
});
byId("pause").addEventListener("click", () => act(snapshot?.paused ? "/v1/resume" : "/v1/pause", {}));
byId("reload").addEventListener("click", () => select("reload"));
byId("letters").addEventListener("click", () => select("letters"));
// What is called so; else the first whose name begins so, or has it somewhere.
function find(wanted) {
  if (!wanted) return null;
  const all = [...snapshot.stages.map(({ name }) => ["stage", name]), ...snapshot.queues.map(({ name }) => ["queue", name])];
  const ways = [(name) => name === wanted, (name) => name.startsWith(wanted), (name) => name.includes(wanted)];
  for (const way of ways) {
    const found = all.find(([, name]) => way(name.toLowerCase()));
    if (found) return found;
  }
  answer(`No stage and no queue has “${wanted}” in its name.`);
  return null;
}

byId("find").addEventListener("change", ({ target }) => {
  const found = snapshot && find(target.value.trim().toLowerCase());
  if (!found) return;
  say(byId("answer"), "");
  lead(...found);
});

// Selects, and shows where it is.
function lead(kind, name) {
  select(kind, name);
  graph.lead(selected, "center");
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view && !byId("ask").open) unselect();
  if (event.key === "/" && event.target.tagName !== "INPUT") {
    event.preventDefault();
    byId("find").focus();
  }
});
document.addEventListener("visibilitychange", () => {
  reportShown();
  view?.look?.(!document.hidden);
  if (document.hidden) return;
  if (goneSince) again();
  else if (snapshot) show();
});
// The session of a link that was followed in another tab is this tab's, too: all of the page has to be of one session.
const session = key();
function renew() {
  const isOther = key() !== session;
  if (isOther) location.reload();
  return isOther;
}
const again = () => renew() || retry();
byId("retry").addEventListener("click", again);
addEventListener("online", again);
addEventListener("storage", ({ key: name }) => name === "mprun-key" && renew());
for (const button of document.querySelectorAll("[data-changes]")) button.disabled = isReadOnly();

followPipelines(() => goneSince === null && snapshot?.page);
// The broker knows this machine by an id.
machines.follow(() => goneSince === null && snapshot?.broker && { own: snapshot.broker.machine, file: snapshot.file });

// What the address says: what was selected before the page was loaded again, or on the way back. Another page may link here with
// any fragment.
function selectByAddress() {
  const [, kind, name] = /^#(stage|queue|letters|reload)\/([\w-]*)$/.exec(location.hash) ?? [];
  if (!kind) return view && unselect();
  if (selected !== `${kind}/${name}`) select(kind, name);
}
addEventListener("hashchange", selectByAddress);
selectByAddress();

let [retry, reportShown] = [];
if (window.SharedWorker) {
  const worker = new SharedWorker("/page/worker.js", { type: "module", name: `mprun-${key().slice(0, 8)}` });
  worker.port.onmessage = ({ data }) => {
    reportShown();
    hear(data);
  };
  retry = () => worker.port.postMessage("retry");
  reportShown = () => worker.port.postMessage({ key: key(), isShown: !document.hidden });
  addEventListener("pagehide", () => worker.port.postMessage("closed"));
  // A page that the browser has kept, and shows again.
  addEventListener("pageshow", ({ persisted }) => persisted && (renew() || reportShown()));
} else {
  const feed = follow(key(), hear);
  retry = feed.retry;
  reportShown = () => feed.show(!document.hidden);
}
reportShown();
