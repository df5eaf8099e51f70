//! Who asks the pipeline, in a thread of its own: while an answer is awaited, keys and signals are heard.

use super::screen::Wish;
use crate::control::client::{Client, ClientError, Patience};
use crate::control::protocol::{Done, Restart, Scale, Whom};
use crate::logs::RecentLogs;
use crate::status::Snapshot;
use crate::sys::start_signals;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// From look to look.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many looks in a row without an answer: nobody will.
const MOST_MISSED: u32 = 5;
/// Lines of the log that are kept ready: more than any screen shows.
const LINES: usize = 200;

/// What is new.
#[derive(Debug)]
pub enum News {
    /// Another look, with the last lines of the log; after so many wishes.
    Seen(Box<Snapshot>, Vec<String>, u64),
    /// What came of a wish.
    Said(String),
    /// Why there is no look.
    Missed(String),
    /// The pipeline has ended.
    Over,
}

/// Both ends of the thread.
pub struct Feed {
    /// To do for the user.
    pub wishes: Sender<Wish>,
    /// What came of it.
    pub news: Receiver<News>,
}

impl Feed {
    /// Looks once a second from now on, and writes a byte to `wake` for all that is new.
    pub fn start(client: Client, first: &Snapshot, wake: UnixStream) -> Feed {
        let (wishes, todo) = channel();
        let (told, news) = channel();
        let recent_logs = RecentLogs::beside(&client.socket);
        let pid = i32::try_from(first.pid).unwrap_or(i32::MAX);
        let mut asker = Asker { client, recent_logs, pid: Pid::from_raw(pid), missed: 0, wishes: 0 };
        let teller = Teller { told, wake: Wake(wake) };
        std::thread::spawn(move || {
            // Signals are for the thread that has the terminal. It fails only for an operation that there is not.
            let _ = start_signals::block_all();
            asker.work(&todo, &teller);
        });
        Feed { wishes, news }
    }
}

/// Fields are dropped in this order: whoever is woken by the end of the thread finds the channel closed.
struct Teller {
    told: Sender<News>,
    wake: Wake,
}

impl Teller {
    /// False: nobody listens any more.
    fn tell(&self, news: News) -> bool {
        let is_heard = self.told.send(news).is_ok();
        self.wake.wake();
        is_heard
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

struct Asker {
    client: Client,
    recent_logs: RecentLogs,
    pid: Pid,
    missed: u32,
    /// Wishes that were told.
    wishes: u64,
}

impl Asker {
    fn work(&mut self, todo: &Receiver<Wish>, teller: &Teller) {
        let mut due = Instant::now();
        loop {
            let news = match todo.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(wish) => News::Said(self.fulfil(wish).unwrap_or_else(|error| error.to_string())),
                Err(RecvTimeoutError::Timeout) => {
                    let news = self.look();
                    due = Instant::now() + INTERVAL;
                    news
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let is_over = matches!(news, News::Over);
            if !teller.tell(news) || is_over {
                return;
            }
        }
    }

    fn look(&mut self) -> News {
        match self.client.get::<Snapshot>("/v1/status") {
            Ok(snapshot) => {
                self.missed = 0;
                // A run that keeps no last lines shows none.
                News::Seen(
                    Box::new(snapshot),
                    self.recent_logs.last(None, LINES).unwrap_or_default(),
                    self.wishes,
                )
            }
            Err(error @ (ClientError::Gone(_) | ClientError::NoAnswer(..))) => self.connect_again(&error),
            Err(error) => News::Missed(error.to_string()),
        }
    }

    /// The connection ends with the run, or because another version of the program has taken it over.
    fn connect_again(&mut self, why: &ClientError) -> News {
        self.missed += 1;
        match Client::connect(&self.client.socket) {
            Ok(client) => {
                self.client = client;
                // It answers at once, or is asked again at the next look.
                if self.missed == 1 {
                    return self.look();
                }
            }
            Err(_) if self.missed > MOST_MISSED || kill(self.pid, None) == Err(Errno::ESRCH) => {
                return News::Over;
            }
            Err(_) => {}
        }
        News::Missed(why.to_string())
    }

    fn fulfil(&mut self, wish: Wish) -> Result<String, ClientError> {
        self.wishes += 1;
        let (client, short) = (&mut self.client, Patience::Short);
        let done: Done = match wish {
            Wish::Scale(stage, processes) => client.post(
                "/v1/scale",
                &Scale { stage, processes: Some(processes), by: None, wait: false },
                short,
            ),
            Wish::Restart(stage) => client.post("/v1/restart", &Restart { stage, wait: false }, short),
            Wish::Pause(stage) => client.post("/v1/pause", &Whom { stage, wait: false }, short),
            Wish::Resume(stage) => client.post("/v1/resume", &Whom { stage, wait: false }, short),
        }?;
        Ok(done.done)
    }
}
