//! A pipeline becomes what should run: its stages, its queues, the hidden queues of its stages.

use super::{State, shared};
use crate::config::{self, Pipeline};
use crate::queue::QueueId;
use crate::supervisor::machine::effect::{Effect, Effects, KeptOrder};
use crate::supervisor::machine::phase::{Phase, Reload};
use crate::supervisor::machine::recovered::Label;
use crate::supervisor::machine::stage_state::{Fate, StageState};
use crate::supervisor::machine::wanted::{Version, Wanted};
use log::Level;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

impl State {
    /// Makes `wanted` what should run; [`State::converge`] does the rest.
    pub(super) fn want(&mut self, wanted: Rc<Wanted>, back: bool, out: &mut Effects) {
        self.queues.want(&wanted.pipeline.queues, out);
        let places = self.stages.iter().enumerate().map(|(s, stage)| (stage.spec.name.clone(), s));
        let places: BTreeMap<String, usize> = places.collect();
        for spec in &wanted.pipeline.stages {
            self.want_stage(spec, places.get(&spec.name).copied(), &wanted, out);
        }
        self.remove_stages(&wanted.pipeline);
        // What is read to its end first is worked off in its order.
        let ordered =
            self.stages.iter().filter(|stage| stage.fate == Fate::Wanted && !stage.reads_others_first());
        ordered.flat_map(StageState::unwanted_windows).for_each(|window| out.push(Effect::EndOrder(window)));
        let drains = self.stages.iter().any(|stage| stage.fate == Fate::Removed { drains: true });
        let until = drains.then(|| out.now + wanted.pipeline.drain_timeout);
        out.push(Effect::LimitDeadLetters(wanted.pipeline.dead_letters));
        out.push(Effect::Serve(Box::new(wanted.pipeline.control.clone())));
        self.wanted = Some(wanted);
        let first = self.phase.reload().filter(|_| self.good.is_none());
        let since = first.map_or(out.now, |start| start.since);
        self.phase = Phase::Reloading(Reload { since, back, until, removing: false });
    }

    /// `found`: the stage of its name, if there is one.
    fn want_stage(&mut self, spec: &config::Stage, found: Option<usize>, wanted: &Wanted, out: &mut Effects) {
        let s = found.unwrap_or_else(|| self.add_stage(spec, wanted));
        let is_stateful = wanted.stateful.contains(&spec.name);
        let token = if is_stateful { self.token(s, spec, out) } else { None };
        let spill = self.spill(s, spec, out);
        let print_token =
            if wanted.printing.contains(&spec.name) { self.queues.kept(Label::Print, out) } else { None };
        let mut shared = self.shared(spec, wanted, out);
        if let Some(shared) = &mut shared {
            shared.token = token.filter(|_| spec.placed.is_some());
        }
        let version = Version { shared, token, print_token, spill, ..self.version(spec, wanted) };
        let stage = &mut self.stages[s];
        if stage.spec.tuning != spec.tuning {
            stage.tune(spec.tuning, out);
        }
        let changed = stage.spec != *spec;
        let is_rescheduled = stage.spec.rules.schedule != spec.rules.schedule;
        stage.spec = spec.clone();
        (stage.totals.is_source, stage.totals.is_service) = (version.is_source(), version.is_service());
        if is_rescheduled {
            stage.reschedule(out);
        }
        self.order(s, out);
        let stage = &mut self.stages[s];
        if stage.aim_at(version, |queue| self.queues.is_unwanted(queue)) {
            stage.note_run_under_way(out);
        }
        if stage.reads_others_first() {
            let (name, inputs) = (&spec.name, stage.version.work.inputs.join(", "));
            let (level, how) = match stage.waits_with_settings() {
                true => (
                    Level::Warn,
                    ", as the file before this one has it: it keeps the order of its input, and its output has another name, too. A file \
                     that leaves the names of its queues has its other changes made at once",
                ),
                false => (Level::Info, ""),
            };
            out.log(level, format!("{name} reads {inputs} to the end first{how}"));
        }
        stage.named(changed);
    }

    fn add_stage(&mut self, spec: &config::Stage, wanted: &Wanted) -> usize {
        let version = Rc::new(self.version(spec, wanted));
        let key = self.new_key();
        let mut stage = StageState::new(key, spec.clone(), version);
        stage.paused = self.paused;
        stage.totals.counts.perhaps_lost = self.perhaps_lost_before.remove(&spec.name).unwrap_or(0);
        self.stages.push(stage);
        self.stages.len() - 1
    }

    /// Without hidden queues.
    fn version(&self, spec: &config::Stage, wanted: &Wanted) -> Version {
        let ids = |names: &[String]| names.iter().filter_map(|name| self.queues.id(name)).collect();
        Version {
            work: spec.work.clone(),
            recycle: spec.recycle,
            log_file: spec.log_file.clone(),
            folder: wanted.pipeline.folder_of(spec).to_owned(),
            inputs: ids(&spec.work.inputs),
            outputs: ids(&spec.work.outputs),
            shared: None,
            token: None,
            print_token: None,
            spill: None,
        }
    }

    /// The hidden queue of a command stage. It may hold outputs, so it stays as long as the stage does.
    fn spill(&mut self, s: usize, spec: &config::Stage, out: &mut Effects) -> Option<QueueId> {
        let stage = &mut self.stages[s];
        if stage.spill.is_none() && spec.work.needs_spill_queue() {
            stage.spill = self.queues.hidden(Label::Spill(spec.name.clone()), out);
        }
        stage.spill_retained &= !spec.work.needs_spill_queue();
        stage.spill.filter(|_| spec.work.needs_spill_queue())
    }

    /// Where the stage keeps the order of its input from now on.
    fn order(&mut self, s: usize, out: &mut Effects) {
        let stage = &mut self.stages[s];
        if let Some(input) = stage.spec.window().and(stage.spec.work.inputs.first()).cloned()
            && stage.window().is_none()
        {
            let label = Label::Window { stage: stage.spec.name.clone(), input: input.clone() };
            stage.windows.extend(self.queues.hidden(label, out).map(|window| (input, window)));
        }
        self.begin_order(s, out);
    }

    /// Says it once more after a change of what goes with it.
    pub(super) fn begin_order(&self, s: usize, out: &mut Effects) {
        let stage = &self.stages[s];
        let ids = |names: &[String]| names.iter().filter_map(|name| self.queues.id(name)).collect::<Vec<_>>();
        if let (Some(window), Some(most)) = (stage.window(), stage.spec.window())
            && let [input] = ids(&stage.spec.work.inputs)[..]
        {
            let outputs = ids(&stage.spec.work.outputs);
            out.push(Effect::BeginOrder(KeptOrder { input, outputs, window, most }));
        }
    }

    /// The hidden queue with the stage's position: the same one as long as `use` is the same.
    fn token(&mut self, s: usize, spec: &config::Stage, out: &mut Effects) -> Option<QueueId> {
        let stage = &mut self.stages[s];
        if let Some((_, token)) = stage.tokens.iter().find(|(uses, _)| **uses == *spec.work.title()) {
            return Some(*token);
        }
        let uses = spec.work.title().into_owned();
        let label = Label::Token { stage: spec.name.clone(), uses: uses.clone() };
        let token = self.queues.hidden(label, out)?;
        stage.tokens.push((uses, token));
        Some(token)
    }

    fn remove_stages(&mut self, wanted: &Pipeline) {
        let queues = &self.queues;
        let named: BTreeSet<&str> = wanted.stages.iter().map(|spec| spec.name.as_str()).collect();
        for stage in &mut self.stages {
            if !named.contains(stage.spec.name.as_str()) {
                let drains = stage.version.reads_only(|queue| queues.is_unwanted(queue));
                stage.fate = Fate::Removed { drains };
            }
        }
    }

    /// Those that are there already serve on; those that go are only gone once the reload is through.
    pub(super) fn queues_to_make(&self, new: &Wanted) -> usize {
        let stages: BTreeMap<&str, &StageState> =
            self.stages.iter().map(|stage| (stage.spec.name.as_str(), stage)).collect();
        let is_new = |label| !self.queues.is_inactive(&label);
        let queues = new.pipeline.queues.iter().filter(|queue| self.queues.id(&queue.name).is_none());
        let hidden = new.pipeline.stages.iter().map(|spec| {
            let (name, uses) = (spec.name.clone(), spec.work.title().into_owned());
            let stage = stages.get(name.as_str());
            let has_token = stage.is_some_and(|stage| stage.tokens.iter().any(|(title, _)| *title == uses));
            let has_spill = stage.is_some_and(|stage| stage.spill.is_some());
            let token = new.stateful.contains(&name)
                && !has_token
                && is_new(Label::Token { stage: name.clone(), uses });
            let spill = spec.work.needs_spill_queue() && !has_spill && is_new(Label::Spill(name.clone()));
            let window = spec.window().and(spec.work.inputs.first()).is_some_and(|input| {
                let has_window = stage.is_some_and(|stage| stage.windows.iter().any(|(of, _)| of == input));
                !has_window && is_new(Label::Window { stage: name, input: input.clone() })
            });
            [token, spill, window].into_iter().filter(|&is_new| is_new).count()
        });
        let prints = !new.printing.is_empty() && is_new(Label::Print);
        let links = shared::labels(&new.pipeline).into_iter().filter(|label| is_new(label.clone()));
        queues.count() + hidden.sum::<usize>() + usize::from(prints) + links.count()
    }
}
