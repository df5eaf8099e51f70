//! What one program of mprun leaves to the next of its services: the numbers of their pipes, and what is on its way.

use serde::{Deserialize, Serialize};
use std::os::fd::RawFd;

/// The pipes of a service, and its half lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedService {
    pub slot: u16,
    pub stderr: Option<RawFd>,
    pub stdout: Option<RawFd>,
    /// There until it has begun.
    pub failure: Option<RawFd>,
    /// Where it may say that it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<RawFd>,
    pub half_stderr: Vec<u8>,
    pub half_stdout: Vec<u8>,
}

/// What services have printed that is not out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedPrinting {
    /// Of the socket: the supervisor's, and the helper's.
    pub ends: [RawFd; 2],
    /// Packets that the socket has not taken.
    pub pending: Vec<Vec<u8>>,
    /// Slots, and bytes of each, of all packets that nothing is known of.
    pub owners: Vec<(u16, u64)>,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedServices {
    /// The memory file with their process groups.
    pub roster: RawFd,
    pub printing: SavedPrinting,
    pub all: Vec<SavedService>,
}
