//! The small tables within a stage.

use super::millis;
use crate::config::elements::{
    Count, HttpUrl, Invocation, LinePattern, Pause, Period, Size, TcpAddress, Word, part, table,
};
use crate::config::pipeline::{Backoff, GiveUp, ProgramLimits, Recycle, Resume, Retry};
use std::path::PathBuf;

table! {
    /// `backoff`.
    BackoffKeys = "`backoff`" {
        /// The first delay. The first restart after a good run has none.
        initial: Period = millis(100), also "min" "start";
        /// The longest delay.
        max: Period = millis(30_000), also "limit" "cap";
        /// A worker that ran at least this long resets its backoff.
        reset_after: Period = millis(60_000), also "reset";
    }
}

part! { table BackoffKeys => Backoff { initial, max, reset_after } }

table! {
    /// `give_up`.
    GiveUpKeys = "`give_up`" {
        /// The number of restarts that is allowed in that time. One more, and the stage gives up.
        restarts: Count<0, 1_000_000, u32> = 10, also "max" "count" "retries" "startlimitburst";
        /// The time window in which restarts are counted.
        within: Period = millis(60_000), also "period" "window" "after" "interval" "startlimitintervalsec";
    }
}

part! { table GiveUpKeys => GiveUp { restarts, within } }

table! {
    /// `retry`.
    RetryKeys = "`retry`", number is "attempts" {
        /// The delay after an item's first failure. With zero it is tried again at once, each time.
        delay: Pause = millis(200), also "initial" "min" "start" "wait";
        /// The longest delay.
        max: Period = millis(30_000), also "limit" "cap" "max_delay";
    }
}

part! { table RetryKeys => Retry { delay, max } }

table! {
    /// `recycle`.
    RecycleKeys = "`recycle`" {
        /// A worker is replaced after this number of items.
        items: Option<Count<1, { u64::MAX }>> = None, also "count" "requests" "max_requests" "max_tasks_per_child" "maxtasksperchild";
        /// A worker is replaced once it uses more memory than this.
        memory: Option<Size<{ 1 << 50 }>> = None, also "rss" "ram" "max_memory_restart";
        /// A worker is replaced after this time.
        age: Option<Period> = None, also "time" "after";
    }
}

part! { table RecycleKeys => Recycle { items, memory, age } }

table! {
    /// `log_file`.
    LogFileKeys = "`log_file`" {
        /// The path of the file, relative to the pipeline file's folder. `{stage}` in it is the stage's name.
        path: Option<Word> = None, also "file" "name" "filename";
        /// The file is rotated before it grows beyond this size. Each process looks at the file once a second, and after each
        /// 4096 bytes that it has written: by so much the file may be larger.
        max_size: Size<{ 1 << 40 }> = 10 << 20, also "size" "maxbytes" "max_bytes";
        /// The file is rotated once its first line is older than this.
        max_age: Option<Period> = None, also "age" "rotate" "every";
        /// The number of rotated files that are kept: `path.1` is the newest of them.
        keep: Count<0, 1000, u32> = 5, also "backups" "count" "files" "max_files";
    }
}

table! {
    /// `joblog`.
    JobLogKeys = "`joblog`" {
        /// The path of the file, relative to the pipeline file's folder. Rows are added at its end.
        path: Option<Word<PathBuf>> = None, also "file" "name" "filename";
        /// Which items are left out, by their numbers: all that have a row ("done"), or those that have succeeded ("failed", as the
        /// failed ones run again). Without it all items run.
        resume: Option<Resume> = None;
    }
}

table! {
    /// `limits`.
    LimitKeys = "`limits`" {
        /// The address space of a process.
        memory: Option<Size<{ 1 << 50 }>> = None, also "ram" "as" "rss" "mem_limit" "memory_limit" "max_memory" "memorymax";
        /// The number of file descriptors that a process may have open.
        open_files: Option<Count<3, 1_048_576>> = None, also "nofile" "files" "descriptors" "limitnofile";
        /// The number of processes, of the program and all that it has started. With one more they are killed, and
        /// the worker fails.
        processes: Option<Count<1, 1_000_000>> = None, also "nproc" "procs" "tasks" "pids" "pids_limit" "limitnproc" "tasksmax";
        /// The CPU time of a process, in whole seconds.
        cpu_time: Option<Period> = None, also "time" "limitcpu";
    }
}

part! { table LimitKeys => ProgramLimits { memory, processes, open_files, cpu_time } }

table! {
    /// `ready`.
    ReadyKeys = "`ready`" {
        /// A program that ends with exit code 0 once the service is ready: a list of words, or a line for the shell. It runs as
        /// the service does: its user, its folder, its environment.
        command: Option<Invocation> = None, also "cmd" "program" "script" "exec" "test";
        /// The service takes connections there.
        tcp: Option<TcpAddress> = None, also "port" "connect" "address" "socket";
        /// A GET is answered with a status from 200 to 399.
        http: Option<HttpUrl> = None, also "url" "get" "https" "http_get";
        /// The service has written a line in which this regular expression finds something, on standard output or standard
        /// error.
        line: Option<LinePattern> = None, also "pattern" "regex" "text";
        /// With `true`: the service has sent `READY=1` to the socket that `NOTIFY_SOCKET` names, as `sd_notify` does.
        notify: bool = false, also "sd_notify" "type";
        /// The time from the end of one try to the next. The first ones come sooner.
        every: Period = millis(1_000), also "interval" "period";
        /// How long all of it may take, from the start of the program until it is ready. Then it has failed to start.
        timeout: Period = millis(30_000), also "within" "limit" "start_period";
    }
}

table! {
    /// `health`.
    HealthKeys = "`health`" {
        /// A program that ends with exit code 0 as long as the service is well. It runs as the service does.
        command: Option<Invocation> = None, also "cmd" "program" "script" "exec" "test";
        /// The service takes connections there.
        tcp: Option<TcpAddress> = None, also "port" "connect" "address" "socket";
        /// A GET is answered with a status from 200 to 399.
        http: Option<HttpUrl> = None, also "url" "get" "https" "http_get";
        /// The time from the end of one check to the next. The first one comes as long after the service is ready.
        every: Period = millis(10_000), also "interval" "period";
        /// The longest time that one check may take. Then it has failed.
        timeout: Period = millis(30_000), also "within" "limit";
        /// So many failed checks in a row are a restart.
        failures: Count<1, 1_000_000, u32> = 3, also "retries" "threshold" "unhealthy_threshold";
    }
}
