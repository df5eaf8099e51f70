//! The socket of the service manager that started this process, if one did.
//!
//! A manager that reads nothing must not hold up the supervisor: what its socket has no room for waits here, in its
//! order, and a thread sends it on. (Not a process: the manager takes messages of the main process only.)

use super::message::Message;
use crate::sys::threads::spawn_without_signals;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the last messages may take at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
/// Messages that wait for room. Those of the moment replace one another, so there are never many.
const MAX_UNSENT: usize = 64;

/// Speaks to the service manager. Without one, all of it does nothing.
#[derive(Debug, Default)]
pub(crate) struct NotifySocket {
    connection: Option<Arc<Connection>>,
    watchdog: Option<Duration>,
    main_pid: Option<u32>,
}

impl NotifySocket {
    /// By `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`, `$SYSTEMD_EXEC_PID`.
    ///
    /// # Errors
    /// When there is a socket, but it can't be reached.
    pub(crate) fn from_environment() -> io::Result<NotifySocket> {
        NotifySocket::new(|name| std::env::var_os(name), std::process::id())
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> io::Result<NotifySocket> {
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let Some(address) = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Ok(NotifySocket::default());
        };
        let socket = UnixDatagram::unbound()?;
        connect(&socket, address.as_bytes())?;
        let is_ours = number("WATCHDOG_PID").is_none_or(|of| of == u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|&usec| usec > 0 && is_ours);
        let started = number("SYSTEMD_EXEC_PID").filter(|&of| of != u64::from(pid));
        Ok(NotifySocket {
            connection: Some(Arc::new(Connection {
                socket,
                unsent: Mutex::default(),
                changed: Condvar::new(),
            })),
            watchdog: watchdog.map(Duration::from_micros),
            main_pid: started.map(|_| pid),
        })
    }

    /// Whether there is a manager.
    pub(crate) fn listens(&self) -> bool {
        self.connection.is_some()
    }

    /// It kills this process when it hasn't heard [`Message::Watchdog`] for so long.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// This process, if the manager started another one (a shell, say) that started this: it must learn which process
    /// to watch and to signal.
    pub(crate) fn main_pid(&self) -> Option<u32> {
        self.main_pid
    }

    /// Sends all of it at once.
    ///
    /// # Errors
    /// When the socket doesn't take it. Nothing is to be done about that but to log it.
    pub(crate) fn send(&self, messages: &[Message]) -> io::Result<()> {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let lines: Vec<String> = messages.iter().map(|message| message.text(now)).collect();
        let is_superseded = messages.iter().all(Message::is_superseded);
        self.send_datagram(Datagram { text: lines.join("\n"), fd: None, is_superseded })
    }

    /// Gives the manager a copy of a descriptor to keep. [`Received`](super::Received) has it at the next start,
    /// however this process ends. One more of the same name stands beside it: remove the old one first.
    ///
    /// `name`: printable ASCII without a colon, at most 255 bytes.
    ///
    /// # Errors
    /// See [`NotifySocket::send`]. That the unit allows no store (`FileDescriptorStoreMax=0`) can't be seen.
    pub(crate) fn store_fd(&self, name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        let text = format!("FDSTORE=1\nFDNAME={}\nFDPOLL=0", checked(name)?);
        self.send_datagram(Datagram { text, fd: Some(fd.try_clone_to_owned()?), is_superseded: false })
    }

    /// All descriptors of this name go from the store.
    ///
    /// # Errors
    /// See [`NotifySocket::send`].
    pub(crate) fn remove_fd(&self, name: &str) -> io::Result<()> {
        let text = format!("FDSTOREREMOVE=1\nFDNAME={}", checked(name)?);
        self.send_datagram(Datagram { text, fd: None, is_superseded: false })
    }

    fn send_datagram(&self, datagram: Datagram) -> io::Result<()> {
        self.connection.as_ref().map_or(Ok(()), |connection| connection.send(datagram))
    }

    /// This process is about to end: what waits may still go, within [`FLUSH_TIMEOUT`].
    pub(crate) fn flush(&self) {
        if let Some(connection) = &self.connection {
            connection.wait_until_sent(Instant::now() + FLUSH_TIMEOUT);
        }
    }
}

/// One message.
#[derive(Debug)]
struct Datagram {
    text: String,
    fd: Option<OwnedFd>,
    /// The next one of its kind makes it needless.
    is_superseded: bool,
}

/// The socket, and what it has no room for.
#[derive(Debug)]
struct Connection {
    socket: UnixDatagram,
    unsent: Mutex<Unsent>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Unsent {
    datagrams: VecDeque<Datagram>,
    has_thread: bool,
}

impl Connection {
    fn unsent(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(self: &Arc<Connection>, datagram: Datagram) -> io::Result<()> {
        let mut unsent = self.unsent();
        if unsent.datagrams.is_empty() && self.try_send(&datagram)? {
            return Ok(());
        }
        if datagram.is_superseded {
            unsent.datagrams.retain(|before| !before.is_superseded);
        }
        if unsent.datagrams.len() >= MAX_UNSENT {
            return Err(io::Error::new(ErrorKind::WouldBlock, "it has read nothing for a long time"));
        }
        unsent.datagrams.push_back(datagram);
        if !unsent.has_thread {
            unsent.has_thread = self.start_thread();
        }
        Ok(())
    }

    /// False: there is no room.
    fn try_send(&self, datagram: &Datagram) -> io::Result<bool> {
        let raw: Vec<i32> = datagram.fd.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        let bytes = [IoSlice::new(datagram.text.as_bytes())];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        match sendmsg::<UnixAddr>(self.socket.as_raw_fd(), &bytes, control, flags, None) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether there is a thread now that waits for room.
    fn start_thread(self: &Arc<Connection>) -> bool {
        let connection = Arc::clone(self);
        spawn_without_signals("notify", move || connection.send_when_there_is_room()).is_ok()
    }

    fn send_when_there_is_room(&self) {
        loop {
            let _ = poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
            let mut unsent = self.unsent();
            // A manager that is gone takes nothing: what it is not told, the next one asks for.
            while unsent.datagrams.front().is_some_and(|datagram| self.try_send(datagram).unwrap_or(true)) {
                unsent.datagrams.pop_front();
            }
            if unsent.datagrams.is_empty() {
                unsent.has_thread = false;
                self.changed.notify_all();
                return;
            }
        }
    }

    fn wait_until_sent(&self, until: Instant) {
        let mut unsent = self.unsent();
        while unsent.has_thread && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            unsent = self.changed.wait_timeout(unsent, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A path, or after an `@` a name in the abstract name space.
fn connect(socket: &UnixDatagram, address: &[u8]) -> io::Result<()> {
    let address = match address {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(address))?,
        _ => return Err(io::Error::new(ErrorKind::Unsupported, "neither a path nor an abstract name")),
    };
    socket.connect_addr(&address)
}

fn checked(name: &str) -> io::Result<&str> {
    let fits = (1..=255).contains(&name.len());
    let printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b':');
    match fits && printable {
        true => Ok(name),
        false => {
            Err(io::Error::new(ErrorKind::InvalidInput, format!("{name:?} is no name for a descriptor")))
        }
    }
}

#[cfg(test)]
mod tests;
