//! The supervisor's side of the process that speaks with the broker ([`crate::link`]).

use super::inbox::{Notice, Sender};
use crate::link::{self, Board, LinkOrder, LinkRequest};
use crate::logs::writer;
use crate::machines::LettersSeen;
use crate::status::Snapshot;
use crate::sys::fd;
use crate::sys::group;
use crate::sys::process::{ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, spawn};
use crate::sys::threads::spawn_without_signals;
use crate::sys::wait::Exit;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::SystemTime;

/// A link that was started.
pub(crate) struct LinkProcess {
    pub pid: u32,
    /// Its place in the arena.
    pub slot: u16,
    orders: File,
    board: Board,
    /// Where it shows the whole run.
    shown: Board,
    exits: SyncSender<Exit>,
}

impl LinkProcess {
    /// Starts it. What it tells comes into the inbox.
    pub(crate) fn start(
        request: &LinkRequest,
        arena: BorrowedFd<'_>,
        environment: &[CString],
        stderr: BorrowedFd<'_>,
        to: Sender,
    ) -> Result<LinkProcess, SpawnError> {
        let preparing = |error: io::Error| SpawnError::preparing(&error);
        let slot = request.slot;
        let text = serde_json::to_vec(request).map_err(|error| preparing(error.into()))?;
        let request = fd::sealed(c"mprun-link", &text).map_err(preparing)?;
        let null = fd::null().map_err(preparing)?;
        let (their_orders, orders) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| preparing(errno.into()))?;
        let board = fd::memory_file(c"mprun-snapshot").map_err(preparing)?;
        let shown = fd::memory_file(c"mprun-overview").map_err(preparing)?;
        let (heard, their_words) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| preparing(errno.into()))?;
        // A supervisor that is stopped costs words, not leases; a link that is stopped holds up no supervisor.
        writer::make_non_blocking(their_words.as_fd()).map_err(preparing)?;
        writer::make_non_blocking(orders.as_fd()).map_err(preparing)?;
        let words = BufReader::new(File::from(heard));
        let (exits, exit) = sync_channel(1);
        spawn_without_signals("link", move || pass_on(words, &exit, &to)).map_err(preparing)?;
        let [request_fd, arena_fd, orders_fd, words_fd, board_fd, shown_fd] = link::FDS;
        let args = ProcessArgs {
            arguments: &[c"mprun".to_owned(), CString::new(link::VERB).unwrap_or_default()],
            environment,
            descriptors: &[
                (null.as_fd(), 0),
                (null.as_fd(), 1),
                (stderr, 2),
                (request.as_fd(), request_fd),
                (arena, arena_fd),
                (their_orders.as_fd(), orders_fd),
                (their_words.as_fd(), words_fd),
                (board.as_fd(), board_fd),
                (shown.as_fd(), shown_fd),
            ],
            pid_word: None,
        };
        let pid = spawn(ProcessSpec::this_program(ProcessGroupMode::OwnGroup), &args)?;
        let [board, shown] = [board, shown].map(|fd| Board(File::from(fd)));
        Ok(LinkProcess { pid, slot, orders: File::from(orders), board, shown, exits })
    }

    /// False: it has not read its orders for long. (That it is gone is noticed elsewhere.)
    pub(crate) fn order(&mut self, order: &LinkOrder) -> bool {
        let Ok(mut line) = serde_json::to_vec(order) else { return false };
        line.push(b'\n');
        let written = self.orders.write(&line); // a line is shorter than what a pipe takes as a whole
        !written.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// It is to bring to the broker what others may see of this machine. Without memory for it they see the one before.
    pub(crate) fn show(&mut self, snapshot: &Snapshot) {
        if self.board.write(snapshot).is_ok() {
            let _ = self.order(&LinkOrder::Show);
        }
    }

    /// What its last look at the whole run has found. It looks again.
    pub(crate) fn overview(&mut self) -> Option<Vec<u8>> {
        let _ = self.order(&LinkOrder::Overview);
        self.shown.read_text()
    }

    /// The dead letters that its last look has found in the broker.
    pub(crate) fn letters(&self) -> Option<u64> {
        LettersSeen::read(&self.shown.read_text()?, SystemTime::now())?.letters
    }

    /// Its process is over: [`Notice::LinkEnded`] comes behind its last word.
    pub(crate) fn ended(&self, exit: Exit) {
        let _ = self.exits.try_send(exit); // no other one comes
    }

    pub(crate) fn kill(&self) {
        let _ = group::signal_process(self.pid, Signal::SIGKILL);
    }
}

/// Its words, until its end of the pipe is closed, and then how it ended.
fn pass_on(words: BufReader<File>, exit: &Receiver<Exit>, to: &Sender) {
    for line in words.lines() {
        let Ok(line) = line else { break };
        let Ok(news) = serde_json::from_str(&line) else { continue };
        if !to.send(Notice::Linked(news)) {
            return;
        }
    }
    if let Ok(exit) = exit.recv() {
        to.send(Notice::LinkEnded(exit));
    }
}
