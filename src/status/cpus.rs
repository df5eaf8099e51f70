//! What the machine's CPUs did, as far as that limits a pipeline.

use serde::{Deserialize, Serialize};

/// Fewer ticks are too few to tell.
const MIN_TICKS: u64 = 10;

/// Time of all CPUs since the machine was started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTicks {
    /// CPUs that this process may use.
    pub count: u32,
    /// At work.
    pub busy: u64,
    /// Idle, or waiting for a disk.
    pub idle: u64,
}

/// What the machine's CPUs did between the looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cpus {
    /// How many there are.
    pub count: u32,
    /// The share of their time, 0 ..= 1, that was left.
    pub idle: f64,
}

impl CpuTicks {
    /// What they did since `before`; `None` if that is too short to tell.
    pub(crate) fn since(&self, before: &CpuTicks) -> Option<Cpus> {
        let (busy, idle) = (self.busy.saturating_sub(before.busy), self.idle.saturating_sub(before.idle));
        let all = busy + idle;
        (all >= MIN_TICKS).then(|| Cpus { count: self.count, idle: idle as f64 / all as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_left_is_that_of_the_time_between() {
        let at = |busy, idle| CpuTicks { count: 2, busy, idle };
        assert_eq!(at(130, 170).since(&at(100, 100)), Some(Cpus { count: 2, idle: 0.7 }));
        assert_eq!(at(101, 101).since(&at(100, 100)), None);
    }
}
