//! Where the supervisor waits: one channel, and the next deadline. Small threads put notices in; they decide nothing.

use super::checker::Report;
use crate::control::protocol::{Reply, Request};
use crate::link::LinkNews;
use crate::queue::SlotId;
use crate::sys::wait::Exit;
use crossbeam_channel::{Receiver, Select, unbounded};
use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Something outside wants attention.
pub(crate) enum Notice {
    /// SIGCHLD: a child ended or was stopped.
    Child,
    /// SIGUSR1: a worker is ready.
    WorkerSignal,
    Upgrade,
    Terminate,
    Interrupt,
    Quit,
    Hangup,
    /// SIGTSTP: Ctrl-Z.
    Suspend,
    /// A request over the control socket.
    Asked(Box<Request>, oneshot::Sender<Reply>),
    /// All dead letters that are to be tried again were; whether each of them could be.
    RetriesDone(bool),
    /// The program of the service in this slot is past its exec.
    ServiceBegun(SlotId),
    /// The process of the service in this slot has said that it is ready.
    SaysReady(SlotId, u32),
    /// News of the helper that makes checks.
    Checked(Report),
    /// News of the process that speaks with the broker.
    Linked(LinkNews),
    /// That process is over, and all that it has told has come.
    LinkEnded(Exit),
    /// All that the service in this slot has printed is out, and it is over.
    Printed(SlotId),
    /// What the service in this slot has printed is not out; the system's error number.
    NotPrinted(SlotId, Errno),
    /// Something in the folders of the pipeline file changed its name or content.
    FileTouched,
    /// The wall clock was set, or the machine was asleep.
    ClockSet,
}

/// For a thread that has notices.
#[derive(Clone)]
pub(crate) struct Sender(crossbeam_channel::Sender<Notice>);

impl Sender {
    /// False: the run is over, and no notice is read any more.
    pub(crate) fn send(&self, notice: Notice) -> bool {
        self.0.send(notice).is_ok()
    }
}

/// The stack of a thread that only passes notices on.
pub(crate) const SMALL_STACK: usize = 128 * 1024;

/// A signal that this process sends to itself has come through after this, if ever.
const MARK_LIMIT: Duration = Duration::from_secs(2);

/// Which of the notices that mean "look at all of them" lie in the channel: a second one would only cost one more look. A thousand workers
/// that come up must not make a request wait for a thousand looks.
#[derive(Default)]
struct Lying {
    child: AtomicBool,
    worker: AtomicBool,
}

impl Lying {
    fn of(&self, notice: &Notice) -> Option<&AtomicBool> {
        match notice {
            Notice::Child => Some(&self.child),
            Notice::WorkerSignal => Some(&self.worker),
            _ => None,
        }
    }

    /// Whether it lies there already.
    fn adds(&self, notice: &Notice) -> bool {
        self.of(notice).is_none_or(|lies| !lies.swap(true, SeqCst))
    }

    /// It was taken out: what happens from here on is news.
    fn taken(&self, notice: Notice) -> Notice {
        if let Some(lies) = self.of(&notice) {
            lies.store(false, SeqCst);
        }
        notice
    }
}

/// The receiving end.
pub(crate) struct Inbox {
    sender: Sender,
    receiver: Receiver<Notice>,
    lying: Arc<Lying>,
}

impl Inbox {
    /// From here on the signals of [`Notice`] are taken in, none is lost. They must be blocked in this thread until all
    /// threads are started: then it is the only one that they reach, and can hold them back once more.
    pub(crate) fn open() -> io::Result<Inbox> {
        let (sender, receiver) = channel();
        let signals = Signals::new([SIGCHLD, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTSTP])?;
        let (to, lying) = (sender.clone(), Arc::<Lying>::default());
        let lies = Arc::clone(&lying);
        thread::Builder::new()
            .name("signals".to_owned())
            .stack_size(SMALL_STACK)
            .spawn(move || pass_on(signals, &to, &lies))?;
        Ok(Inbox { sender, receiver, lying })
    }

    /// For one more thread that has notices.
    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// All that came in until now, also what is still on its way through the thread of the signals. No signal but
    /// SIGUSR2 may be let in meanwhile.
    pub(crate) fn drain(&self) -> io::Result<Vec<Notice>> {
        let mut all = Vec::new();
        // What was there before the first mark may come after it; but not after the second.
        for _ in 0..2 {
            raise(Signal::SIGUSR2)?;
            loop {
                match self.wait(Some(Instant::now() + MARK_LIMIT)).ok_or(io::ErrorKind::TimedOut)? {
                    Notice::Upgrade => break,
                    other => all.push(other),
                }
            }
        }
        let rest = self.receiver.try_iter().map(|notice| self.lying.taken(notice));
        all.extend(rest.filter(|notice| !matches!(notice, Notice::Upgrade)));
        Ok(all)
    }

    /// Puts a notice back.
    pub(crate) fn put_back(&self, notice: Notice) {
        self.sender.send(notice);
    }

    /// The next notice; `None` when `until` comes first. Without `until` it waits as long as it takes.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Option<Notice> {
        wait(&self.receiver, until).map(|notice| self.lying.taken(notice))
    }
}

/// A channel for notices.
pub(crate) fn channel() -> (Sender, Receiver<Notice>) {
    let (sender, receiver) = unbounded();
    (Sender(sender), receiver)
}

/// By `Select`: it sleeps as soon as nothing is there. `recv_deadline` gives up the processor four times first, and beside
/// workers that keep all processors busy each time costs a slice of theirs.
pub(crate) fn wait(receiver: &Receiver<Notice>, until: Option<Instant>) -> Option<Notice> {
    let mut select = Select::new();
    select.recv(receiver);
    let ready = match until {
        Some(until) => select.select_deadline(until).ok()?,
        None => select.select(),
    };
    ready.recv(receiver).ok()
}

fn pass_on(mut signals: Signals, to: &Sender, lying: &Lying) {
    for signal in signals.forever() {
        let notice = match signal {
            SIGCHLD => Notice::Child,
            SIGUSR1 => Notice::WorkerSignal,
            SIGUSR2 => Notice::Upgrade,
            SIGTERM => Notice::Terminate,
            SIGINT => Notice::Interrupt,
            SIGQUIT => Notice::Quit,
            SIGTSTP => Notice::Suspend,
            _ => Notice::Hangup,
        };
        if lying.adds(&notice) && !to.send(notice) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_to_look_at_all_lies_there_once_and_comes_again_once_it_was_taken() {
        let lying = Lying::default();
        assert!(lying.adds(&Notice::Child) && lying.adds(&Notice::WorkerSignal));
        assert!(!lying.adds(&Notice::Child) && !lying.adds(&Notice::WorkerSignal));
        lying.taken(Notice::Child);
        assert!(lying.adds(&Notice::Child) && !lying.adds(&Notice::WorkerSignal));
        assert!(lying.adds(&Notice::Hangup) && lying.adds(&Notice::Hangup), "each of these counts");
    }

    #[test]
    fn notices_come_in_their_order_and_a_wait_has_its_end() {
        let (sender, receiver) = channel();
        let until = Instant::now() + Duration::from_millis(20);
        assert!(wait(&receiver, Some(until)).is_none());
        assert!(Instant::now() >= until);
        assert!(wait(&receiver, Some(until)).is_none(), "in the past");
        let other = sender.clone();
        let thread = thread::spawn(move || {
            for n in 0..1000 {
                assert!(other.send(if n % 2 == 0 { Notice::Child } else { Notice::WorkerSignal }));
            }
        });
        for n in 0..1000 {
            let came = wait(&receiver, None).unwrap();
            assert_eq!(n % 2 == 0, matches!(came, Notice::Child));
        }
        thread.join().unwrap();
        drop(receiver);
        assert!(!sender.send(Notice::Child), "nobody reads it any more");
    }
}
