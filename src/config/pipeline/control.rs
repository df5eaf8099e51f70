//! `[control]`: where a running pipeline is inspected and controlled.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a running pipeline is inspected and controlled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Whether there is a socket.
    pub enabled: bool,
    /// Its path, absolute; `None`: in the runtime folder.
    pub socket: Option<PathBuf>,
    /// Its group; `None`: that of the process.
    pub socket_group: Option<String>,
    /// Its permissions.
    pub socket_mode: u32,
    /// Where the same is served over TCP.
    pub listen: Option<SocketAddr>,
    /// Names of a proxy before `listen`.
    pub hosts: Vec<String>,
    /// The file of the token for everything, absolute; `None`: in the state folder.
    pub token_file: Option<PathBuf>,
    /// The same of the token for looking only.
    pub read_token_file: Option<PathBuf>,
    /// `listen` may be reached by other machines.
    pub allow_plain: bool,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            enabled: true,
            socket: None,
            socket_group: None,
            socket_mode: 0o600,
            listen: None,
            hosts: Vec::new(),
            token_file: None,
            read_token_file: None,
            allow_plain: false,
        }
    }
}
