//! The connection to the pipeline, in a thread of its own: the screen reacts to keys and signals while an answer is
//! awaited.

use crate::cli::machines::watch::LiveRun;
use crate::control::client::{ANSWER_TIMEOUT, Client, ClientError};
use crate::control::protocol::Command;
use crate::logs::RecentLogs;
use crate::status::Snapshot;
use crate::sys::start_signals;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Between two snapshots.
const INTERVAL: Duration = Duration::from_secs(1);
/// After this many snapshots without an answer the run is taken for ended.
const MAX_MISSED: u32 = 5;
/// Lines of the log: more than any screen shows.
const LOG_LINES: usize = 200;

#[derive(Debug)]
pub(super) enum Update {
    /// With the last lines of the log, and the number of commands that were sent before.
    Snapshot(Box<Snapshot>, Vec<String>, u64),
    /// To a command.
    Answer(String),
    /// Why there is no snapshot.
    Missed(String),
    Over,
}

/// Both ends of the thread.
pub(super) struct Feed {
    pub commands: Sender<Command>,
    pub updates: Receiver<Update>,
}

impl Feed {
    /// Fetches a snapshot once a second, and writes a byte to `wake` for each update.
    pub(super) fn start(client: Client, first: &Snapshot, wake: UnixStream) -> Feed {
        let (commands, todo) = channel();
        let (sender, updates) = channel();
        let recent_logs = RecentLogs::beside(&client.socket);
        let pid = i32::try_from(first.pid).unwrap_or(i32::MAX);
        let mut poller = Poller { client, recent_logs, pid: Pid::from_raw(pid), missed: 0, commands_sent: 0 };
        let notifier = UpdateSender { sender, wake: Wake(wake) };
        std::thread::spawn(move || {
            // Signals are for the thread that has the terminal. It fails only for an operation that there is not.
            let _ = start_signals::block_all();
            poller.work(&todo, &notifier);
        });
        Feed { commands, updates }
    }

    /// The same of a run over all its machines, which no key changes.
    pub(super) fn of_run(run: LiveRun, wake: UnixStream) -> Feed {
        let (commands, todo) = channel::<Command>();
        let (sender, updates) = channel();
        let notifier = UpdateSender { sender, wake: Wake(wake) };
        std::thread::spawn(move || {
            let _ = start_signals::block_all();
            loop {
                let update = match run.look() {
                    Ok((snapshot, lines)) => Update::Snapshot(Box::new(snapshot), lines, 0),
                    Err(failure) => Update::Missed(failure.to_string()),
                };
                if !notifier.send(update) {
                    return;
                }
                if let Err(RecvTimeoutError::Disconnected) = todo.recv_timeout(INTERVAL) {
                    return;
                }
            }
        });
        Feed { commands, updates }
    }
}

/// Fields are dropped in this order: the reader that is woken by the end of the thread finds the channel closed.
struct UpdateSender {
    sender: Sender<Update>,
    wake: Wake,
}

impl UpdateSender {
    /// False: the reader has gone.
    fn send(&self, update: Update) -> bool {
        let is_sent = self.sender.send(update).is_ok();
        self.wake.wake();
        is_sent
    }
}

struct Wake(UnixStream);

impl Wake {
    fn wake(&self) {
        let _ = (&self.0).write(&[0]); // one that is full wakes as well
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.wake();
    }
}

struct Poller {
    client: Client,
    recent_logs: RecentLogs,
    pid: Pid,
    missed: u32,
    commands_sent: u64,
}

impl Poller {
    fn work(&mut self, todo: &Receiver<Command>, updates: &UpdateSender) {
        let mut due = Instant::now();
        loop {
            let update = match todo.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(command) => Update::Answer(self.send(&command)),
                Err(RecvTimeoutError::Timeout) => {
                    let update = self.snapshot();
                    due = Instant::now() + INTERVAL;
                    update
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let is_over = matches!(update, Update::Over);
            if !updates.send(update) || is_over {
                return;
            }
        }
    }

    fn snapshot(&mut self) -> Update {
        match self.client.status(false) {
            Ok(snapshot) => {
                self.missed = 0;
                let lines = match self.recent_logs.last(None, LOG_LINES) {
                    // A member of the socket's group.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        self.client.logs(None, LOG_LINES).map(|answer| answer.lines).unwrap_or_default()
                    }
                    // A run without recent logs shows none.
                    lines => lines.unwrap_or_default(),
                };
                Update::Snapshot(Box::new(snapshot), lines, self.commands_sent)
            }
            Err(error @ (ClientError::Gone(_) | ClientError::NotConnected(..))) => self.connect_again(&error),
            Err(error) => Update::Missed(error.to_string()),
        }
    }

    /// The connection ends with the run, or because another version of the program has taken it over.
    fn connect_again(&mut self, why: &ClientError) -> Update {
        self.missed += 1;
        match Client::connect(&self.client.socket) {
            Ok(client) => {
                self.client = client;
                // It answers at once, or is asked again after the interval.
                if self.missed == 1 {
                    return self.snapshot();
                }
            }
            Err(_) if self.missed > MAX_MISSED || kill(self.pid, None) == Err(Errno::ESRCH) => {
                return Update::Over;
            }
            Err(_) => {}
        }
        Update::Missed(why.to_string())
    }

    fn send(&mut self, command: &Command) -> String {
        self.commands_sent += 1;
        let answer = self.client.send(command, Some(ANSWER_TIMEOUT));
        answer.map_or_else(|error| error.to_string(), |done| done.done)
    }
}
