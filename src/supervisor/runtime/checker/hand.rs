//! What all checks of the helper share: how many are made at once, whether it stood still, and dead programs.

use super::course::Outcome;
use super::message::Task;
use super::probe;
use super::program::{self, Tail};
use super::tries::Tries;
use crate::config::pipeline::Probe;
use crate::numbers::time;
use crate::secret;
use signal_hook::consts::SIGCONT;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections at once, and programs at once: each of the latter costs a fork, and three descriptors.
const CONNECTIONS: usize = 256;
const PROGRAMS: usize = 32;
/// A timeout that comes so much too late was not kept by this process: it stood still.
const LATE: Duration = Duration::from_secs(1);

/// How this process has waited.
pub(super) enum Slept {
    Well,
    /// It stood still: what it has seen of a process's time tells nothing.
    TooLong,
}

pub(super) struct Hand {
    connections: Semaphore,
    programs: Semaphore,
    /// It was continued after a SIGSTOP.
    continued: Arc<AtomicBool>,
    /// How often.
    stops: Cell<u64>,
    tries: Tries,
}

impl Hand {
    pub(super) fn new() -> io::Result<Hand> {
        let continued = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGCONT, Arc::clone(&continued))?;
        let (connections, programs) = (Semaphore::new(CONNECTIONS), Semaphore::new(PROGRAMS));
        Ok(Hand { connections, programs, continued, stops: Cell::new(0), tries: Tries::default() })
    }

    /// Until the next try.
    pub(super) async fn sleep_until(&self, next: Instant) -> Slept {
        let stops = self.stops();
        tokio::time::sleep_until(next.into()).await;
        let stood_still = self.stops() != stops || Instant::now() > next + LATE;
        if stood_still { Slept::TooLong } else { Slept::Well }
    }

    /// One try, once there is room for it. `limit`: by the moment that it begins.
    pub(super) async fn try_once(&self, task: &Task, limit: impl Fn(Instant) -> Duration) -> Outcome {
        let is_program = matches!(task.check.probe, Probe::Command(_));
        let room = if is_program { &self.programs } else { &self.connections };
        let _room = room.acquire().await;
        let (stops, begun, tail) = (self.stops(), Instant::now(), Tail::default());
        let limit = limit(begun);
        let outcome = timeout(limit, self.look(task, &tail)).await;
        let is_late = outcome.is_err() && begun.elapsed() > limit + LATE;
        if self.stops() != stops || is_late {
            return Outcome::Void;
        }
        outcome.unwrap_or_else(|_| Outcome::Failed(too_late(&task.check.probe, limit, &tail)))
    }

    async fn look(&self, task: &Task, tail: &Tail) -> Outcome {
        match &task.check.probe {
            Probe::Tcp(address) => probe::tcp(address).await,
            Probe::Http(url) => probe::http(url).await,
            Probe::Command(_) if self.tries.are_too_many() => {
                Outcome::NotMade("too many programs of checks do not die".to_owned())
            }
            Probe::Command(invocation) => program::run(task, invocation, tail, &self.tries).await,
            Probe::Line(_) | Probe::Notify => Outcome::NotMade("it is not for this process".to_owned()),
        }
    }

    fn stops(&self) -> u64 {
        if self.continued.swap(false, Ordering::Relaxed) {
            self.stops.set(self.stops.get() + 1);
        }
        self.stops.get()
    }
}

fn too_late(probe: &Probe, limit: Duration, tail: &Tail) -> String {
    let limit = time(limit.as_secs_f64());
    match (probe, program::last_line(tail)) {
        (Probe::Tcp(address), _) => format!("{address}: no connection within {limit}"),
        (Probe::Http(url), _) => format!("{}: no answer within {limit}", secret::hidden(url)),
        (_, Some(last)) => format!("its command has not ended within {limit}; its last words: {last}"),
        (_, None) => format!("its command has not ended within {limit}"),
    }
}
