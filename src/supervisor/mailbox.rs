//! A channel from many threads to one, whose receiver sleeps as soon as there is nothing: those of the standard library
//! and of crossbeam give up the processor some times first. Beside workers that keep all processors busy each time
//! costs a slice of theirs, and came to a quarter of the supervisor's own time under many requests.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

struct Shared<T> {
    letters: Mutex<Letters<T>>,
    came: Condvar,
}

struct Letters<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

impl<T> Shared<T> {
    fn letters(&self) -> MutexGuard<'_, Letters<T>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts letters in; may be cloned.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Sender<T> {
    /// False: nobody will ever read it.
    pub fn send(&self, letter: T) -> bool {
        let mut letters = self.0.letters();
        if letters.is_closed {
            return false;
        }
        letters.waiting.push_back(letter);
        drop(letters);
        self.0.came.notify_one();
        true
    }
}

/// Takes letters out, in their order. What waits when it is dropped is dropped, too.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// With its first sender.
    pub fn open() -> (Sender<T>, Receiver<T>) {
        let letters = Mutex::new(Letters { waiting: VecDeque::new(), is_closed: false });
        let shared = Arc::new(Shared { letters, came: Condvar::new() });
        (Sender(Arc::clone(&shared)), Receiver(shared))
    }

    /// The next letter if one is there.
    pub fn take(&self) -> Option<T> {
        self.0.letters().waiting.pop_front()
    }

    /// The next letter; `None` if none comes until then. Without `until` it waits as long as it takes.
    pub fn wait(&self, until: Option<Instant>) -> Option<T> {
        let mut letters = self.0.letters();
        loop {
            if let Some(letter) = letters.waiting.pop_front() {
                return Some(letter);
            }
            letters = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.0.came.wait(letters).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return None,
                Some(left) => {
                    self.0.came.wait_timeout(letters, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut letters = self.0.letters();
        letters.is_closed = true;
        let unread = std::mem::take(&mut letters.waiting);
        drop(letters); // what is unread may itself send something when it is dropped
        drop(unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn letters_come_in_their_order_from_any_thread() {
        let (sender, receiver) = Receiver::open();
        let other = sender.clone();
        let thread = thread::spawn(move || (0..1000).for_each(|n| assert!(other.send(n))));
        let came: Vec<i32> = (0..1000).map_while(|_| receiver.wait(None)).collect();
        thread.join().unwrap();
        assert_eq!(came, (0..1000).collect::<Vec<_>>());
        assert!(receiver.take().is_none());
        assert!(sender.send(7));
        assert_eq!(receiver.take(), Some(7));
    }

    #[test]
    fn a_wait_has_its_end() {
        let (_sender, receiver) = Receiver::<()>::open();
        let until = Instant::now() + Duration::from_millis(20);
        assert_eq!(receiver.wait(Some(until)), None);
        assert!(Instant::now() >= until);
        assert_eq!(receiver.wait(Some(until)), None, "in the past");
    }

    #[test]
    fn what_nobody_reads_any_more_is_dropped_and_the_sender_is_told() {
        let (sender, receiver) = Receiver::open();
        let letter = Arc::new(());
        assert!(sender.send(Arc::clone(&letter)));
        drop(receiver);
        assert_eq!(Arc::strong_count(&letter), 1);
        assert!(!sender.send(letter));
    }
}
