//! The small tables within a stage.

use super::LOG_SIZE;
use super::period;
use crate::config::elements::{Count, Period, Size, Word, table};

table! {
    /// `backoff`.
    BackoffKeys = "`backoff`" {
        /// The first delay. The first restart after a good run has none.
        initial: Period = period(100), also "min" "start";
        /// The longest delay.
        max: Period = period(30_000), also "limit" "cap";
        /// A worker that ran at least this long resets its backoff.
        reset_after: Period = period(60_000), also "reset";
    }
}

table! {
    /// `give_up`.
    GiveUpKeys = "`give_up`" {
        /// The number of restarts that is allowed in that time. One more, and the stage gives up.
        restarts: Count<0, 1_000_000> = Count(10), also "max" "count" "retries";
        /// The time window in which restarts are counted.
        within: Period = period(60_000), also "period" "window";
    }
}

table! {
    /// `recycle`.
    RecycleKeys = "`recycle`" {
        /// A worker is replaced after this number of items.
        items: Option<Count<1, { u64::MAX }>> = None, also "count" "requests";
        /// A worker is replaced once it uses more memory than this.
        memory: Option<Size<{ 1 << 50 }>> = None, also "rss" "ram";
        /// A worker is replaced after this time.
        age: Option<Period> = None, also "time" "after";
    }
}

table! {
    /// `log_file`.
    LogFileKeys = "`log_file`" {
        /// The path of the file, relative to the pipeline file's folder. `{stage}` in it is the stage's name.
        path: Option<Word> = None, also "file" "name" "filename";
        /// The file is rotated before it grows beyond this size.
        max_size: Size<{ 1 << 40 }> = Size(LOG_SIZE), also "size" "maxbytes" "max_bytes";
        /// The file is rotated once its first line is older than this.
        max_age: Option<Period> = None, also "age" "rotate" "every";
        /// The number of rotated files that are kept: `path.1` is the newest of them.
        keep: Count<0, 1000> = Count(5), also "backups" "count" "files" "max_files";
    }
}
