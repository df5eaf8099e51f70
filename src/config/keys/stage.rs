//! `[stages.NAME]`, and `[defaults]`, which holds most of the same keys.

use std::path::PathBuf;

use serde_json::Value;

use super::{
    BackoffKeys, GiveUpKeys, HealthKeys, JobLogKeys, LimitKeys, LogFileKeys, ReadyKeys, RecycleKeys,
    RetryKeys, Routes, seconds,
};
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::document::{Content, Entry, Node, Table};
use crate::config::elements::{
    At, Count, DeadCodes, Element, EnvFiles, ExitCodes, Fields, FramingWord, HaltText, Invocation,
    LaterCodes, ModeWord, Nice, Pause, Period, Processes, QueueNames, RateText, ReplyWord, ScheduleText,
    StageNames, Umask, Variables, With, Word, part, table,
};
use crate::config::pipeline::{
    self, Collect, Command, Framing, Machines, OnGiveUp, OrderOf, OutputOrder, Placeholders, Restart, Rules,
    Stdout, StopSignal, Tuning, WhenFailing,
};

table! {
    /// `[stages.NAME]`.
    StageKeys = "a stage" {
        /// What the stage does: a built-in, or a stage registered from Rust.
        r#use: Option<Word> = None, also "uses" "type" "kind" "builtin";
        /// The parameters of `use`.
        with: With = Table::default(), also "params" "parameters" "options" "config";
        /// The program that does the work: a list of words, run directly, or a line for `/bin/sh -c`. In a list,
        /// `{worker}` is the worker's number, and with `mode = "each"` `{}` is the item; `{{}}` and `{{worker}}` stand for
        /// these texts. In a line for the shell `"$1"` is the item then. A program that takes the item as an argument has an empty standard input.
        command: Option<Invocation> = None, also "cmd" "program" "script" "args" "run" "exec" "shell" "entrypoint" "execstart";
        /// How the program gets items: "stream": it keeps running, and its input and output are unrelated. "reply": it
        /// keeps running, and answers each item. "each": it is started for each item, which is its argument (`{}`) or
        /// its standard input, and its outputs count only if it succeeds.
        mode: ModeWord = ModeWord::Stream;
        /// With `mode = "reply"`: whether an answer is one item, or any number of them followed by an empty one.
        reply: ReplyWord = ReplyWord::One, also "answer" "answers";
        /// With `mode = "each"`: whether each line (or frame) is an output, or all that the program writes is one.
        collect: Collect = Collect::Lines;
        /// With `mode = "each"`: the largest number of items in one batch on the program's standard input. A batch
        /// does not wait until it is full.
        batch: Option<Count<1, 1000, u32>> = None, also "batch_size" "max_batch" "chunk" "chunksize";
        /// With `mode = "each"`: which words of the command stand for the item. "item": `{}`. "parallel": those of GNU parallel
        /// as well: `{.}` without its extension, `{/}` without its folder, `{//}` its folder, `{/.}` without both, `{1}` its
        /// first argument and `{-1}` its last (see `max_args`; also `{1.}` and so on), `{#}` its number, `{%}` the worker's number
        /// from 1; `{worker}` is text then. An argument that the item lacks
        /// is empty in a longer word, and a word `{2}` alone is left out then.
        placeholders: Placeholders = Placeholders::Item, also "replacement" "replacements";
        /// With `mode = "each"`: an item is up to this many arguments, with a zero byte between them, as `use = "group"` makes
        /// them. A word that is `{}` alone becomes a word for each; inside of a word a space stands between them. All of them
        /// fail together. Without it an item is one argument.
        max_args: Option<Count<1, 100_000, u32>> = None, also "max-args" "n";
        /// With `mode = "each"`: what the program has written counts also where its item has failed for good (its last attempt), and
        /// comes out as the item ends, once its dead letter is written. If the worker is killed in between the item is tried again,
        /// and what it prints on a terminal or into a pipe may come a second time.
        keep_failed_output: bool = false, also "keep_output";
        /// With `mode = "each"`: each line that the program writes begins with its item and a tab.
        tag: bool = false, also "tags";
        /// With `mode = "each"`, without `batch`: a file with a row for each item that has ended, in the columns of GNU parallel.
        joblog: JobLogKeys = JobLogKeys::default(), also "job_log";
        /// With `mode = "each"`: when the run ends although there are items left. "soon,fail=1": as soon as an item has failed
        /// for good no further one is tried; what runs ends by itself. "now,fail=1": what runs is stopped. Instead of `fail` also
        /// `success`, or `done` for both; instead of a number a share of all items, such as `30%`.
        halt: Option<HaltText> = None, also "halt_on_error" "stop_on_error" "fail_fast";
        /// How items are delimited on the program's standard input and output: "lines", or for bytes of any kind
        /// "nul" (a zero byte after each), "netstring" (`5:hello,`), "u32be" (four bytes of length before each).
        /// "mprun" is for programs that use mprun's Python module or speak its protocol (docs/helper-protocol.md): it
        /// implies `mode = "reply"`, with any number of outputs for each item, and lets the program fail an item and
        /// keep running.
        framing: Option<FramingWord> = None, also "frame" "format" "delimiter" "separator";
        /// `framing` for its standard input alone.
        in_framing: Option<Framing> = None, also "input_framing" "input_format";
        /// `framing` for its standard output alone.
        out_framing: Option<Framing> = None, also "output_framing" "output_format";
        /// The exit codes of the program that mean success.
        success_codes: ExitCodes = vec![0], also "exit_codes" "exitcodes" "success_code" "ok_codes";
        /// The exit codes of the program that mean that the item can never be done: a dead letter at once, without further
        /// attempts. With `mode = "each"` or `"reply"`.
        dead_codes: DeadCodes = Vec::new(), also "reject_codes" "permanent_codes" "fatal_codes";
        /// The exit codes of the program that mean "not now": the item is tried again later, without end, and no attempt is
        /// counted. With `mode = "each"` or `"reply"`.
        later_codes: LaterCodes = pipeline::LaterCodes::default(), also "not_now_codes" "tempfail_codes" "retry_codes";
        /// Where the program's standard output goes: "items": to the stage's queues, or without `output` as lines to mprun's
        /// own standard output. "log": to the log, as its standard error does. "null": nowhere.
        stdout: Stdout = Stdout::Items, also "standard_output";
        /// Variables for the program's environment, added to mprun's own; they override those.
        env: Variables = Vec::new(), also "environment" "variables";
        /// A file of such variables, one `NAME=value` a line, in the grammar of systemd's `EnvironmentFile=`; `env`
        /// overrides them. Or a list of such files: of two with the same variable the later one applies.
        env_file: EnvFiles = Vec::new(), also "environment_file" "environmentfile" "dotenv";
        /// The folder that the program runs in. Default: the file's folder.
        cwd: Option<Word<PathBuf>> = None, also "dir" "directory" "working_directory" "workingdirectory" "chdir" "workdir";
        /// The user that the program runs as, by name or number. It can't gain privileges again.
        user: Option<Word> = None, also "uid" "as_user";
        /// The group that it runs as, by name or number. Default: the user's own groups.
        group: Option<Word> = None, also "gid";
        /// The permission bits that are removed from its new files, in octal.
        umask: Option<Umask> = None;
        /// The niceness of the program: a higher number means a lower CPU priority.
        nice: Option<Nice> = None, also "niceness" "priority";
        /// Resource limits of the program.
        limits: LimitKeys = LimitKeys::default(), also "limit" "ulimit" "ulimits" "rlimits";
        /// The queue that the stage reads, or a list of them. Without it the stage is a source.
        input: QueueNames = Vec::new(), also "inputs" "from" "in" "reads" "source" "queue";
        /// The queue that the stage writes, or a list: each gets every item. Without it, lines on standard output.
        output: QueueNames = Vec::new(), also "outputs" "to" "out" "writes" "target";
        /// With `use = "route"`: rules, of which the first that holds for an item says which queue gets it. These queues are the
        /// outputs of the stage. An item for which none holds has failed.
        routes: Routes = Vec::new(), also "rules" "route" "switch" "cases" "branches";
        /// How many worker processes the stage has: a number, or "cpus" for as many as there are CPUs.
        processes: Processes = 1, also "workers" "num_workers" "process" "numprocs" "replicas" "scale" "instances" "concurrency" "threads" "jobs" "parallel" "parallelism";
        /// "input": what the processes write comes out in the order of the items that they took, whichever process is done first.
        /// With `mode = "reply"` or `"each"`, or a built-in, and with one `input`. Without it, as they are done.
        order: Option<OrderOf> = None, also "ordered" "keep_order" "ordering";
        /// With `order`: how many finished items may wait for those before them, for each process; then no more are taken.
        /// They count for the `max_bytes` of the queue that they are for.
        order_window: Count<1, 8192, u32> = 64, also "window" "order_buffer";
        /// With a shared queue: "one": of the machines that run the stage one works at a time. When it is gone for the broker's
        /// `ack_wait`, or stops, another continues from its position. "all": each of them works.
        machines: Machines = Machines::All, also "machine" "runs_on" "singleton";
        /// How many items the stage may begin in a time (a source: emit), over all its workers, also while the pipeline
        /// drains. Without it there is no limit.
        rate: Option<RateText> = None, also "rate_limit" "ratelimit" "throttle" "max_rate" "limit_rate";
        /// A pause after each item.
        sleep: Pause = seconds(0), also "delay" "pause" "interval";
        /// The time between two tries when the output is full. Without it, the worker waits until there is room.
        sleep_when_full: Option<Period> = None;
        /// The time between two tries when the input is empty. Without it, the worker waits until there is an item.
        sleep_when_empty: Option<Period> = None;
        /// Log each step of each item, with the queue's size before and after.
        log_items: bool = false, also "verbose" "trace";
        /// Starts the program at these times, in local time, instead of at once. A time that comes while it runs is left
        /// out. A run with such a stage does not end by itself.
        schedule: Option<ScheduleText> = None, also "cron" "at" "crontab" "when" "every" "oncalendar";
        /// The stages whose processes must be ready before this stage is started for the first time. At a stop a
        /// service ends after the stages that name it. A restart of either leaves the other alone.
        after: StageNames = Vec::new(), also "depends_on" "start_after" "requires" "wait_for";
        /// When a process of a service counts as started: once it passes this check. Without it, as soon as its program runs.
        ready: ReadyKeys = ReadyKeys::default(), also "readiness" "readiness_probe" "startup";
        /// A check of a service as long as it runs. If it fails too often in a row, the service is restarted.
        health: HealthKeys = HealthKeys::default(), also "healthcheck" "liveness" "liveness_probe" "watchdog";
        /// When an ended worker is started again: always, only after a failure, or never.
        restart: Restart = Restart::OnFailure, also "autorestart" "restart_policy";
        /// How long to wait before a restart: doubling from `initial` to `max`.
        backoff: BackoffKeys = BackoffKeys::default(), also "restartsec" "restart_delay" "startsecs";
        /// The restart intensity: how many restarts within what time make the stage give up.
        give_up: GiveUpKeys = GiveUpKeys::default(), also "giveup" "max_restarts" "startretries";
        /// What happens to the pipeline when the stage gives up: it stops, or continues without the stage.
        on_give_up: OnGiveUp = OnGiveUp::Stop;
        /// How often one item is tried before it becomes a dead letter.
        attempts: Count<1, 1_000_000, u32> = 3, also "tries" "max_attempts" "retries" "max_retries" "retry_count";
        /// How long a failed item waits before its next attempt: doubling from `delay` to `max`.
        retry: RetryKeys = RetryKeys::default(), also "retry_delay" "retry_backoff" "retry_policy";
        /// What happens while different items of the stage fail one after the other: "wait": one at a time is
        /// tried until one succeeds, and an item that fails as they did is charged no attempt. "stop": the run ends, and the items stay in their
        /// queue. "dead-letter": each item has its attempts, and then is a dead letter.
        when_failing: WhenFailing = WhenFailing::Wait, also "on_failing" "when_failed" "on_error" "on_failure";
        /// How long the stage may be failing before the run ends for it. Default: 10 minutes in a run that ends by itself,
        /// else no limit.
        failing_timeout: Option<Period> = None, also "failing_limit" "outage_timeout";
        /// The longest time that one item may take. Without it there is no limit.
        item_timeout: Option<Period> = None, also "timeout" "time_limit" "task_time_limit";
        /// How long a worker may take to stop after it was asked to. Then it is killed.
        stop_timeout: Pause = seconds(10), also "stopwaitsecs" "stop_grace_period" "timeoutstopsec" "kill_timeout" "grace" "grace_period";
        /// The signal that asks a program to stop. It goes to the program and all that it has started.
        stop_signal: StopSignal = StopSignal::default(), also "stopsignal" "kill_signal" "killsignal";
        /// When a worker is replaced by a new process.
        recycle: RecycleKeys = RecycleKeys::default();
        /// A file for the log of its workers and their programs, in addition to standard error.
        log_file: LogFileKeys = LogFileKeys::default(), also "logfile" "log" "logs" "stderr" "stderr_logfile" "stdout_logfile";
        /// `false` leaves the stage out, as if it were not in the file.
        enabled: bool = true, also "enable" "disabled" "active";
        /// `false`: the stage begins as one that `mprun stop NAME STAGE` has stopped: it has no process before
        /// `mprun start NAME STAGE`, and the run does not end by itself before. It applies to a stage that a run or a
        /// reload begins with.
        autostart: bool = true, also "auto_start" "start_on_boot";
    }
}

part! {
    StageKeys => Tuning {
        sleep, sleep_when_full, sleep_when_empty, log_items, attempts, item_timeout, retry, when_failing, rate,
    }
}

part! { StageKeys => OutputOrder { order, order_window } }

part! {
    StageKeys => Rules { restart, backoff, give_up, on_give_up, stop_timeout, failing_timeout, schedule, autostart }
}

part! {
    StageKeys => Command { success_codes, dead_codes, later_codes, placeholders, max_args, keep_failed_output, tag, halt, stop_signal, env, cwd, user, group, umask, nice, limits } else Command::default()
}

/// Keys that only a stage with a `command` takes.
const OF_A_PROGRAM: [&str; 29] = [
    "mode",
    "reply",
    "collect",
    "batch",
    "placeholders",
    "max_args",
    "keep_failed_output",
    "tag",
    "joblog",
    "halt",
    "framing",
    "in_framing",
    "out_framing",
    "success_codes",
    "dead_codes",
    "later_codes",
    "stdout",
    "stop_signal",
    "env",
    "env_file",
    "cwd",
    "user",
    "group",
    "umask",
    "nice",
    "limits",
    "schedule",
    "ready",
    "health",
];

/// Keys that make a stage this one and no other: they have no default for all.
const OF_ONE_STAGE: [&str; 22] = [
    "use",
    "with",
    "command",
    "mode",
    "reply",
    "collect",
    "batch",
    "placeholders",
    "max_args",
    "keep_failed_output",
    "tag",
    "joblog",
    "halt",
    "input",
    "output",
    "routes",
    "order",
    "order_window",
    "schedule",
    "after",
    "ready",
    "health",
];

impl StageKeys {
    /// The keys of a program that are set here, with their places.
    pub(crate) fn of_program(&self) -> Vec<(&'static str, At)> {
        let set = self.set_keys().into_iter().filter(|(key, _)| OF_A_PROGRAM.contains(key));
        set.map(|(key, at)| (key, at.clone())).collect()
    }
}

/// `[defaults]`: the keys of a stage, but for those that make it this stage and no other.
pub(crate) struct Defaults;

impl Element for Defaults {
    type Output = StageKeys;

    fn read(node: &Node, report: &mut Report) -> Option<StageKeys> {
        let Content::Table(table) = &node.content else { return StageKeys::read(node, report) };
        let one_stage = |entry: &Entry| OF_ONE_STAGE.into_iter().find(|key| *key == entry.key);
        let (own, of_all): (Vec<Entry>, Vec<Entry>) =
            table.entries.iter().cloned().partition(|entry| one_stage(entry).is_some());
        let content = Content::Table(Table { entries: of_all });
        let mut keys = StageKeys::read(&Node { span: node.span.clone(), content }, report)?;
        for entry in &own {
            let title = format!("`{}` is each stage's own: it has no default for all", entry.key);
            let fault = Diagnostic::error(title).at(&entry.key_span);
            report.push(fault.help("write it into each `[stages.NAME]` that it is for"));
            keys.unread.push(one_stage(entry));
        }
        Some(keys)
    }

    fn accepted() -> String {
        "a table of keys that a stage takes".into()
    }

    fn schema() -> Value {
        let mut schema = StageKeys::schema();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.retain(|key, _| !OF_ONE_STAGE.contains(&key.as_str()));
        }
        schema
    }

    fn written(_: &StageKeys) -> Value {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_keys_that_have_no_default_for_all() {
        let page = include_str!("../../../docs/pipeline-file.md");
        let (_, said) =
            page.split_once("`[defaults]` holds any of these keys for all stages, except ").unwrap();
        let (said, _) = said.split_once(';').unwrap();
        let said: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
        assert_eq!(said, OF_ONE_STAGE);
    }
}
