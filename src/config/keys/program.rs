//! The small tables of a command stage.

use crate::config::elements::{Count, Period, Size, table};

table! {
    /// `limits`.
    LimitKeys = "`limits`" {
        /// Address space.
        memory: Option<Size<{ 1 << 50 }>> = None, also "ram" "as" "rss";
        /// Descriptors that it may have open.
        open_files: Option<Count<3, 1_048_576>> = None, also "nofile" "files" "descriptors";
        /// Time of computing, in whole seconds.
        cpu_time: Option<Period> = None, also "cpu" "time";
    }
}
