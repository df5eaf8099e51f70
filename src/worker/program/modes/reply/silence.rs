//! A program that answers nothing: the one thing that would else look like a stage that simply hangs.

use std::time::{Duration, Instant};

/// So long a program may take for its first answer before somebody should hear of it.
const LONG: Duration = Duration::from_secs(5);

const ADVICE: &str = "if it isn't still at work on it, it holds its answers back, or waits for more input before it \
    begins: let it flush after each answer (python3 -u, sed -u, grep --line-buffered, fflush() in awk, mawk -W \
    interactive, or `stdbuf -oL` before it), or use mode = \"stream\", or mode = \"each\" with `batch`";

/// Watches for it, and warns once.
#[derive(Default)]
pub(crate) struct Silence {
    warned: bool,
}

impl Silence {
    /// When to look again: the program has items since then and has answered none ever.
    pub fn deadline(&self, since: Instant) -> Option<Instant> {
        (!self.warned).then(|| since + LONG)
    }

    /// Warns if it is time.
    pub fn look(&mut self, items: usize, since: Instant) {
        if self.deadline(since).is_some_and(|at| at <= Instant::now()) {
            self.warned = true;
            let (s, has) = if items == 1 { ("", "has") } else { ("s", "have") };
            let passed = LONG.as_secs();
            log::warn!("{items} item{s} that its program got {passed}s ago {has} no answer yet: {ADVICE}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once() {
        let mut silence = Silence::default();
        let since = Instant::now();
        assert_eq!(silence.deadline(since), Some(since + LONG));
        silence.look(1, since);
        assert!(silence.deadline(since).is_some());
        silence.look(1, since.checked_sub(LONG).unwrap());
        assert_eq!(silence.deadline(since), None);
    }
}
