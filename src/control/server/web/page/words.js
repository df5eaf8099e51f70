// Numbers and states in words.

export function number(value) {
  if (value >= 1e9) return (value / 1e9).toPrecision(3) + " G";
  if (value >= 1e6) return (value / 1e6).toPrecision(3) + " M";
  if (value >= 1e4) return (value / 1e3).toPrecision(3) + " k";
  return String(Math.round(value));
}

export const counted = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;

export function rate(value) {
  if (value >= 10 || value === 0) return number(value) + "/s";
  return value.toFixed(value < 0.1 ? 2 : 1) + "/s";
}

export function time(seconds) {
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return (seconds / 3600).toFixed(1) + " h";
  return Math.round(seconds / 86400) + " d";
}

// Of RFC 3339, to the second.
export const moment = (text) => text.slice(0, 19).replace("T", " ");

export function bytes(count) {
  if (count >= 1 << 30) return (count / (1 << 30)).toFixed(1) + " GiB";
  if (count >= 1 << 20) return (count / (1 << 20)).toFixed(1) + " MiB";
  if (count >= 1024) return (count / 1024).toFixed(1) + " KiB";
  return count + " B";
}

const OUTAGES = { full: "The broker is full, and takes nothing of this machine,", denied: "The broker refuses the user or the password of this machine", unfit: "The broker is unfit (the log says why)" };

// What is to be said of the broker, if anything.
export function brokerNote({ away, outage, commits, full }) {
  if (away) return `${OUTAGES[outage] ?? "The broker can't be reached"} for ${time(away)}: ${counted(commits, "commit")} wait for it.`;
  if (!full) return null;
  const nothing = full.stuck.length ? `, and has taken nothing of ${full.stuck.join(", ")} for a minute` : "";
  return `The broker is full for ${time(full.seconds)}${nothing}: what ${full.stages.join(", ")} has for it waits. Let machines take items out of its queues, or raise ${full.limit}.`;
}

export const isService = (stage) => stage.is_command && !(stage.inputs ?? []).length && !(stage.outputs ?? []).length;

// How many processes are meant to run now: none of a stage that is over, stopped or elsewhere, and none that wait for their time.
export function expected({ fate, running, processes, workers }) {
  if (["finished", "stopped", "elsewhere"].includes(fate)) return running;
  return processes - workers.filter((worker) => worker.state === "scheduled" || worker.has_finished).length;
}

// Why a process that has failed rests, and until when.
export function rest({ workers }) {
  const found = workers.find((worker) => worker.state === "resting" && !worker.has_finished);
  if (!found) return null;
  const again = found.until === null ? "" : `starts again in ${time(found.until)}`;
  const reason = found.reason?.replace("the one before it", "the last process");
  return [reason, again].filter(Boolean).join(", ");
}

// A file as a word of a shell.
export const quoted = (file) => (/^[\w./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`);

export const obstacle = ({ workers }) => workers.map((worker) => worker.obstacle).find(Boolean);

// A word for how a stage is, as `mprun status` has it, and how serious that is: good, warning, bad, quiet.
export function stateOf(stage) {
  const { workers, fate } = stage;
  const any = (...states) => workers.some((worker) => states.includes(worker.state));
  const checks = workers.map((worker) => worker.check?.state);
  if (fate === "gave-up") return ["gave up", "bad"];
  if (workers.some((worker) => worker.lost_reader)) return ["failed", "bad"];
  if (fate === "finished") return ["finished", "quiet"];
  if (fate === "elsewhere") return ["elsewhere", "quiet"];
  if (fate === "stopped") return [stage.running ? "stopping" : "stopped", "quiet"];
  if (fate === "removed") return ["leaving", "quiet"];
  if (stage.failing) return ["failing", "bad"];
  if (stage.killed_in_a_row) return ["killed again and again", "bad"];
  if (checks.includes("unhealthy")) return ["unhealthy", "bad"];
  if (obstacle(stage)) return ["held up", "bad"];
  if (workers.some((worker) => worker.state === "resting" && !worker.has_finished)) return ["failing", "bad"];
  if (any("resting")) return ["restarting", "quiet"];
  if (stage.paused) return ["paused", "warning"];
  if (any("scheduled") && !stage.running) return ["scheduled", "quiet"];
  if (stage.waits_for?.length) return ["waiting", "quiet"];
  if (checks.includes("failing")) return ["checks fail", "warning"];
  if (any("starting", "due") || checks.includes("starting")) return ["starting", "warning"];
  return ["running", "good"];
}

// The same for the pipeline: the worst of its stages. `silent`: machines of shared queues that are not heard of.
export function wholeState(snapshot, silent) {
  const bad = snapshot.stages.map(stateOf).filter(([, kind]) => kind === "bad");
  if (bad.length === 1) return [`1 stage ${bad[0][0]}`, "bad"];
  if (bad.length) return [`${bad.length} stages fail`, "bad"];
  if (snapshot.paused) return ["paused", "warning"];
  if (silent) return [`${snapshot.phase}, ${counted(silent, "machine")} silent`, "warning"];
  return [snapshot.phase, ["running", "reloading"].includes(snapshot.phase) ? "good" : "warning"];
}

export const restarts = (stage) => Object.values(stage.restarts ?? {}).reduce((sum, count) => sum + count, 0);

export const held = (queue) => queue.waiting + queue.delayed;
export const fullness = (queue) =>
  Math.min(1, Math.max(held(queue) / Math.max(1, queue.capacity), queue.bytes / Math.max(1, queue.max_bytes)));
