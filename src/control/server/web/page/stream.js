// The state of the pipeline, for all tabs of a browser. While a tab is looked at, it comes by the event stream, which is read by
// `fetch`, as an EventSource can't send the key. A stream that ends, or says nothing for some seconds, is opened again, for ever. All
// clients of a server lose it at the same moment: each comes back at a time of its own, and later with each failure. While all tabs
// are hidden there is no stream: the status is asked for now and then, as the titles of tabs have it.

const SILENCE = 5000;
const FIRST_DELAY = 2000;
const LONGEST_DELAY = 16_000;
// A stream that lasts this long was no failure.
const STABLE = 10_000;
// From the moment in which the last tab is hidden: a change of tabs keeps the stream.
const RELEASE_DELAY = 3000;
// Between two requests of hidden tabs. The server closes the connection in between.
const HIDDEN_INTERVAL = 20_000;
const RELEASED = new Error("no tab is looked at");

// The pause before the next connection, in milliseconds, after a number of failures in a row.
export function delay(failures, random = Math.random()) {
  return Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)) * (0.2 + 0.8 * random);
}

// `retry` ends a pause; `show` says whether a tab is looked at.
export function follow(key, tell) {
  let [isShown, leaving, stream] = [true, null, null];
  let retry = () => {};
  const pause = (time) => new Promise((done) => {
    retry = done;
    setTimeout(done, time);
  });
  const run = async () => {
    for (let failures = 1; ; failures += 1) {
      const begun = Date.now();
      const mine = stream = new AbortController();
      const status = await (isShown ? listen(key, tell, mine) : ask(key, tell)).catch(() => 0);
      if (status === 200 || mine.signal.reason === RELEASED) {
        failures = 0;
        if (status === 200 && !isShown) await pause(HIDDEN_INTERVAL);
        continue;
      }
      if (Date.now() - begun > STABLE) failures = 1;
      const rest = delay(failures);
      tell({ kind: "gone", status, rest });
      await pause(rest);
    }
  };
  run();
  const release = () => {
    [isShown, leaving] = [false, null];
    stream.abort(RELEASED);
  };
  const show = (isSeen) => {
    if (!isSeen) {
      if (isShown) leaving ??= setTimeout(release, RELEASE_DELAY);
      return;
    }
    clearTimeout(leaving);
    leaving = null;
    if (!isShown) {
      isShown = true;
      retry();
    }
  };
  return { retry: () => retry(), show };
}

const headers = (key) => ({ "x-mprun-key": key });

async function ask(key, tell) {
  const answer = await fetch("/v1/status", { headers: headers(key), signal: AbortSignal.timeout(SILENCE) });
  if (answer.ok) tell({ kind: "snapshot", data: await answer.json() });
  return answer.status;
}

async function listen(key, tell, abort) {
  let silence;
  const wait = () => {
    clearTimeout(silence);
    silence = setTimeout(() => abort.abort(), SILENCE);
  };
  wait();
  try {
    const answer = await fetch("/v1/events", { headers: headers(key), signal: abort.signal });
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
        // JSON may hold any other separator of lines, at which a `.` of a regular expression ends.
        const [kind, data] = event.split("\n");
        tell({ kind: kind.slice("event: ".length), data: JSON.parse(data.slice("data: ".length)) });
      }
    }
  } finally {
    clearTimeout(silence);
  }
}
