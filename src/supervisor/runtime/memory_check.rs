//! A word at the start where the queues may take more memory than there is: then the kernel kills processes.

use crate::config::Pipeline;
use crate::config::elements::show_size;
use crate::model::Limits;
use crate::sys::memory::Bound;

/// What to say; `None`: it fits, or the queues are in a file, which the system can write out.
pub fn warning(pipeline: &Pipeline, bound: &Bound) -> Option<String> {
    let of_queue = |limits: &Limits| limits.max_bytes.min(limits.capacity.saturating_mul(limits.max_item));
    let mut queues: Vec<(u64, &str)> =
        pipeline.queues.iter().map(|queue| (of_queue(&queue.limits), queue.name.as_str())).collect();
    let sum = queues.iter().fold(0u64, |sum, (bytes, _)| sum.saturating_add(*bytes));
    if pipeline.is_durable() || sum <= bound.bytes {
        return None;
    }
    queues.sort();
    let (greatest, name) = queues.last()?;
    let limit = match &bound.file {
        Some(file) => format!("{} allows", file.display()),
        None => "this machine has".to_owned(),
    };
    Some(format!(
        "the queues may grow to {} together, the greatest is {name} with {}; {limit} {}: beyond it the kernel kills \
         workers and programs. Write a smaller max_bytes in [queues.{name}]",
        show_size(sum),
        show_size(*greatest),
        show_size(readable(bound.bytes))
    ))
}

/// Whole MiB, where that says enough.
fn readable(bytes: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    if bytes < 16 * MIB { bytes } else { bytes / MIB * MIB }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::fixture::{pipeline, stage};

    fn with_bounds(bounds: &[u64], durable: bool) -> Pipeline {
        let mut pipeline = pipeline(vec![stage("a", &[], &["p", "q"]), stage("b", &["p", "q"], &[])]);
        for (queue, bytes) in pipeline.queues.iter_mut().zip(bounds) {
            let limits = &mut queue.limits;
            (limits.capacity, limits.max_item, limits.max_bytes) = (1000, 1 << 20, *bytes);
            queue.durable = durable;
        }
        pipeline
    }

    #[test]
    fn queues_that_may_outgrow_the_memory_are_told_with_their_sum() {
        let bound = Bound { bytes: 60 << 20, file: Some("/sys/fs/cgroup/memory.max".into()) };
        let said = warning(&with_bounds(&[10 << 20, 1 << 30], false), &bound).unwrap();
        assert_eq!(
            said,
            "the queues may grow to 1010MiB together, the greatest is q with 1000MiB; /sys/fs/cgroup/memory.max \
             allows 60MiB: beyond it the kernel kills workers and programs. Write a smaller max_bytes in [queues.q]"
        );
        assert_eq!(warning(&with_bounds(&[10 << 20, 50 << 20], false), &bound), None);
        assert_eq!(warning(&with_bounds(&[10 << 20, 1 << 30], true), &bound), None, "a file is no memory");
    }
}
