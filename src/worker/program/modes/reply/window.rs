//! How many items a program is given ahead of its answers.
//!
//! Items ahead mean speed, but also that the item a program died of is unknown: it may have read on, and may have held
//! answers back. So no item is charged then, and all that were on their way are tried one by one.

use std::time::Duration;

/// Items on their way at once, at most.
const WIDEST_ITEMS: usize = 512;
/// What is on its way should be answered within this.
const ANSWER_SPAN: Duration = Duration::from_millis(1);
/// A fresh program gets this many items one at a time: if it answers more than it was asked, that shows.
const TRIAL_ITEMS: u64 = 16;

pub(crate) struct Window {
    size: usize,
    /// Items that this program has answered.
    answered: u64,
    /// Items to be tried one by one: a program died with this many on their way.
    singles: usize,
}

impl Window {
    pub(super) fn new() -> Window {
        Window { size: 1, answered: 0, singles: 0 }
    }

    /// Items that may be on their way.
    pub(super) fn size(&self) -> usize {
        if self.singles > 0 || self.answered < TRIAL_ITEMS { 1 } else { self.size }
    }

    /// Whether this program has answered anything yet.
    pub(super) fn is_proven(&self) -> bool {
        self.answered > 0
    }

    /// A fresh program.
    pub(super) fn restart(&mut self) {
        (self.size, self.answered) = (1, 0);
    }

    /// One of these items has ended a program.
    pub(super) fn try_singly(&mut self, items: usize) {
        self.singles = items;
    }

    /// `done` items were answered; the oldest took this long.
    pub(super) fn learn(&mut self, done: usize, took: Duration) {
        self.answered += done as u64;
        self.clear(done);
        if took > ANSWER_SPAN {
            let fitting = done as u128 * ANSWER_SPAN.as_nanos() / took.as_nanos();
            self.size = (fitting as usize).clamp(1, WIDEST_ITEMS);
        } else if done >= self.size {
            self.size = (self.size * 2).min(WIDEST_ITEMS);
        }
    }

    /// These singles are answered, or charged.
    pub(super) fn clear(&mut self, done: usize) {
        self.singles = self.singles.saturating_sub(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(50);

    fn wide() -> Window {
        let mut window = Window::new();
        (0..50).for_each(|_| window.learn(window.size(), FAST));
        window
    }

    #[test]
    fn a_fresh_program_gets_one_at_a_time_and_then_more_and_more() {
        let mut window = Window::new();
        for _ in 0..TRIAL_ITEMS {
            assert_eq!(window.size(), 1);
            window.learn(1, FAST);
        }
        assert!(window.size() > 1);
        assert_eq!(wide().size(), WIDEST_ITEMS);
    }

    #[test]
    fn slow_items_go_one_at_a_time() {
        let mut window = wide();
        window.learn(10, Duration::from_secs(1));
        assert_eq!(window.size(), 1);
        let mut window = wide();
        window.learn(100, Duration::from_millis(2));
        assert_eq!(window.size(), 50);
    }

    #[test]
    fn after_a_death_as_many_as_were_on_their_way_go_one_by_one() {
        let mut window = wide();
        window.try_singly(40);
        window.restart();
        for _ in 0..39 {
            window.learn(1, FAST);
            assert_eq!(window.size(), 1);
        }
        window.clear(1);
        assert!(window.size() > 1);
    }
}
