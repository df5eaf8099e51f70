//! Who may be connected. There are only so many seats; when all are taken, the client goes that keeps us waiting longest:
//! for the rest of its request, for its next one, or until it reads its answer. So clients that send a byte a second lock
//! nobody out who sends a whole request. A client that waits for us is never sent away, and if all of them do, the next
//! one is: it is told so, and when to come again.

use super::linger;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore};

/// Clients that are being sent away at once; more get no reason.
const SENT_AWAY: usize = 64;

/// The seats of one listener.
#[derive(Clone)]
pub struct Seats {
    book: Arc<Mutex<Book>>,
    sent_away: Arc<Semaphore>,
}

impl Seats {
    pub fn new(most: usize) -> Seats {
        let book = Book { most, turn: 0, taken: BTreeMap::new() };
        Seats { book: Arc::new(Mutex::new(book)), sent_away: Arc::new(Semaphore::new(SENT_AWAY)) }
    }

    /// Has a client served, or sends it away with `refusal`, a whole answer.
    pub fn admit<S, F>(
        &self,
        stream: S,
        refusal: impl FnOnce() -> String,
        serve: impl FnOnce(S, Arc<Seat>) -> F,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some((number, is_over)) = locked(&self.book).take() {
            let seat = Arc::new(Seat { number, book: Arc::clone(&self.book) });
            let served = serve(stream, Arc::clone(&seat));
            tokio::spawn(async move {
                either(is_over.notified(), served).await;
                drop(seat);
            });
        } else if let Ok(permit) = Arc::clone(&self.sent_away).try_acquire_owned() {
            let refusal = refusal();
            tokio::spawn(async move {
                linger::refuse(stream, &refusal).await;
                drop(permit);
            });
        }
    }
}

/// The end of one of two, the first one first.
pub async fn either(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await;
}

fn locked(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A seat that is taken; dropped, it is free.
pub struct Seat {
    number: u64,
    book: Arc<Mutex<Book>>,
}

impl Seat {
    /// From here on the client waits for us, until what this returns is dropped.
    pub fn busy(self: &Arc<Seat>) -> Busy {
        locked(&self.book).change(self.number, |guest, _| guest.idle = None);
        Busy(Arc::clone(self))
    }

    /// The client does not read what we write, or reads it again.
    pub fn stalled(&self, is_stalled: bool) {
        locked(&self.book).change(self.number, |guest, turn| guest.stalled = is_stalled.then_some(turn));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        locked(&self.book).taken.remove(&self.number);
    }
}

/// The client waits for us.
pub struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        locked(&self.0.book).change(self.0.number, |guest, turn| {
            guest.idle = Some(turn);
            guest.was_served = true;
        });
    }
}

/// The body of an answer, and the seat of whoever waits for it.
pub struct Held<B> {
    body: B,
    _busy: Busy,
}

impl<B> Held<B> {
    pub fn new(body: B, busy: Busy) -> Held<B> {
        Held { body, _busy: busy }
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        pin!(self.body.frame()).poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Who sits where. Pure: turns are counted, no clock is read.
struct Book {
    most: usize,
    turn: u64,
    taken: BTreeMap<u64, Guest>,
}

struct Guest {
    /// We wait for its request since that turn.
    idle: Option<u64>,
    /// We wait until it reads, since that turn.
    stalled: Option<u64>,
    was_served: bool,
    is_over: Arc<Notify>,
}

impl Guest {
    /// Since when it keeps us waiting; who never had an answer goes before all others.
    fn keeps_us_waiting(&self) -> Option<(bool, u64)> {
        let since = self.idle.into_iter().chain(self.stalled).min()?;
        Some((self.was_served, since))
    }
}

impl Book {
    /// A seat and the word that it has to be left; `None`: everybody there waits for us.
    fn take(&mut self) -> Option<(u64, Arc<Notify>)> {
        if self.taken.len() >= self.most {
            let waiting =
                self.taken.iter().filter_map(|(number, guest)| Some((guest.keeps_us_waiting()?, *number)));
            let (_, slowest) = waiting.min()?;
            if let Some(guest) = self.taken.remove(&slowest) {
                guest.is_over.notify_one();
            }
        }
        self.turn += 1;
        let is_over = Arc::new(Notify::new());
        let guest =
            Guest { idle: Some(self.turn), stalled: None, was_served: false, is_over: Arc::clone(&is_over) };
        self.taken.insert(self.turn, guest);
        Some((self.turn, is_over))
    }

    /// Of a guest that was sent away there is nothing to change.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut Guest, u64)) {
        self.turn += 1;
        if let Some(guest) = self.taken.get_mut(&number) {
            change(guest, self.turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(most: usize) -> Book {
        Book { most, turn: 0, taken: BTreeMap::new() }
    }

    fn take(book: &mut Book) -> Option<u64> {
        book.take().map(|(number, _)| number)
    }

    #[test]
    fn the_slowest_makes_room_and_who_waits_for_us_is_never_sent_away() {
        let mut book = book(3);
        let [slow, asks, slower] = [0; 3].map(|_| take(&mut book).unwrap());
        book.change(asks, |guest, _| guest.idle = None);
        // The first to come keeps us waiting longest, then the third.
        let next = take(&mut book).unwrap();
        assert!(!book.taken.contains_key(&slow) && book.taken.contains_key(&slower));
        let last = take(&mut book).unwrap();
        assert!(!book.taken.contains_key(&slower));
        for number in [next, last] {
            book.change(number, |guest, _| guest.idle = None);
        }
        assert_eq!(take(&mut book), None);
        assert_eq!(book.taken.keys().copied().collect::<Vec<_>>(), [asks, next, last]);
        // Who does not read its answer keeps us waiting as well.
        book.change(next, |guest, turn| guest.stalled = Some(turn));
        assert!(take(&mut book).is_some() && !book.taken.contains_key(&next));
    }

    #[test]
    fn who_had_an_answer_goes_after_those_that_never_finished_a_request() {
        let mut book = book(2);
        let [served, slow] = [0; 2].map(|_| take(&mut book).unwrap());
        book.change(served, |guest, _| guest.was_served = true);
        assert!(take(&mut book).is_some());
        assert!(book.taken.contains_key(&served) && !book.taken.contains_key(&slow));
    }

    #[test]
    fn a_guest_that_was_sent_away_is_told_and_can_do_no_harm() {
        let mut book = book(1);
        let (number, is_over) = book.take().unwrap();
        let mut told = pin!(is_over.notified());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(told.as_mut().poll(&mut context).is_pending());
        let next = take(&mut book).unwrap();
        assert!(told.as_mut().poll(&mut context).is_ready());
        book.change(number, |guest, _| guest.idle = None);
        assert_eq!(book.taken.keys().copied().collect::<Vec<_>>(), [next]);
    }
}
