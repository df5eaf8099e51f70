//! The small tables of a command stage.

use crate::config::elements::{Count, Period, Size, table};

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
