//! What a run needs of this machine, looked at before anything is begun: later, each of these would be one failure here
//! and another there.

use crate::config::elements::show_size;
use crate::config::pipeline::{Check, Probe};
use crate::config::{Pipeline, Stage};
use crate::model::Limits;
use crate::stage::Registry;
use crate::sys::memory::{self, Bound};
use crate::sys::process::FIRST_FREE;
use crate::sys::{open_files, start_streams};
use nix::sys::stat::{SFlag, fstat};
use std::cmp::Reverse;
use std::io::stdin;

/// Standard streams that are closed, and descriptors that can't be had, are refused.
///
/// # Errors
/// What is missing.
pub(crate) fn check(pipeline: &Pipeline, registry: &Registry) -> Result<(), String> {
    missing_stream(pipeline, registry).map_or(Ok(()), Err)?;
    make_room(pipeline, registry)
}

/// What the queues may take of memory.
pub(crate) struct QueueMemory {
    bytes: u64,
    /// What the greatest queue may take, its name, and how many more may take as much.
    greatest: (u64, String, usize),
}

impl QueueMemory {
    /// `None`: their memory is a file, or there are none.
    pub(crate) fn of(pipeline: &Pipeline) -> Option<QueueMemory> {
        if pipeline.is_durable() {
            return None;
        }
        let of_queue =
            |limits: &Limits| limits.max_bytes.min(limits.capacity.saturating_mul(limits.max_item));
        let queues = || pipeline.queues.iter().map(|queue| (of_queue(&queue.limits), queue.name.as_str()));
        let bytes = queues().fold(0u64, |sum, (bytes, _)| sum.saturating_add(bytes));
        let (greatest, name) = queues().max_by_key(|(bytes, name)| (*bytes, Reverse(*name)))?;
        let others = queues().filter(|(bytes, _)| *bytes == greatest).count() - 1;
        Some(QueueMemory { bytes, greatest: (greatest, name.to_owned(), others) })
    }

    /// What to say where that is more than this machine, or this cgroup, has: the kernel would kill processes.
    pub(crate) fn warning(&self) -> Option<String> {
        memory::bound().and_then(|bound| self.warning_at(&bound))
    }

    fn warning_at(&self, bound: &Bound) -> Option<String> {
        if self.bytes <= bound.bytes {
            return None;
        }
        let limit = match &bound.file {
            Some(file) => format!("{} allows", file.display()),
            None => "this machine has".to_owned(),
        };
        let (greatest, name, others) = &self.greatest;
        let (which, tables) = match others {
            0 => (format!("the greatest is {name} with"), format!("in [queues.{name}]")),
            _ => (format!("the greatest are {name} and {others} more, each with"), "for them".to_owned()),
        };
        Some(format!(
            "the queues may grow to {} together, {which} {}; {limit} {}: beyond it the kernel kills workers and programs. \
             Write a smaller max_bytes {tables}",
            show_size(self.bytes),
            show_size(*greatest),
            show_size(readable(bound.bytes))
        ))
    }
}

/// The stream that is missing. Whether a program prints can't be known: its stage fails once it does.
fn missing_stream(pipeline: &Pipeline, registry: &Registry) -> Option<String> {
    let is_folder = || {
        fstat(stdin())
            .is_ok_and(|about| SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
    };
    let mut built_in = pipeline.stages.iter().filter(|stage| stage.work.uses().is_some());
    built_in.find_map(|stage| {
        if stage.work.reads_stdin(registry) && is_folder() {
            return Some(format!("standard input is a folder, and stage {} reads it: `find FOLDER | mprun …` lists what is in one", stage.name));
        }
        let reads = stage.work.reads_stdin(registry) && start_streams::is_input_closed();
        let prints = stage.work.prints(registry) && start_streams::is_output_closed();
        let (which, does) = match (reads, prints) {
            (true, _) => ("input", "reads it"),
            (false, true) => ("output", "prints there"),
            (false, false) => return None,
        };
        Some(format!("standard {which} is closed, and stage {} {does}", stage.name))
    })
}

/// Beside those below [`FIRST_FREE`]: the copies that a start of a worker makes, and some connections.
const OWN_DESCRIPTORS: u64 = 36;
/// Of each stage that reads standard input: both ends of its holding pipe.
const HOLDING_PIPE_ENDS: u64 = 2;

/// Of each process of a service: what it says, on two streams.
const SERVICE_PIPES: u64 = 2;

/// Raises the limit as far as it goes. Workers are processes and have their own.
fn make_room(pipeline: &Pipeline, registry: &Registry) -> Result<(), String> {
    let Ok(most) = open_files::raise() else { return Ok(()) };
    let needed = needed(pipeline, registry);
    if most >= needed {
        return Ok(());
    }
    Err(format!(
        "the limit of open files (`ulimit -n`) is {most}, and this pipeline needs {needed}: `ulimit -n {needed}` raises it where that is \
         allowed, and `LimitNOFILE={needed}` in a unit of systemd"
    ))
}

fn needed(pipeline: &Pipeline, registry: &Registry) -> u64 {
    let services = pipeline.stages.iter().filter(|stage| stage.work.is_service());
    let services: u64 = services.map(|stage| u64::from(stage.processes)).sum();
    let is_notified = |stage: &&Stage| matches!(&stage.ready, Some(Check { probe: Probe::Notify, .. }));
    let notified =
        pipeline.stages.iter().filter(is_notified).map(|stage| u64::from(stage.processes)).sum::<u64>();
    let readers = pipeline.stages.iter().filter(|stage| stage.work.reads_stdin(registry)).count() as u64;
    u64::from(FIRST_FREE.unsigned_abs())
        + OWN_DESCRIPTORS
        + HOLDING_PIPE_ENDS * readers
        + SERVICE_PIPES * services
        + notified
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
        let said = |bounds, durable| QueueMemory::of(&with_bounds(bounds, durable))?.warning_at(&bound);
        assert_eq!(
            said(&[10 << 20, 1 << 30], false).unwrap(),
            "the queues may grow to 1010MiB together, the greatest is q with 1000MiB; /sys/fs/cgroup/memory.max \
             allows 60MiB: beyond it the kernel kills workers and programs. Write a smaller max_bytes in [queues.q]"
        );
        assert_eq!(
            said(&[50 << 20, 50 << 20], false).unwrap(),
            "the queues may grow to 100MiB together, the greatest are p and 1 more, each with 50MiB; \
             /sys/fs/cgroup/memory.max allows 60MiB: beyond it the kernel kills workers and programs. Write a smaller \
             max_bytes for them"
        );
        assert_eq!(said(&[10 << 20, 50 << 20], false), None);
        assert_eq!(said(&[10 << 20, 1 << 30], true), None, "a file is no memory");
    }
}
