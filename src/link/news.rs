//! Waiting for the arena, in a thread beside the link's.

use crate::queue::Listener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Shared {
    listener: Option<Arc<Listener>>,
    /// Looks at the arena so far.
    looks: u64,
    /// The look that a wait has reported is old: until the next one there is nothing to wait for.
    reported: u64,
    /// The thread waits for the next look.
    is_waiting: bool,
}

/// The link's end of it.
#[derive(Clone, Default)]
pub(super) struct News(Arc<(Mutex<Shared>, Condvar)>);

/// The thread's end of it.
pub(crate) struct Waiter(News);

impl News {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link looks at the arena now.
    pub(super) fn looks(&self, listener: Listener) {
        let mut shared = self.lock();
        (shared.listener, shared.looks) = (Some(Arc::new(listener)), shared.looks + 1);
        if shared.is_waiting {
            self.0.1.notify_all();
        }
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter(self.clone())
    }
}

impl Waiter {
    /// Returns once the arena may say something else than the link has seen there, or after that time.
    pub(crate) fn wait(&self, most: Duration) {
        let until = Instant::now() + most;
        let Some((listener, look)) = self.next_look(most) else { return };
        if listener.sleep(until) {
            let mut shared = self.0.lock();
            shared.reported = shared.reported.max(look);
        }
    }

    /// A look that no wait has reported is old.
    fn next_look(&self, most: Duration) -> Option<(Arc<Listener>, u64)> {
        let News(shared) = &self.0;
        let is_old = |shared: &mut Shared| shared.listener.is_none() || shared.looks == shared.reported;
        let mut guard = self.0.lock();
        guard.is_waiting = true;
        let waited = shared.1.wait_timeout_while(guard, most, is_old);
        let (mut guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        guard.is_waiting = false;
        let listener = guard.listener.clone().filter(|_| !timeout.timed_out())?;
        Some((listener, guard.looks))
    }
}
