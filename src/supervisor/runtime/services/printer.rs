//! Standard output of services: whole lines, by packets, through the helper that writes outside.
//!
//! The supervisor keeps both ends of the socket. The helper tells of each packet what has become of it, so that a
//! program's end is only told once its lines are out.

use super::entry::LONGEST_LINE;
use crate::append::{Appender, UndoLog};
use crate::queue::SlotId;
use crate::supervisor::recovery::saved_services::SavedPrinting;
use crate::sys::{inherited, readiness};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Where the helper finds its end of the socket, and the undo log.
pub(crate) const SOCKET_FD: RawFd = 3;
pub(crate) const UNDO_LOG_FD: RawFd = 4;
/// Bytes of a packet at most.
const PACKET_BYTES: usize = 32 * 1024;
/// So many bytes may wait for the socket before no more are read.
const PENDING_BYTES: usize = 128 * 1024;

/// What has become of a packet: bytes, and 0, or why they are not out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Receipt {
    bytes: u64,
    errno: i32,
}

const RECEIPT_BYTES: usize = 12;

/// The supervisor's side.
#[derive(Debug)]
pub(crate) struct Printing {
    /// Ours, and the helper's.
    ends: [OwnedFd; 2],
    pending: VecDeque<Vec<u8>>,
    pending_bytes: usize,
    /// Bytes that were ever queued, and of those what is accounted for.
    queued: u64,
    settled: u64,
    /// Whose the packets are that are not settled, and where each ends.
    owners: VecDeque<(SlotId, u64)>,
}

/// Whose packet could not be printed, and why.
pub(super) type NotPrinted = (SlotId, Errno);

impl Printing {
    pub(crate) fn new() -> io::Result<Printing> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok(Printing::of([ours, theirs]))
    }

    fn of(ends: [OwnedFd; 2]) -> Printing {
        let (pending, owners) = (VecDeque::new(), VecDeque::new());
        Printing { ends, pending, pending_bytes: 0, queued: 0, settled: 0, owners }
    }

    /// Goes on with what the program before this one has left.
    pub(crate) fn resume(ends: [OwnedFd; 2], saved: &SavedPrinting) -> Printing {
        let mut printing = Printing::of(ends);
        for &(slot, bytes) in &saved.owners {
            printing.queued += bytes;
            printing.owners.push_back((SlotId(slot), printing.queued));
        }
        printing.pending_bytes = saved.pending.iter().map(Vec::len).sum();
        printing.pending.extend(saved.pending.iter().cloned());
        printing
    }

    pub(crate) fn save(&self) -> SavedPrinting {
        let mut before = self.settled;
        let owners =
            self.owners.iter().map(|&(slot, end)| (slot.0, end - std::mem::replace(&mut before, end)));
        SavedPrinting {
            ends: [self.ends[0].as_raw_fd(), self.ends[1].as_raw_fd()],
            owners: owners.collect(),
            pending: self.pending.iter().cloned().collect(),
        }
    }

    pub(super) fn ours(&self) -> BorrowedFd<'_> {
        self.ends[0].as_fd()
    }

    pub(crate) fn theirs(&self) -> BorrowedFd<'_> {
        self.ends[1].as_fd()
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending_bytes < PENDING_BYTES
    }

    pub(super) fn waits_for_room(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn is_settled(&self, upto: u64) -> bool {
        self.settled >= upto
    }

    /// Queues whole lines; where they end among all.
    pub(super) fn queue(&mut self, slot: SlotId, lines: &[u8]) -> u64 {
        for packet in lines.chunks(PACKET_BYTES) {
            self.queued += packet.len() as u64;
            self.pending_bytes += packet.len();
            self.owners.push_back((slot, self.queued));
            self.pending.push_back(packet.to_vec());
        }
        self.queued
    }

    /// As much as the socket takes.
    pub(super) fn send(&mut self) {
        while let Some(packet) = self.pending.front() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.ends[0].as_raw_fd(), packet, flags) {
                Err(Errno::EINTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            self.pending_bytes -= packet.len();
            self.pending.pop_front();
        }
    }

    /// What the helper has told; those whose lines are not out.
    pub(super) fn receive(&mut self) -> Vec<NotPrinted> {
        let (mut failed, mut bytes) = (Vec::new(), [0; RECEIPT_BYTES]);
        loop {
            match recv(self.ends[0].as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(RECEIPT_BYTES) => failed.extend(self.settle(Receipt::decode(bytes))),
                Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => return failed,
            }
        }
    }

    fn settle(&mut self, receipt: Receipt) -> Vec<NotPrinted> {
        self.settled = (self.settled + receipt.bytes).min(self.queued);
        let mut failed = Vec::new();
        while let Some(&(slot, _)) = self.owners.front().filter(|(_, end)| *end <= self.settled) {
            self.owners.pop_front();
            failed.extend((receipt.errno != 0).then_some((slot, Errno::from_raw(receipt.errno))));
        }
        failed.dedup();
        failed
    }

    /// The helper is gone: what it had read and told nothing of is lost. What waits in the socket is for the next one.
    pub(super) fn helper_ended(&mut self) -> Vec<NotPrinted> {
        let failed = self.receive();
        let waiting = readiness::bytes_waiting(self.theirs()).unwrap_or(0) + self.pending_bytes as u64;
        let lost = (self.queued - self.settled).saturating_sub(waiting);
        self.settle(Receipt { bytes: lost, errno: 0 });
        failed
    }
}

impl Receipt {
    fn encode(self) -> [u8; RECEIPT_BYTES] {
        let mut bytes = [0; RECEIPT_BYTES];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&self.errno.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; RECEIPT_BYTES]) -> Receipt {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        let (bytes, errno) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), i32::from_le_bytes([i, j, k, l]));
        Receipt { bytes, errno }
    }
}

/// The life of the helper's thread, in a process that has the socket.
pub(crate) fn run() -> io::Result<()> {
    let socket = inherited::take(SOCKET_FD)?;
    let log = UndoLog::from(inherited::take(UNDO_LOG_FD)?);
    print(&socket, log);
    Ok(())
}

/// Prints packets until there can't be any more.
pub(crate) fn print(socket: &OwnedFd, log: UndoLog) {
    let output = Appender::new(io::stdout(), log);
    let (mut lines, mut packet) = (Vec::new(), vec![0; PACKET_BYTES]);
    loop {
        let length = match recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        lines.extend_from_slice(&packet[..length]);
        // A packet that is not full is the last one of what was queued at once, be it a piece of a line only.
        let goes_on = length == PACKET_BYTES && !lines.ends_with(b"\n");
        if goes_on && lines.len() < LONGEST_LINE {
            continue;
        }
        let result = match &output {
            Ok(output) => output.append(&lines),
            Err(error) => {
                Err(error.raw_os_error().map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error))
            }
        };
        let errno = result.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
        let receipt = Receipt { bytes: lines.len() as u64, errno };
        lines.clear();
        if send(socket.as_raw_fd(), &receipt.encode(), MsgFlags::MSG_NOSIGNAL).is_err() {
            return;
        }
    }
}
