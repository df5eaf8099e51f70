//! A worker's last entry in the journal.
//!
//! The journal looks up whose unit an entry is from when it reads it; of a process that is gone by then it finds none,
//! and `journalctl -u` doesn't show it. So a worker that has just said why it ends stays until its word is read.

use crate::logging;
use crate::sys::readiness;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

/// The kernel tells of room in a socket, not that it is empty; so this looks, as often as this, and no more.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until the journal has read all; a journal that is busy is not waited for long.
pub(super) fn wait_until_read() {
    let Some(socket) = logging::journal_socket() else { return };
    for _ in 0..LOOKS {
        match readiness::bytes_unread(socket.as_fd()) {
            Ok(0) | Err(_) => return,
            Ok(_) => thread::sleep(PAUSE),
        }
    }
}
