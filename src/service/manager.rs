//! The service manager that started this process, if one did.

use super::message::Message;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::time::{ClockId, clock_gettime};
use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A manager whose socket is full for so long has other worries; the loop must go on.
const PATIENCE: Duration = Duration::from_millis(500);

/// Speaks to the service manager. Without one, all of it does nothing.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    main_pid: Option<u32>,
}

impl Manager {
    /// By `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`, `$SYSTEMD_EXEC_PID`.
    ///
    /// # Errors
    /// When there is a socket, but it can't be reached.
    pub fn from_environment() -> io::Result<Manager> {
        Manager::new(|name| std::env::var_os(name), std::process::id())
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> io::Result<Manager> {
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let Some(address) = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Ok(Manager::default());
        };
        let socket = UnixDatagram::unbound()?;
        connect(&socket, address.as_bytes())?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let is_ours = number("WATCHDOG_PID").is_none_or(|of| of == u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|&usec| usec > 0 && is_ours);
        let started = number("SYSTEMD_EXEC_PID").filter(|&of| of != u64::from(pid));
        Ok(Manager {
            socket: Some(socket),
            watchdog: watchdog.map(Duration::from_micros),
            main_pid: started.map(|_| pid),
        })
    }

    /// Whether somebody listens.
    pub fn listens(&self) -> bool {
        self.socket.is_some()
    }

    /// It kills this process when it hasn't heard [`Message::Watchdog`] for so long.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// This process, if the manager started another one (a shell, say) that started this: it must learn whom to watch
    /// and to signal.
    pub fn main_pid(&self) -> Option<u32> {
        self.main_pid
    }

    /// Tells all of it at once.
    ///
    /// # Errors
    /// When the socket doesn't take it. Nothing is to be done about that but to log it.
    pub fn tell(&self, messages: &[Message]) -> io::Result<()> {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let lines: Vec<String> = messages.iter().map(|message| message.text(now)).collect();
        self.send(&lines.join("\n"), &[])
    }

    /// Gives the manager a copy of a descriptor to keep. [`Received`](super::Received) has it at the next start,
    /// however this process ends. One more of the same name stands beside it: remove the old one first.
    ///
    /// `name`: printable ASCII without a colon, at most 255 bytes.
    ///
    /// # Errors
    /// See [`Manager::tell`]. That the unit allows no store (`FileDescriptorStoreMax=0`) can't be seen.
    pub fn put(&self, name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send(&format!("FDSTORE=1\nFDNAME={}\nFDPOLL=0", checked(name)?), &[fd])
    }

    /// All descriptors of this name go from the store.
    ///
    /// # Errors
    /// See [`Manager::tell`].
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={}", checked(name)?), &[])
    }

    fn send(&self, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        let bytes = [IoSlice::new(text.as_bytes())];
        sendmsg::<UnixAddr>(socket.as_raw_fd(), &bytes, control, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
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
