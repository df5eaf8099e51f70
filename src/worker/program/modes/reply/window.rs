//! How many items a program is given ahead of its answers.
//!
//! Ahead means speed, but also that nobody can say which item a program was at when it died: it may have read on, and
//! may have held answers back. So nobody is blamed then, and as many items as were on their way are tried one by one.

use std::time::Duration;

/// Items on their way at once, at most.
const WIDEST: usize = 512;
/// What is on its way should be answered within this.
const SPAN: Duration = Duration::from_millis(1);
/// So many items a fresh program gets one at a time: if it says more than it is asked, that shows.
const TRIAL: u64 = 16;

pub(crate) struct Window {
    size: usize,
    /// Items that this program has answered.
    answered: u64,
    /// Items to be tried one by one: a program died with so many on their way.
    suspects: usize,
}

impl Window {
    pub fn new() -> Window {
        Window { size: 1, answered: 0, suspects: 0 }
    }

    /// Items that may be on their way.
    pub fn size(&self) -> usize {
        if self.suspects > 0 || self.answered < TRIAL { 1 } else { self.size }
    }

    /// Whether this program has answered anything yet.
    pub fn is_proven(&self) -> bool {
        self.answered > 0
    }

    /// A fresh program.
    pub fn restart(&mut self) {
        (self.size, self.answered) = (1, 0);
    }

    /// One of so many items has ended a program.
    pub fn suspect(&mut self, items: usize) {
        self.suspects = items;
    }

    /// So many items were answered, the last of them so long after the answer before.
    pub fn learn(&mut self, done: usize, took: Duration) {
        self.answered += done as u64;
        self.clear(done);
        if took > SPAN {
            let fitting = done as u128 * SPAN.as_nanos() / took.as_nanos();
            self.size = (fitting as usize).clamp(1, WIDEST);
        } else if done >= self.size {
            self.size = (self.size * 2).min(WIDEST);
        }
    }

    /// So many suspects are answered, or convicted.
    pub fn clear(&mut self, done: usize) {
        self.suspects = self.suspects.saturating_sub(done);
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
        for _ in 0..TRIAL {
            assert_eq!(window.size(), 1);
            window.learn(1, FAST);
        }
        assert!(window.size() > 1);
        assert_eq!(wide().size(), WIDEST);
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
        window.suspect(40);
        window.restart();
        for _ in 0..39 {
            window.learn(1, FAST);
            assert_eq!(window.size(), 1);
        }
        window.clear(1);
        assert!(window.size() > 1);
    }
}
