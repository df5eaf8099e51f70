//! `[control]` and `[metrics]`: how the running pipeline is asked, and by whom.

use crate::config::elements::{Address, SocketPath, table};

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
        /// The address on which metrics are served, such as `127.0.0.1:9464`. Whoever can reach it may read them.
        listen: Option<Address> = None, also "address" "port";
    }
}
