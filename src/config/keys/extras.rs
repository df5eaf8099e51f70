//! `[control]` and `[metrics]`: how the running pipeline is asked, and by whom. `[dead_letters]`: how many are kept.

use crate::config::elements::{Address, Size, SocketPath, table};
use crate::dead_letter::{Store, WhenFull};

/// More than any disk of these days.
const MOST_LETTERS: u64 = 1 << 50;

table! {
    /// `[control]`.
    ControlKeys = "`control`" {
        /// Whether there is a control socket at all.
        enabled: bool = true, also "enable";
        /// The path of the control socket. Default: `NAME.sock` in the folder `mprun` of the runtime folder.
        socket: Option<SocketPath> = None, also "path";
    }
}

table! {
    /// `[metrics]`.
    MetricsKeys = "`metrics`" {
        /// The address on which metrics are served, such as `127.0.0.1:9464`. Every client that can reach it can read
        /// them.
        listen: Option<Address> = None, also "address" "port";
    }
}

table! {
    /// `[dead_letters]`.
    DeadLetterKeys = "`dead_letters`" {
        /// The largest size of the file.
        max_size: Size<MOST_LETTERS> = Size(Store::MAX_SIZE), also "size" "max_bytes" "limit";
        /// What happens to a new dead letter when the file is full: its item stays leased ("block"), or the oldest
        /// letters are dropped ("drop-old").
        when_full: WhenFull = WhenFull::Block, also "on_full" "overflow" "policy";
    }
}
