//! A limit on connections. When all slots are taken, the connection is closed that has kept the server waiting longest:
//! for the rest of its request, for its next one, or until its client reads the answer. So clients that send a byte a
//! second do not lock out one that sends a whole request. Nor do clients that connect again and again: each has
//! [`REQUEST_TIME`] for its request, and until then the next ones wait in the listener's backlog. A client that waits for
//! its answer is never disconnected. If all of them do, the next client is refused, and its refusal says when to try again.

use super::closing;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore};

/// After an error of `accept`, such as too many open files.
pub(super) const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// A client that has connected keeps its slot this long, with or without a request. A client with a whole request needs
/// microseconds; the bound is for a busy machine.
pub(super) const REQUEST_TIME: Duration = Duration::from_millis(100);
/// Clients that are being refused at once; more are disconnected without a reason.
const MAX_REFUSALS: usize = 64;

/// The slots of one listener.
#[derive(Clone)]
pub(super) struct Slots {
    table: Arc<Mutex<Table>>,
    refusals: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(most: usize) -> Slots {
        let table = Table { most, turn: 0, taken: BTreeMap::new() };
        Slots { table: Arc::new(Mutex::new(table)), refusals: Arc::new(Semaphore::new(MAX_REFUSALS)) }
    }

    /// Returns once the next client can have a slot or a refusal.
    pub(super) async fn room(&self) {
        while let Some(rest) = { locked(&self.table).time_to_wait(Instant::now()) } {
            tokio::time::sleep(rest).await;
        }
    }

    /// Serves a client, or answers it with `refusal`, a whole response.
    pub(super) fn admit<S, F>(
        &self,
        stream: S,
        refusal: impl FnOnce() -> String,
        serve: impl FnOnce(S, Arc<Slot>) -> F,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some((number, is_over)) = locked(&self.table).take(Instant::now()) {
            let slot = Arc::new(Slot { number, table: Arc::clone(&self.table) });
            let served = serve(stream, Arc::clone(&slot));
            tokio::spawn(async move {
                either(is_over.notified(), served).await;
                drop(slot);
            });
        } else if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            let refusal = refusal();
            tokio::spawn(async move {
                closing::refuse(stream, &refusal).await;
                drop(permit);
            });
        }
    }
}

/// Ends with the first future that ends; both at once: as `first`.
pub(super) async fn either(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await;
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slot that is taken; dropped, it is free.
pub(super) struct Slot {
    number: u64,
    table: Arc<Mutex<Table>>,
}

impl Slot {
    /// The client waits for its answer until the result is dropped.
    pub(super) fn busy(self: &Arc<Slot>) -> Busy {
        locked(&self.table).change(self.number, |connection, _| connection.idle = None);
        Busy(Arc::clone(self))
    }

    /// Whether a write waits for the client to read.
    pub(super) fn stalled(&self, is_stalled: bool) {
        locked(&self.table)
            .change(self.number, |connection, turn| connection.stalled = is_stalled.then_some(turn));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        locked(&self.table).taken.remove(&self.number);
    }
}

/// The client waits for its answer.
pub(super) struct Busy(Arc<Slot>);

impl Drop for Busy {
    fn drop(&mut self) {
        locked(&self.0.table).change(self.0.number, |connection, turn| {
            connection.idle = Some(turn);
            connection.was_served = true;
        });
    }
}

/// The connections. Pure: no clock is read.
struct Table {
    most: usize,
    turn: u64,
    taken: BTreeMap<u64, Connection>,
}

struct Connection {
    /// The server waits for its request since that turn.
    idle: Option<u64>,
    /// A write waits since that turn.
    stalled: Option<u64>,
    was_served: bool,
    opened: Instant,
    is_over: Arc<Notify>,
}

impl Connection {
    /// The turn since which the server waits; connections that never had an answer come before all others.
    fn waited_for_since(&self) -> Option<(bool, u64)> {
        let since = self.idle.into_iter().chain(self.stalled).min()?;
        Some((self.was_served, since))
    }
}

impl Table {
    /// How long no slot can be had; `None`: there is one, or all clients wait for their answers.
    fn time_to_wait(&self, now: Instant) -> Option<Duration> {
        if self.taken.len() < self.most {
            return None;
        }
        let waited_for = self.taken.values().filter(|connection| connection.waited_for_since().is_some());
        let first = waited_for.map(|connection| connection.opened + REQUEST_TIME).min()?;
        first.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// A slot and the notice that it is taken away; `None`: all clients wait for their answers.
    fn take(&mut self, now: Instant) -> Option<(u64, Arc<Notify>)> {
        if self.taken.len() >= self.most {
            let waiting = self.taken.iter().filter_map(|(number, connection)| {
                let had_its_time = connection.opened + REQUEST_TIME <= now;
                Some((connection.waited_for_since().filter(|_| had_its_time)?, *number))
            });
            let (_, slowest) = waiting.min()?;
            if let Some(connection) = self.taken.remove(&slowest) {
                connection.is_over.notify_one();
            }
        }
        self.turn += 1;
        let is_over = Arc::new(Notify::new());
        let connection = Connection {
            idle: Some(self.turn),
            stalled: None,
            was_served: false,
            opened: now,
            is_over: Arc::clone(&is_over),
        };
        self.taken.insert(self.turn, connection);
        Some((self.turn, is_over))
    }

    /// Changes a connection, unless it has lost its slot.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut Connection, u64)) {
        self.turn += 1;
        if let Some(connection) = self.taken.get_mut(&number) {
            change(connection, self.turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(most: usize) -> Table {
        Table { most, turn: 0, taken: BTreeMap::new() }
    }

    /// For one that comes when all others have had their time.
    fn take(table: &mut Table) -> Option<u64> {
        let latest = table.taken.values().map(|connection| connection.opened).max();
        let now = latest.map_or_else(Instant::now, |latest| latest + REQUEST_TIME);
        table.take(now).map(|(number, _)| number)
    }

    #[test]
    fn who_has_just_come_keeps_its_slot_for_a_moment() {
        let mut table = table(2);
        let start = Instant::now();
        let [first, second] = [0, 60].map(|at| table.take(start + Duration::from_millis(at)).unwrap().0);
        assert_eq!(table.time_to_wait(start + Duration::from_millis(70)), Some(Duration::from_millis(30)));
        assert!(table.take(start + Duration::from_millis(70)).is_none());
        // Its request is there: now it is the other one that is waited for.
        table.change(first, |connection, _| connection.idle = None);
        assert_eq!(table.time_to_wait(start + Duration::from_millis(100)), Some(Duration::from_millis(60)));
        assert_eq!(table.time_to_wait(start + Duration::from_millis(160)), None);
        assert!(table.take(start + Duration::from_millis(160)).is_some());
        assert!(table.taken.contains_key(&first) && !table.taken.contains_key(&second));
    }

    #[test]
    fn the_slowest_makes_room_and_who_waits_for_us_is_never_sent_away() {
        let mut table = table(3);
        let [slow, asks, slower] = [0; 3].map(|_| take(&mut table).unwrap());
        table.change(asks, |connection, _| connection.idle = None);
        // The server waits longest for the first, then for the third.
        let next = take(&mut table).unwrap();
        assert!(!table.taken.contains_key(&slow) && table.taken.contains_key(&slower));
        let last = take(&mut table).unwrap();
        assert!(!table.taken.contains_key(&slower));
        for number in [next, last] {
            table.change(number, |connection, _| connection.idle = None);
        }
        assert_eq!(take(&mut table), None);
        assert_eq!(table.taken.keys().copied().collect::<Vec<_>>(), [asks, next, last]);
        // The server waits for a client that does not read its answer as well.
        table.change(next, |connection, turn| connection.stalled = Some(turn));
        assert!(take(&mut table).is_some() && !table.taken.contains_key(&next));
    }

    #[test]
    fn who_had_an_answer_goes_after_those_that_never_finished_a_request() {
        let mut table = table(2);
        let [served, slow] = [0; 2].map(|_| take(&mut table).unwrap());
        table.change(served, |connection, _| connection.was_served = true);
        assert!(take(&mut table).is_some());
        assert!(table.taken.contains_key(&served) && !table.taken.contains_key(&slow));
    }

    #[test]
    fn a_connection_that_lost_its_slot_is_notified_and_can_do_no_harm() {
        let mut table = table(1);
        let (number, is_over) = table.take(Instant::now()).unwrap();
        let mut notice = pin!(is_over.notified());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(notice.as_mut().poll(&mut context).is_pending());
        let next = take(&mut table).unwrap();
        assert!(notice.as_mut().poll(&mut context).is_ready());
        table.change(number, |connection, _| connection.idle = None);
        assert_eq!(table.taken.keys().copied().collect::<Vec<_>>(), [next]);
    }
}
