// The event stream. It is read by `fetch`, as an EventSource can't send the key. A stream that ends, or says nothing for some
// seconds, is opened again, for ever.

const SILENCE = 5000;
const REST = 1000;

export async function follow(key, tell) {
  for (;;) {
    const status = await once(key, tell).catch(() => 0);
    tell({ kind: "gone", status });
    await new Promise((done) => setTimeout(done, REST));
  }
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
