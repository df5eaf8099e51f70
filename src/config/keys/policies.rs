//! The small tables within a stage.

use super::LOG_SIZE;
use super::period;
use crate::config::elements::{Count, Period, Size, Word, table};

table! {
    /// `backoff`.
    BackoffKeys = "`backoff`" {
        /// The first delay. The first restart after a good run has none.
        initial: Period = period(100), also "min" "start";
        /// No delay is longer.
        max: Period = period(30_000), also "limit" "cap";
        /// A worker that has run for so long has run well: delays start over.
        reset_after: Period = period(60_000), also "reset";
    }
}

table! {
    /// `give_up`.
    GiveUpKeys = "`give_up`" {
        /// So many restarts are still fine.
        restarts: Count<0, 1_000_000> = Count(10), also "max" "count" "retries";
        /// The time in which they are counted.
        within: Period = period(60_000), also "period" "window";
    }
}

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

table! {
    /// `log_file`.
    LogFileKeys = "`log_file`" {
        /// The file, from the pipeline file's folder on. `{stage}` in it is the stage's name.
        path: Option<Word> = None, also "file" "name" "filename";
        /// A new file is begun before this one would be longer.
        max_size: Size<{ 1 << 40 }> = Size(LOG_SIZE), also "size" "maxbytes" "max_bytes";
        /// A new file is begun once the first line of this one is older.
        max_age: Option<Period> = None, also "age" "rotate" "every";
        /// So many old files are kept: `path.1` is the newest of them.
        keep: Count<0, 1000> = Count(5), also "backups" "count" "files" "max_files";
    }
}
