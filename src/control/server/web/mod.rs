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
use tokio::task::JoinHandle;
use tokio::time::timeout;

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

/// For the files of the tokens to be read, before the log says that they are not.
const FILE_TIMEOUT: Duration = Duration::from_secs(10);

/// One address that is served.
struct Current {
    site: Arc<Site>,
    /// Dropped, it ends the connections.
    until: watch::Sender<()>,
}

/// Tokens that are being read: a file may be on a network that does not answer. None: no address is served.
type Opening = JoinHandle<Option<Site>>;

/// Serves for ever. Only the clients themselves, or no listener, keep it from accepting.
pub(super) async fn serve(mut changes: mpsc::UnboundedReceiver<Change>, shared: Shared, late: LateListener) {
    let slots = Slots::new(MAX_CONNECTIONS);
    let socket = watch::Sender::new(Control::default());
    tokio::spawn(share_as_wanted(socket.subscribe(), Arc::clone(&shared.place)));
    let mut wanted = Control::default();
    let (mut listener, mut current, mut opening): (Option<TcpListener>, Option<Current>, Option<Opening>) =
        (None, None, None);
    // Links outlive a change that leaves the tokens.
    let mut last: Option<Arc<Site>> = None;
    let mut missing = None;
    let mut is_open = true;
    loop {
        tokio::select! {
            change = changes.recv(), if is_open => match change {
                Some(Change::Settings(Settings { control, listener: new })) => {
                    late.set(None);
                    // The old address first: the new one may need its port.
                    drop((listener.take(), current.take()));
                    socket.send_replace(control.clone());
                    let found = with_listener(&control, new);
                    missing = found.is_err().then(|| control.clone());
                    wanted = control;
                    listener = offer(found, &wanted, &shared);
                    opening = open(listener.as_ref(), &wanted, &shared.place);
                }
                Some(Change::Tokens) => opening = open(listener.as_ref(), &wanted, &shared.place),
                None => is_open = false,
            },
            (control, new) = listen_for(missing.as_ref()) => {
                missing = None;
                if let Ok(address) = new.local_addr() {
                    log!(target: "mprun", Level::Info, "control over TCP on http://{address}/, for clients with a token");
                }
                late.set(new.try_clone().ok());
                listener = offer(Ok(Some(new)), &control, &shared);
                opening = open(listener.as_ref(), &control, &shared.place);
            }
            site = opened(&mut opening) => {
                let before = current.as_ref().map(|current| &current.site);
                if !before.is_some_and(|before| site.has_tokens_of(before)) {
                    if before.is_some() {
                        log!(target: "mprun", Level::Info, "control over TCP: a token is another one, and clients with the old one are disconnected");
                    }
                    if let Some(last) = last.filter(|last| site.has_tokens_of(last)) {
                        site.take_links(&last);
                    }
                    let site = Arc::new(site);
                    last = Some(Arc::clone(&site));
                    shared.set_site(Ok(Arc::clone(&site)));
                    current = Some(Current { site, until: watch::Sender::new(()) });
                }
            }
            stream = accept(listener.as_ref().filter(|_| current.is_some()), &slots) => {
                let Some(Current { site, until }) = &current else { continue };
                let (transport, mut until, shared) = (Transport::Tcp(Arc::clone(site)), until.subscribe(), shared.clone());
                slots.admit(stream, reply::too_many, |stream, slot| async move {
                    let over = async { drop(until.changed().await) };
                    either(over, connection::serve(stream, transport, shared, slot)).await;
                });
            }
        }
    }
}

/// The listener as the server needs it. Until its tokens are read, and where there is none, there is no page.
fn offer(
    found: io::Result<Option<std::net::TcpListener>>,
    control: &Control,
    shared: &Shared,
) -> Option<TcpListener> {
    let listener = found.map_err(|error| {
        let address = control.listen.map(|address| address.to_string()).unwrap_or_default();
        format!("failed to listen on {address}: {error}")
    });
    let listener = listener.and_then(|listener| {
        listener.map(TcpListener::from_std).transpose().map_err(|error| {
            log!(target: "mprun", Level::Warn, "no control over TCP: {error}");
            error.to_string()
        })
    });
    match listener {
        Ok(Some(listener)) => {
            shared.unset_site();
            return Some(listener);
        }
        Ok(None) => shared.set_site(Err(NoPage::NotWanted)),
        Err(why) => shared.set_site(Err(NoPage::NoAddress(why))),
    }
    None
}

/// Reads the tokens of a listener, on a thread of its own.
fn open(listener: Option<&TcpListener>, control: &Control, place: &Arc<Place>) -> Option<Opening> {
    let address = listener?.local_addr().ok()?;
    let (control, place) = (control.clone(), Arc::clone(place));
    let mut opened =
        tokio::task::spawn_blocking(move || Site::open_at(address, &control, &place.state_folder));
    Some(tokio::spawn(async move {
        if let Ok(site) = timeout(FILE_TIMEOUT, &mut opened).await {
            return site.ok();
        }
        let seconds = FILE_TIMEOUT.as_secs();
        log!(target: "mprun", Level::Warn, "control over TCP: the files of the tokens were not read within {seconds} s: until they are, the tokens before them hold, and without such there is no page");
        opened.await.ok()
    }))
}

/// Once the tokens are read that are being read, if any are.
async fn opened(opening: &mut Option<Opening>) -> Site {
    if let Some(reading) = opening {
        let site = reading.await;
        *opening = None;
        if let Ok(Some(site)) = site {
            return site;
        }
    }
    pending().await
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

async fn accept(listener: Option<&TcpListener>, slots: &Slots) -> TcpStream {
    let Some(listener) = listener else { return pending().await };
    loop {
        slots.room().await;
        match listener.accept().await {
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

/// Shares the socket as the file says, each time it says another thing: a group may be on the network.
async fn share_as_wanted(mut wanted: watch::Receiver<Control>, place: Arc<Place>) {
    while wanted.changed().await.is_ok() {
        let (control, place) = (wanted.borrow_and_update().clone(), Arc::clone(&place));
        let share = move || place.socket.as_deref().map(|socket| share(socket, &control));
        // A panic there leaves the socket as it was.
        let _ = tokio::task::spawn_blocking(share).await;
    }
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
