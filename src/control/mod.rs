//! The control socket of a running pipeline: HTTP/1.1 with JSON over a Unix socket, so that `curl` is client enough.
//!
//! ```text
//!  mprun status ─┐                         one thread                      the supervisor's thread
//!  curl ─────────┼─ Unix socket ─> server (hyper) ─ Request ─> ask ─> one channel ─> State decides
//!  top ──────────┘                        ^────────── Reply, through a oneshot ─────────┘
//! ```
//!
//! [`runtime_folder`] finds the folders of sockets, [`claim`] takes a socket for a run, [`protocol`] is the API, [`server`] and
//! [`client`] are its two ends. The supervisor answers; the server only reads and writes, with bounds on everything
//! that a client decides (sizes, times, connections).
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the supervisor | a socket without a server, a lock file without a holder | the kernel ends the lock with its holder: the next run takes both over |
//! | between the lock and the bind | a lock file without a holder | the same |
//! | a client, in the middle of a request | half a request | dropped with the connection; nothing was asked |
//! | a client, before it has read the reply | what it asked for is done | every verb can be repeated; `retry` of a dead letter knows what it has put already |
#![forbid(unsafe_code)]

pub(crate) mod claim;
pub(crate) mod client;
pub(crate) mod protocol;
pub(crate) mod python;
pub(crate) mod runtime_folder;
pub(crate) mod server;
