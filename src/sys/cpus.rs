//! What the machine's CPUs did so far.

use crate::status::CpuTicks;
use std::fs;
use std::thread::available_parallelism;

/// Until now; `None` where there is no /proc.
pub(crate) fn ticks() -> Option<CpuTicks> {
    let count = available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
    let (busy, idle) = parse(&fs::read_to_string("/proc/stat").ok()?)?;
    Some(CpuTicks { count, busy, idle })
}

/// From `cpu user nice system idle iowait irq softirq steal …`. Guests are part of user.
fn parse(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|ticks| ticks.parse().ok()).take(8).collect();
    let idle = ticks.get(3)? + ticks.get(4).unwrap_or(&0);
    Some((ticks.iter().sum::<u64>() - idle, idle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_what_waits_for_nothing_or_for_a_disk() {
        assert_eq!(parse("cpu  10 1 5 100 20 2 3 4 50 0\ncpu0 1"), Some((25, 120)));
        assert_eq!(parse("intr 7"), None);
        assert!(ticks().unwrap().idle > 0);
    }
}
