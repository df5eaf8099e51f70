//! `halt`: a stage tries no further item, so the run ends: what comes before it ends, too, and what is behind it works off
//! its items.

use super::State;
use crate::model::{Halt, HaltOf, HaltWhen};
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::reason::StopCause;
use crate::supervisor::machine::restart::Stopping;
use log::Level;
use std::collections::BTreeSet;

/// The stages that take no further item, by place.
#[derive(Default)]
pub(super) struct Halting {
    when: Option<HaltWhen>,
    stages: BTreeSet<usize>,
}

impl Halting {
    pub(super) fn is_halting(&self, s: usize, when: HaltWhen) -> bool {
        self.when == Some(when) && self.stages.contains(&s)
    }
}

impl State {
    /// A worker of this stage has found its `halt` reached. A stop under way is none the other for it.
    pub(super) fn halt(&mut self, s: usize, out: &mut Effects) {
        let Some(halt) = self.halt_of(s).filter(|_| self.stopping() == Stopping::No) else { return };
        self.failed |= halt.of == HaltOf::Fail;
        let stage = self.stages[s].spec.name.clone();
        let then = match halt.when {
            HaltWhen::Soon => "what runs ends by itself",
            HaltWhen::Now => "what runs is stopped",
        };
        let level = if halt.of == HaltOf::Fail { Level::Warn } else { Level::Info };
        out.log(level, format!("the stage {stage} tries no further item (halt = \"{halt}\"); {then}"));
        self.begin_stop(StopCause::Halted { stage, halt }, out);
        if let Some(stop) = self.phase.stop_mut() {
            stop.until = None;
        }
    }

    fn halt_of(&self, s: usize) -> Option<Halt> {
        self.stages[s].version.work.command()?.halt
    }

    /// The stage that has halted, and all that write what it reads.
    pub(super) fn halting(&self) -> Halting {
        let Some(StopCause::Halted { stage, halt }) = self.phase.stop().map(|stop| &stop.cause) else {
            return Halting::default();
        };
        let mut stages: BTreeSet<usize> =
            (0..self.stages.len()).filter(|&s| self.stages[s].spec.name == *stage).collect();
        loop {
            let read: BTreeSet<_> =
                stages.iter().flat_map(|&s| self.stages[s].version.inputs.iter().copied()).collect();
            let before = stages.len();
            let writes = |&s: &usize| self.stages[s].version.outputs.iter().any(|queue| read.contains(queue));
            stages.extend((0..self.stages.len()).filter(writes));
            if stages.len() == before {
                return Halting { when: Some(halt.when), stages };
            }
        }
    }
}
