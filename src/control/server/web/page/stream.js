// The event stream. It is read by `fetch`, as an EventSource can't send the key. A stream that ends, or says nothing for some
// seconds, is opened again, for ever. All clients of a server lose it at the same moment: each comes back at a time of its own, and
// later with each failure.

const SILENCE = 5000;
const FIRST_DELAY = 2000;
const LONGEST_DELAY = 16_000;
// A stream that lasts this long was no failure.
const STABLE = 10_000;

// The pause before the next connection, in milliseconds, after a number of failures in a row.
export function delay(failures, random = Math.random()) {
  return Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)) * (0.2 + 0.8 * random);
}

// Returns a function that ends the delay.
export function follow(key, tell) {
  let retry = () => {};
  const run = async () => {
    for (let failures = 1; ; failures += 1) {
      const begun = Date.now();
      const status = await once(key, tell).catch(() => 0);
      if (Date.now() - begun > STABLE) failures = 1;
      const rest = delay(failures);
      tell({ kind: "gone", status, rest });
      await new Promise((done) => {
        retry = done;
        setTimeout(done, rest);
      });
    }
  };
  run();
  return () => retry();
}

async function once(key, tell) {
  const abort = new AbortController();
  let silence;
  const wait = () => {
    clearTimeout(silence);
    silence = setTimeout(() => abort.abort(), SILENCE);
  };
  wait();
  try {
    const answer = await fetch("/v1/events", { headers: { "x-mprun-key": key }, signal: abort.signal });
    if (!answer.ok) return answer.status;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return 0;
      wait();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const [, kind, data] = /^event: (.*)\ndata: (.*)$/.exec(event) ?? [];
        if (kind) tell({ kind, data: JSON.parse(data) });
      }
    }
  } finally {
    clearTimeout(silence);
  }
}
