//! What was decided, performed one by one.

use super::performer::Performer;
use super::service_hands::Service;
use crate::logs;
use crate::supervisor::machine::effect::{Effect, Outcome};
use crate::sys::{memory, program_pages};
use log::{Level, log};
use nix::sys::signal::Signal;

impl Performer<'_> {
    /// Does all of it. Some: that was the end of the run.
    pub(crate) fn perform(&mut self, actions: Vec<Effect>) -> Option<Outcome> {
        self.reserve_places(&actions);
        let mut actions = actions.into_iter().peekable();
        while let Some(action) = actions.next() {
            match action {
                Effect::Order(slot, pid, order) => {
                    // One look-up for all workers that get the same order, not one each: every order wakes every sleeper.
                    let mut same = vec![(slot, pid)];
                    while let Some(Effect::Order(slot, pid, next)) =
                        actions.next_if(|next| matches!(next, Effect::Order(_, _, next) if *next == order))
                    {
                        debug_assert_eq!(next, order);
                        same.push((slot, pid));
                    }
                    self.order(&same, order);
                }
                Effect::Tune(slot, pid, tuning) => {
                    let mut tuned = vec![(slot, pid, tuning)];
                    while let Some(Effect::Tune(slot, pid, tuning)) =
                        actions.next_if(|next| matches!(next, Effect::Tune(..)))
                    {
                        tuned.push((slot, pid, tuning));
                    }
                    self.tune(&tuned);
                }
                Effect::End(outcome) => {
                    self.settle_notes();
                    return Some(self.with_worker_deaths(outcome));
                }
                other => self.act(other),
            }
        }
        None
    }

    /// The letters that were written for dead workers are their stages', too.
    fn with_worker_deaths(&self, mut outcome: Outcome) -> Outcome {
        for stage in &mut outcome.stages {
            stage.counts.dead += self.dead.by_stage.get(&stage.name).copied().unwrap_or(0);
            stage.counts.too_long = self.launcher.undo_log.counted(&stage.name).unwrap_or(0);
            stage.counts.repeated = self.launcher.undo_log.repeated(&stage.name).unwrap_or(0);
        }
        outcome
    }

    fn act(&mut self, action: Effect) {
        match action {
            Effect::Spawn(spawn) if spawn.version.is_service() => self.spawn_service(&spawn),
            Effect::Spawn(spawn) => self.spawn(&spawn),
            Effect::Adopt { worker, stage, stage_id, slot, pid, service, announces } => {
                self.opened_stages.extend(stage_id.map(|id| (id, worker.stage)));
                self.adopt(worker, stage.clone(), slot, pid);
                self.look_whether_failing(worker.stage);
                if let Some(version) = service {
                    self.adopt_service(Service { worker, stage, pid, version, slot }, announces);
                }
            }
            Effect::Check(goal) => self.check(&goal),
            Effect::Uncheck(slot, pid) => self.services.checker.uncheck(slot, pid),
            Effect::StartChecker => self.start_checker(),
            Effect::StartLink(start) => self.start_link(*start),
            Effect::OrderLink(order) => self.order_link(&order),
            Effect::KillLink => self.kill_link(),
            Effect::EndChecker => self.services.checker.end(),
            Effect::Suspend(pid, on) => self.suspend_service(pid, on),
            Effect::Preflight(machine) => self.preflight(*machine),
            Effect::ReplaceProgram(machine) => self.replace_program(*machine),
            Effect::Term(pid) => self.terminate(pid),
            Effect::Kill(pid) => {
                self.signal(pid, Signal::SIGKILL);
                self.wait_no_longer(pid);
            }
            Effect::Tune(slot, pid, tuning) => self.tune(&[(slot, pid, tuning)]),
            Effect::Release(release) => self.release(&release),
            Effect::WriteDeadLetter(release) => self.write_dead_letter(&release),
            Effect::KillDeadLetterWriter(slot) => self.kill_dead_letter_writer(slot),
            Effect::NextRun(stage, schedule) => self.next_run(stage, &schedule),
            Effect::SetQueue(queue, spec) => self.set_queue(queue, &spec),
            Effect::AddHidden(queue, label) => self.add_hidden(queue, label),
            Effect::BeginOrder(order) => self.begin_order(&order),
            Effect::EndOrder(window) => {
                self.admin(|admin| admin.end_order(window));
            }
            Effect::ResetToken(queue) => {
                if let Some(label) = self.drop_token(queue) {
                    self.add_hidden(queue, label);
                }
            }
            Effect::DropToken(queue) => drop(self.drop_token(queue)),
            Effect::EndLine(line, ended) => self.end_line(line, ended),
            Effect::SetEnded(queue, ended) => {
                self.admin(|admin| admin.set_ended(queue, ended));
            }
            Effect::SetClosed(queue, closed) => {
                self.admin(|admin| admin.set_closed(queue, closed));
            }
            Effect::RemoveQueues(queues) => self.remove_queues(queues),
            Effect::LimitDeadLetters(bounds) => self.limit_dead_letters(bounds),
            Effect::Serve(control) => self.serve_as(*control),
            Effect::ReadTokens => self.read_tokens(),
            Effect::Load => self.load(),
            Effect::ReleaseMemory => {
                memory::trim_heap();
                program_pages::release();
            }
            Effect::StartGuardian => self.start_guardian(),
            Effect::StartLogWriter => self.start_log_writer(),
            Effect::Notify(messages) => self.notify(&messages),
            Effect::Status(head) => self.status(&head),
            Effect::Answer(id, outcome) => self.answer(id, outcome),
            Effect::Log(level, text) => log!(target: "mprun", level, "{text}"),
            Effect::LogAbout(level, worker, text) => logs::say_about(level, &worker, &text),
            Effect::Show(text) if log::log_enabled!(target: "mprun", Level::Error) => {
                logs::show(Level::Error, &text);
            }
            Effect::Show(_) => {}
            Effect::Order(slot, pid, order) => self.order(&[(slot, pid)], order),
            Effect::End(_) => {} // `perform` returns it
        }
    }
}
