// One connection for all tabs of a browser: browsers allow six to a host.
import { follow } from "./stream.js";
import { withPoint } from "./times.js";

// A tab answers each event. One that is looked at has an event a second: without an answer for this long it has crashed.
const ANSWER_LIMIT = 5000;

// Each tab: whether it is looked at, and when it has said so.
const tabs = new Map();
const first = new Map();
let feed = null;

function tell(event) {
  if (event.kind === "gone") first.clear();
  else first.set(event.kind, event);
  // A tab that comes later has the rates of before.
  if (event.kind === "snapshot") first.set("history", { kind: "history", data: { points: withPoint(first.get("history")?.data.points ?? [], event.data) } });
  [...tabs.keys()].forEach((port) => port.postMessage(event));
  feed.show(isSeen());
}

const isSeen = () => [...tabs.values()].some(({ isShown, at }) => isShown && Date.now() - at < ANSWER_LIMIT);

function hear(port, { key, isShown }) {
  const isNew = !tabs.has(port);
  tabs.set(port, { isShown, at: Date.now() });
  if (isNew) first.forEach((event) => port.postMessage(event));
  // A page that was loaded shows that the server is there.
  if (feed && isNew) feed.retry();
  feed ??= follow(key, tell);
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data === "retry") return feed?.retry();
    if (data === "closed") tabs.delete(port);
    else hear(port, data);
    feed?.show(isSeen());
  };
};
