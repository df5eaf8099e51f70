//! `[control] listen`: the same API over TCP, for clients that show a token.
//!
//! Clients have slots of their own here: none of them takes one from the control socket. What is served can change while
//! clients are there; those of an address that is no longer served are disconnected.

pub(super) mod access;
mod files;
mod links;
mod origin;
pub(super) mod page;
pub(super) mod site;
mod token;

use super::connection::{self, Transport};
use super::reply;
use super::shared::{Place, Shared};
use super::slots::{ACCEPT_RETRY_DELAY, Slots, either};
use crate::config::Control;
use log::{Level, log};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Group;
use site::Site;
use std::fs::{self, Permissions};
use std::future::pending;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const MAX_CONNECTIONS: usize = 256;
/// What the kernel holds for a client that does not read; it would grow to megabytes.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// How clients are to be served from now on.
#[derive(Debug)]
pub(crate) struct Settings {
    pub control: Control,
    /// At `control.listen`; none: it could not be had.
    pub listener: Option<std::net::TcpListener>,
}

/// One address that is served.
struct Current {
    listener: TcpListener,
    site: Arc<Site>,
    /// Dropped, it ends the connections.
    until: watch::Sender<()>,
}

/// Serves for ever.
pub(super) async fn serve(mut settings: mpsc::UnboundedReceiver<Settings>, shared: Shared) {
    let slots = Slots::new(MAX_CONNECTIONS);
    let mut current = None;
    let mut is_open = true;
    loop {
        tokio::select! {
            change = settings.recv(), if is_open => match change {
                Some(change) => {
                    current = apply(change, &shared.place).await;
                    shared.set_site(current.as_ref().map(|current: &Current| Arc::clone(&current.site)));
                }
                None => is_open = false,
            },
            stream = accept(current.as_ref(), &slots) => {
                let Some(Current { site, until, .. }) = &current else { continue };
                let (transport, mut until, shared) = (Transport::Tcp(Arc::clone(site)), until.subscribe(), shared.clone());
                slots.admit(stream, reply::too_many, |stream, slot| async move {
                    let over = async { drop(until.changed().await) };
                    either(over, connection::serve(stream, transport, shared, slot)).await;
                });
            }
        }
    }
}

async fn accept(current: Option<&Current>, slots: &Slots) -> TcpStream {
    let Some(current) = current else { return pending().await };
    loop {
        slots.room().await;
        match current.listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true); // answers are short
                let _ = setsockopt(&stream, sockopt::SndBuf, &SEND_BUFFER_BYTES);
                return stream;
            }
            Err(error) => {
                log::debug!(target: "mprun", "failed to accept a connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn apply(settings: Settings, place: &Arc<Place>) -> Option<Current> {
    let Settings { control, listener } = settings;
    let place = Arc::clone(place);
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    // A file or a group may be on the network.
    let opened = tokio::task::spawn_blocking(move || {
        if let Some(socket) = &place.socket {
            share(socket, &control);
        }
        address.map(|address| Site::open_at(address, &control, &place.state_folder))
    });
    let site = Arc::new(opened.await.ok()??);
    let listener = TcpListener::from_std(listener?);
    let listener = listener.inspect_err(|error| {
        log!(target: "mprun", Level::Warn, "no control over TCP: {error}");
    });
    Some(Current { listener: listener.ok()?, site, until: watch::Sender::new(()) })
}

/// Gives the socket its group and its permissions. Until then, and where that fails, it is for its owner alone.
fn share(socket: &Path, control: &Control) {
    let group = match &control.socket_group {
        None => Ok(None),
        Some(name) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(Some(group.gid.as_raw())),
            Ok(None) => Err(io::Error::other(format!("there is no group {name}"))),
            Err(error) => Err(error.into()),
        },
    };
    // Closed first: the old permissions are not for the new group.
    let shared = fs::set_permissions(socket, Permissions::from_mode(0o600)).and(group).and_then(|group| {
        let group = group.unwrap_or_else(|| nix::unistd::getegid().as_raw());
        std::os::unix::fs::chown(socket, None, Some(group))?;
        fs::set_permissions(socket, Permissions::from_mode(control.socket_mode))
    });
    // A run that has ended in the meantime has removed it.
    if let Err(error) = shared
        && error.kind() != io::ErrorKind::NotFound
    {
        let path = socket.display();
        log!(target: "mprun", Level::Warn, "the control socket {path} is for its owner alone: {error}");
    }
}
