// Requests to the pipeline.

export const key = () => localStorage.getItem("mprun-key") ?? "";
export const isReadOnly = () => localStorage.getItem("mprun-read-only") === "true";

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { "x-mprun-key": key() } });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(body.error ?? `${answer.status}`), { status: answer.status, reason: body.reason });
}

export const get = async (path) => (await ask(path)).json();
export const post = async (path, body = {}) =>
  (await ask(path, { method: "POST", body: JSON.stringify(body) })).json();

// Lines of JSON, as they come.
export async function lines(path, signal, each) {
  const answer = await ask(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const all = (rest + value).split("\n");
    rest = all.pop();
    all.filter(Boolean).forEach((line) => each(JSON.parse(line)));
  }
}
