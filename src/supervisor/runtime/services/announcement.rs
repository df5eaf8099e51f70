//! How a service says by itself that it is ready: by a line that it writes, or by a message to its notification socket.
//!
//! The socket is one for each process, without a file: nothing of it is left when mprun is killed. Whoever knows its name
//! may send to it, so the kernel is asked who did.

use crate::config::pipeline::Probe;
use crate::sys::proc_table;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind,
    recvmsg, setsockopt, socket,
};
use nix::unistd::close;
use regex::bytes::{Regex, RegexBuilder};
use std::ffi::CString;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Of a longer line the beginning is looked at.
const LINE_BYTES: usize = 3000;
/// Bytes of a message.
const MESSAGE_BYTES: usize = 4096;
/// The kernel takes no more of them with one message (`SCM_MAX_FD`).
const MOST_DESCRIPTORS: usize = 253;
/// Messages that are read at once.
const MESSAGES: usize = 16;
/// What says that a service is ready.
const READY: &[u8] = b"READY=1";

/// Looks for a line.
pub(super) struct Listener {
    pattern: Regex,
    /// The line has come. No other is looked at: there may be millions.
    has_heard: bool,
    /// The beginnings of lines.
    stderr: Vec<u8>,
    stdout: Vec<u8>,
}

/// Where bytes come from.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Stderr,
    Stdout,
}

impl Listener {
    /// `None`: it is nothing that is heard.
    pub(super) fn of(probe: Option<&Probe>) -> Option<Listener> {
        let Some(Probe::Line(pattern)) = probe else { return None };
        // It was checked with the file. `^` and `$` stand for the ends of a line, which may be "\r\n".
        let pattern = RegexBuilder::new(pattern).multi_line(true).crlf(true).build().ok()?;
        Some(Listener { pattern, has_heard: false, stderr: Vec::new(), stdout: Vec::new() })
    }

    pub(super) fn is_for(&self, pattern: &str) -> bool {
        self.pattern.as_str() == pattern
    }

    /// Whether a line ends in these bytes that is looked for; true once.
    pub(super) fn hears(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let had_heard = self.has_heard;
        self.has_heard |= !had_heard && self.finds(stream, bytes);
        self.has_heard != had_heard
    }

    fn finds(&mut self, stream: Stream, mut bytes: &[u8]) -> bool {
        let Listener { pattern, stderr, stdout, .. } = self;
        let partial = match stream {
            Stream::Stderr => stderr,
            Stream::Stdout => stdout,
        };
        if !partial.is_empty()
            && let Some(end) = memchr::memchr(b'\n', bytes)
        {
            append(partial, &bytes[..end]);
            let is_it = has_it(pattern, partial);
            partial.clear();
            if is_it {
                return true;
            }
            bytes = &bytes[end + 1..];
        }
        let Some(end) = memchr::memrchr(b'\n', bytes) else {
            append(partial, bytes);
            return false;
        };
        append(partial, &bytes[end + 1..]);
        // Each by itself: `\A` and `\z` stand for the ends of a line, however lines come together.
        bytes[..end].split(|byte| *byte == b'\n').any(|line| has_it(pattern, line))
    }
}

/// The line is without its `\n`.
fn has_it(pattern: &Regex, line: &[u8]) -> bool {
    pattern.is_match(line.strip_suffix(b"\r").unwrap_or(line))
}

fn append(partial: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE_BYTES - partial.len();
    partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// A notification socket.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    pub socket: OwnedFd,
    /// What names it in the environment of the service.
    pub variable: CString,
}

impl NotifySocket {
    pub(super) fn new() -> io::Result<NotifySocket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        let name = format!("mprun/notify/{:032x}", fastrand::u128(..));
        setsockopt(&socket, PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(NotifySocket { socket, variable: CString::new(format!("NOTIFY_SOCKET=@{name}"))? })
    }
}

/// Reads what is there; whether the service with this process has said that it is ready.
pub(super) fn says_ready(socket: &OwnedFd, service: u32) -> bool {
    let mut is_ready = false;
    for _ in 0..MESSAGES {
        match receive(socket) {
            Ok((message, from)) => is_ready |= says(&message, READY) && is_of(from, service),
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    is_ready
}

/// Descriptors that come with it, such as those for `FDSTORE=1`, are closed.
fn receive(socket: &OwnedFd) -> nix::Result<(Vec<u8>, Option<UnixCredentials>)> {
    let mut bytes = vec![0; MESSAGE_BYTES];
    let mut control = cmsg_space!(UnixCredentials, [RawFd; MOST_DESCRIPTORS]);
    let (length, from) = {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let mut from = None;
        for part in message.cmsgs().into_iter().flatten() {
            match part {
                ControlMessageOwned::ScmCredentials(sender) => from = Some(sender),
                ControlMessageOwned::ScmRights(fds) => fds.into_iter().for_each(|fd| close(fd).unwrap_or(())),
                _ => {}
            }
        }
        (message.bytes, from)
    };
    bytes.truncate(length);
    Ok((bytes, from))
}

fn says(message: &[u8], what: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == what)
}

/// Whether it is the service's own process, or one that it has started. A sender that has ended since (such as
/// `systemd-notify`) is known by its user.
fn is_of(from: Option<UnixCredentials>, service: u32) -> bool {
    let Some(from) = from else { return false };
    let belongs = u32::try_from(from.pid()).ok().and_then(|pid| proc_table::belongs_to(pid, service));
    belongs.unwrap_or_else(|| proc_table::user(service) == Some(from.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessage, connect, send, sendmsg};
    use std::io::IoSlice;

    fn listener(pattern: &str) -> Listener {
        Listener::of(Some(&Probe::Line(pattern.to_owned()))).unwrap()
    }

    #[test]
    fn a_line_is_heard_however_it_comes_and_in_one_stream_only() {
        for piece in 1..30 {
            let mut listener = listener("^listening on \\d+$");
            let bytes = b"x listening on 1\nlistening on 80\r\n";
            let heard = bytes.chunks(piece).filter(|bytes| listener.hears(Stream::Stderr, bytes)).count();
            assert_eq!(heard, 1, "in pieces of {piece}");
        }
        let mut listener = listener("ab");
        assert!(!listener.hears(Stream::Stderr, b"a") && !listener.hears(Stream::Stdout, b"b\n"));
        assert!(listener.hears(Stream::Stderr, b"b\n"));
    }

    #[test]
    fn what_was_heard_is_looked_for_no_longer_and_is_told_once() {
        let mut listener = listener("up");
        assert!(listener.hears(Stream::Stderr, b"up\n"));
        assert!(!listener.hears(Stream::Stderr, b"up\n") && !listener.hears(Stream::Stdout, b"half"));
        assert_eq!(listener.stdout, b"", "nothing is kept");
    }

    #[test]
    fn the_ends_of_a_line_are_the_same_however_lines_come_together() {
        for pattern in [r"\Aready\z", "(?-m)^ready$", "^ready$"] {
            assert!(listener(pattern).hears(Stream::Stdout, b"one\nready\r\ntwo\n"), "{pattern}");
            assert!(!listener(pattern).hears(Stream::Stdout, b"not ready\nready yet\n"), "{pattern}");
        }
        assert!(!listener("^$").hears(Stream::Stdout, b"one\r\ntwo\n"), "there is no empty line");
        assert!(listener("^$").hears(Stream::Stdout, b"one\r\n\r\n"));
    }

    #[test]
    fn a_long_line_costs_no_memory_and_hides_no_other() {
        let mut listener = listener("ready");
        for _ in 0..100 {
            assert!(!listener.hears(Stream::Stdout, &[b'x'; 1000]));
        }
        assert_eq!(listener.stdout.len(), LINE_BYTES);
        assert!(!listener.hears(Stream::Stdout, b"ready\n"), "it is beyond the beginning");
        assert!(listener.hears(Stream::Stdout, b"ready\n"));
    }

    #[test]
    fn a_message_counts_if_it_comes_from_the_service() {
        let NotifySocket { socket: ours, variable } = NotifySocket::new().unwrap();
        let name = variable.to_bytes().strip_prefix(b"NOTIFY_SOCKET=@").unwrap();
        let theirs = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
        connect(theirs.as_raw_fd(), &UnixAddr::new_abstract(name).unwrap()).unwrap();
        let say = |text: &str| {
            send(theirs.as_raw_fd(), text.as_bytes(), MsgFlags::empty()).unwrap();
        };
        let own = std::process::id();
        assert!(!says_ready(&ours, own));
        say("STATUS=READY=1");
        assert!(!says_ready(&ours, own));
        say("STATUS=up\nREADY=1");
        assert!(says_ready(&ours, own));
        say("READY=1");
        assert!(!says_ready(&ours, u32::MAX), "it comes from another process");
    }

    #[test]
    fn descriptors_that_come_with_a_message_are_closed_and_it_counts() {
        let NotifySocket { socket: ours, variable } = NotifySocket::new().unwrap();
        let name = variable.to_bytes().strip_prefix(b"NOTIFY_SOCKET=@").unwrap();
        let theirs = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let (kept, sent) = nix::unistd::pipe().unwrap();
        let text = [IoSlice::new(b"FDSTORE=1\nREADY=1")];
        let descriptors = vec![sent.as_raw_fd(); MOST_DESCRIPTORS];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let to = UnixAddr::new_abstract(name).unwrap();
        sendmsg(theirs.as_raw_fd(), &text, &rights, MsgFlags::empty(), Some(&to)).unwrap();
        assert!(says_ready(&ours, std::process::id()));
        drop(sent);
        assert_eq!(nix::unistd::read(&kept, &mut [0]), Ok(0), "no copy of it is open");
    }
}
