//! `[control] listen`: the same API over TCP, for clients that show a token.
//!
//! Clients have slots of their own here: none of them takes one from the control socket. What is served can change while
//! clients are there; those of an address that is no longer served are disconnected. An address that can't be had is tried
//! again, for as long as the file wants it.

pub(super) mod access;
pub(super) mod files;
mod links;
mod origin;
pub(super) mod page;
pub(super) mod site;
mod token;

use super::connection::{self, Transport};
use super::late::{LateListener, listen, listen_later};
use super::reply;
use super::shared::{NoPage, Place, Shared};
use super::slots::{ACCEPT_RETRY_DELAY, Slots, either};
use crate::config::Control;
use log::{Level, log};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Group;
use site::Site;
use socket2::{SockRef, TcpKeepalive};
use std::fs::{self, Permissions};
use std::future::pending;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const MAX_CONNECTIONS: usize = 256;
/// What the kernel holds for a client that does not read; it would grow to megabytes.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Of silence, before a client is asked whether it is there still.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// How clients are to be served from now on.
#[derive(Debug)]
pub(crate) struct Settings {
    pub control: Control,
    /// At `control.listen`; none: it could not be had.
    pub listener: Option<std::net::TcpListener>,
}

/// What changes how clients are served.
#[derive(Debug)]
pub(super) enum Change {
    Settings(Settings),
    /// The files of the tokens may hold others.
    Tokens,
}

/// One address that is served.
struct Current {
    listener: TcpListener,
    site: Arc<Site>,
    /// Dropped, it ends the connections.
    until: watch::Sender<()>,
}

/// Serves for ever.
pub(super) async fn serve(mut changes: mpsc::UnboundedReceiver<Change>, shared: Shared, late: LateListener) {
    let slots = Slots::new(MAX_CONNECTIONS);
    let mut current = None;
    let mut wanted = Control::default();
    let mut missing = None;
    let mut is_open = true;
    loop {
        tokio::select! {
            change = changes.recv(), if is_open => match change {
                Some(Change::Settings(Settings { control, listener })) => {
                    late.set(None);
                    // The old address first: the new one may need its port.
                    drop(current.take());
                    let served = with_listener(&control, listener);
                    wanted.clone_from(&control);
                    missing = served.is_err().then(|| control.clone());
                    current = set(served, control, &shared).await;
                }
                Some(Change::Tokens) => {
                    if let Some(before) = current.take() {
                        current = Some(with_tokens_of_now(before, &wanted, &shared).await);
                    }
                }
                None => is_open = false,
            },
            (control, listener) = listen_for(missing.as_ref()) => {
                missing = None;
                if let Ok(address) = listener.local_addr() {
                    log!(target: "mprun", Level::Info, "control over TCP on http://{address}/, for clients with a token");
                }
                late.set(listener.try_clone().ok());
                current = set(Ok(Some(listener)), control, &shared).await;
            }
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

/// The listener that the file wants, if it wants one.
fn with_listener(
    control: &Control,
    listener: Option<std::net::TcpListener>,
) -> io::Result<Option<std::net::TcpListener>> {
    match (control.listen, listener) {
        (Some(address), None) => listen(address).map(Some),
        (_, listener) => Ok(listener),
    }
}

/// Once the address can be had that is missing, if one is.
async fn listen_for(missing: Option<&Control>) -> (Control, std::net::TcpListener) {
    let Some((control, address)) = missing.and_then(|control| Some((control, control.listen?))) else {
        return pending().await;
    };
    (control.clone(), listen_later(address).await)
}

/// Serves with that from now on, and says so.
async fn set(
    listener: io::Result<Option<std::net::TcpListener>>,
    control: Control,
    shared: &Shared,
) -> Option<Current> {
    let no_address = |error: &io::Error| {
        let address = control.listen.map(|address| address.to_string()).unwrap_or_default();
        NoPage::NoAddress(format!("failed to listen on {address}: {error}"))
    };
    let absent = listener.as_ref().err().map_or(NoPage::NotWanted, no_address);
    let current = apply(Settings { control, listener: listener.ok().flatten() }, &shared.place).await;
    shared.set_site(current.as_ref().map(|current| Arc::clone(&current.site)).ok_or(absent));
    current
}

async fn accept(current: Option<&Current>, slots: &Slots) -> TcpStream {
    let Some(current) = current else { return pending().await };
    loop {
        slots.room().await;
        match current.listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true); // answers are short
                let _ = setsockopt(&stream, sockopt::SndBuf, &SEND_BUFFER_BYTES);
                // A client that vanished while it waits for a stream gives its slot back.
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE_IDLE)
                    .with_interval(KEEPALIVE_INTERVAL)
                    .with_retries(KEEPALIVE_PROBES);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
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

/// The same address with the tokens that their files hold now. Clients of others are disconnected.
async fn with_tokens_of_now(before: Current, control: &Control, shared: &Shared) -> Current {
    let (address, control, place) = (before.site.address, control.clone(), Arc::clone(&shared.place));
    let opened = tokio::task::spawn_blocking(move || Site::open_at(address, &control, &place.state_folder));
    let Ok(site) = opened.await else { return before };
    if site.has_tokens_of(&before.site) {
        return before;
    }
    log!(target: "mprun", Level::Info, "control over TCP: a token is another one, and clients with the old one are disconnected");
    let site = Arc::new(site);
    shared.set_site(Ok(Arc::clone(&site)));
    Current { listener: before.listener, site, until: watch::Sender::new(()) }
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
