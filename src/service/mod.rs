//! Life under a service manager: the messages to it, and the descriptors that it keeps for the next start.
//!
//! The protocol is that of `sd_notify(3)` and `sd_listen_fds(3)`: datagrams to `$NOTIFY_SOCKET`, descriptors in
//! `$LISTEN_FDS`. Without these variables nothing here does anything.
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | before a message | the manager has not heard it | the next start tells its own; a missed WATCHDOG=1 is what the watchdog is for |
//! | after `store_fd`, before the manager took it | a datagram in its socket | it is handled before our death is: same queue, higher priority |
//! | between `store_fd` and `remove_fd` | a descriptor in the store | it comes back by its name at the next start |
#![forbid(unsafe_code)]

mod message;
mod notify_socket;
mod received;
pub(crate) mod systemd;
pub(crate) mod unit;

pub(crate) use message::Message;
pub(crate) use notify_socket::NotifySocket;
pub(crate) use received::{Received, is_for_this_process_only};
