//! The small tables within a stage.

use super::millis;
use crate::config::elements::{Count, Period, Size, Word, part, table};
use crate::config::pipeline::{Backoff, GiveUp, ProgramLimits, Recycle};

table! {
    /// `backoff`.
    BackoffKeys = "`backoff`" {
        /// The first delay. The first restart after a good run has none.
        initial: Period = millis(100), also "min" "start";
        /// No delay is longer.
        max: Period = millis(30_000), also "limit" "cap";
        /// A worker that has run for so long has run well: delays start over.
        reset_after: Period = millis(60_000), also "reset";
    }
}

part! { table BackoffKeys => Backoff { initial, max, reset_after } }

table! {
    /// `give_up`.
    GiveUpKeys = "`give_up`" {
        /// So many restarts are still fine.
        restarts: Count<0, 1_000_000, u32> = 10, also "max" "count" "retries";
        /// The time in which they are counted.
        within: Period = millis(60_000), also "period" "window";
    }
}

part! { table GiveUpKeys => GiveUp { restarts, within } }

table! {
    /// `recycle`.
    RecycleKeys = "`recycle`" {
        /// A fresh process after so many items.
        items: Option<Count<1, { u64::MAX }>> = None, also "count" "requests";
        /// A fresh process once it uses so much memory.
        memory: Option<Size<{ 1 << 50 }>> = None, also "rss" "ram";
        /// A fresh process after so long.
        age: Option<Period> = None, also "time" "after";
    }
}

part! { table RecycleKeys => Recycle { items, memory, age } }

table! {
    /// `log_file`.
    LogFileKeys = "`log_file`" {
        /// The file, from the pipeline file's folder on. `{stage}` in it is the stage's name.
        path: Option<Word> = None, also "file" "name" "filename";
        /// A new file is begun before this one would be longer.
        max_size: Size<{ 1 << 40 }> = 10 << 20, also "size" "maxbytes" "max_bytes";
        /// A new file is begun once the first line of this one is older.
        max_age: Option<Period> = None, also "age" "rotate" "every";
        /// So many old files are kept: `path.1` is the newest of them.
        keep: Count<0, 1000, u32> = 5, also "backups" "count" "files" "max_files";
    }
}

table! {
    /// `limits`.
    LimitKeys = "`limits`" {
        /// Address space.
        memory: Option<Size<{ 1 << 50 }>> = None, also "ram" "as" "rss";
        /// Descriptors that it may have open.
        open_files: Option<Count<3, 1_048_576>> = None, also "nofile" "files" "descriptors";
        /// Processes that it may be together with all that it has started: with one more it is ended, and its worker fails.
        processes: Option<Count<1, 1_000_000>> = None, also "nproc" "procs" "tasks" "pids";
        /// Time of computing, in whole seconds.
        cpu_time: Option<Period> = None, also "cpu" "time";
    }
}

part! { table LimitKeys => ProgramLimits { memory, processes, open_files, cpu_time } }
