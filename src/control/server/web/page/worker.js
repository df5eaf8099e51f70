// One stream for all tabs of a browser: browsers allow six connections to a host.
import { follow } from "./stream.js";

const ports = new Set();
const first = new Map();
let [key, retry] = [null, null];

function tell(event) {
  if (event.kind === "gone") first.clear();
  else first.set(event.kind, event);
  ports.forEach((port) => port.postMessage(event));
}

self.onconnect = ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = ({ data }) => {
    if (data === "closed") return ports.delete(port);
    if (data === "retry") return retry();
    first.forEach((event) => port.postMessage(event));
    // A page that was loaded shows that the server is there.
    if (key === null) retry = follow((key = data), tell);
    else retry();
  };
};
