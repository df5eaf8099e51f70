//! What the broker says becomes the machine's events.

use super::*;

impl<C: Connect, S: Supervisor> Driver<C, S> {
    pub(super) fn answered(&mut self, answer: Answer<C::Broker>) {
        match answer {
            Answer::Joined(Ok(broker)) => self.joined(Rc::new(broker)),
            Answer::Joined(Err(fault)) => self.failed(&fault),
            Answer::Held(queue, result) => {
                self.on(result, |sequences| Some(Event::Held { queue, sequences }));
            }
            Answer::Taken(queue, asked, result) => self.on_taken(queue, asked, result),
            Answer::Extended(queue, result) => self.on(result, |lost| Some(Event::Extended { queue, lost })),
            Answer::Judged(line, first, result) => {
                self.on(result, |judged| Some(Event::Judged { line, first, judged }));
                self.look_for_last_ends();
            }
            Answer::Progress(queue, result) => self.on_progress(queue, result),
            Answer::Registered(line, result) => self.on_registered(line, result),
            Answer::Claimed(line, Ok(position)) => {
                let is_ours = position.is_some();
                self.positions.extend(position.map(|position| (line, position)));
                self.handle(Event::Claimed { line, is_ours });
            }
            Answer::Claimed(_, Err(fault)) => self.failed(&fault),
            Answer::Over(line) => {
                self.handle(Event::Claimed { line, is_ours: false });
                self.is_over(line);
            }
            Answer::Done(result) => self.on(result, |()| None),
            Answer::Left(result) => self.on(result, |()| Some(Event::Left)),
            Answer::Heard(Ok(heard)) => self.heard(heard),
            Answer::Heard(Err(fault)) => self.failed(&fault),
            Answer::Woken(Woken::Away) => self.failed(&Fault::Away("the connection is closed".into())),
            Answer::Woken(woken) => {
                self.wait_for_messages();
                self.handle(Event::Woken(woken));
                if let Woken::Items(queue) = woken {
                    self.look_for_end(queue);
                }
            }
        }
    }

    /// What an answer means to the machine; a fault is one of the connection.
    fn on<T>(&mut self, result: Result<T, Fault>, event: impl FnOnce(T) -> Option<Event>) {
        match result.map(event) {
            Ok(Some(event)) => self.handle(event),
            Ok(None) => {}
            Err(fault) => self.failed(&fault),
        }
    }

    fn on_taken(&mut self, queue: SharedQueue, asked: usize, result: Result<Vec<Lease>, Fault>) {
        let Ok(leases) = &result else { return self.on(result, |_| None) };
        let sequences: Vec<Sequence> = leases.iter().map(|lease| lease.sequence).collect();
        let is_short = sequences.is_empty();
        if let Ok(leases) = result {
            self.taken.insert(queue, leases);
        }
        self.handle(Event::Taken { queue, asked, sequences });
        if is_short {
            self.look_for_end(queue);
        }
    }

    fn joined(&mut self, broker: Rc<C::Broker>) {
        let Joined { run, begun, ended, is_back, works_off, warnings } = broker.joined().clone();
        // A machine that has died in the run may have written what does not count: its workers see to that as they start.
        if let Some(at) = ended.filter(|_| !is_back) {
            self.supervisor.tell(LinkNews::Ended { at });
            self.end = Some(End::Left);
            return;
        }
        self.up = LinkNews::Up { run, begun, works_off, warnings };
        self.broker = Some(broker);
        self.heard(Heard { is_watched: true, order: None });
        self.wait_for_messages();
        self.registering = 1;
        for (n, line) in self.plan.lines.clone().into_iter().enumerate() {
            if works_off && line.is_source {
                self.handle(Event::Switched { line: LineId(n), is_off: true });
                continue;
            }
            for &queue in &line.ends {
                let (id, stage) = (LineId(n), line.shared());
                self.registering += 1;
                // Behind each other on one connection: the queue knows its writer before the writer's first commit comes.
                self.ask(async move |broker| Answer::Registered(id, broker.register(queue, &stage).await));
            }
        }
        self.registered();
        for queue in self.finished.clone() {
            self.ask_for_progress(queue);
        }
        self.handle(Event::Joined);
    }

    fn on_registered(&mut self, line: LineId, result: Result<Registered, Fault>) {
        match result {
            Ok(registered) => {
                let is_placed = self.plan.lines.get(line.0).is_some_and(|line| line.placed.is_some());
                match registered {
                    // One with a position finds its end there.
                    Registered::Ended if !is_placed => self.is_over(line),
                    Registered::Sealed => self.is_over(line),
                    Registered::Open if self.ended.remove(&line) => {
                        self.marks.remove(&line.0); // it is said once more, behind what is emitted once more
                        self.handle(Event::EndForgotten { line });
                    }
                    Registered::Open | Registered::Ended => {}
                }
                self.registered();
            }
            Err(fault) => self.failed(&fault),
        }
    }

    /// There is nothing to do for the stage of a line in this run.
    fn is_over(&mut self, line: LineId) {
        self.handle(Event::Switched { line, is_off: true });
        if let Some(line) = self.plan.lines.get(line.0) {
            self.supervisor.tell(LinkNews::Over { stage: line.stage.clone() });
        }
    }

    fn registered(&mut self) {
        self.registering -= 1;
        if self.registering == 0 {
            self.supervisor.tell(self.up.clone());
        }
    }

    fn wait_for_messages(&mut self) {
        self.ask(async |broker| Answer::Woken(broker.woken().await));
    }

    fn failed(&mut self, fault: &Fault) {
        match (fault, fault.outage()) {
            (_, Some(outage)) => {
                self.supervisor.tell(LinkNews::Away { outage, why: fault.to_string() });
                self.broker = None;
                (self.leaves_at, self.is_leaving) = (None, false);
                self.tasks.abort_all();
                self.tasks = JoinSet::new();
                self.taken.clear();
                self.handle(Event::Broken { jitter: 0.5 + fastrand::f64() / 2.0 });
            }
            (Fault::Superseded, None) if self.is_leaving => self.handle(Event::Left),
            (_, None) => self.handle(Event::Hopeless(fault.to_string())),
        }
    }

    /// A restart or a failover of the broker has taken the end of a queue back: its items come once more.
    fn reopen(&mut self, queue: SharedQueue) {
        if let Err(fault) = self.arena.reopen(queue) {
            self.end = Some(End::Broken(fault.to_string()));
        }
        for line in self.plan.lines.iter().filter(|line| line.reads.contains(&queue)) {
            self.supervisor.tell(LinkNews::WorkAgain { stage: line.stage.clone() });
        }
    }

    /// What was judged may have ended the last items of a queue.
    fn look_for_last_ends(&mut self) {
        for queue in self.sealed.clone() {
            if self.arena.has_none_of(queue) {
                self.look_for_end(queue);
            }
        }
    }

    fn on_progress(&mut self, queue: SharedQueue, result: Result<Progress, Fault>) {
        let progress = match result {
            Ok(progress) => progress,
            Err(fault) => return self.failed(&fault),
        };
        if !self.plan.reads.contains(&queue)
            || progress == Progress::Finished && self.finished.contains(&queue)
        {
            return;
        }
        if self.finished.remove(&queue) {
            self.reopen(queue);
        }
        if matches!(progress, Progress::Sealed | Progress::Leased) {
            self.sealed.insert(queue);
        }
        let noted = match progress {
            Progress::Finished => self.arena.close(queue),
            Progress::Open | Progress::Sealed | Progress::Leased => {
                self.arena.set_all_leased(queue, progress == Progress::Leased)
            }
        };
        if let Err(fault) = noted {
            self.end = Some(End::Broken(fault.to_string()));
        }
        if progress != Progress::Finished {
            return;
        }
        self.finished.insert(queue);
        self.sealed.remove(&queue);
        // What comes of its items alone gets no more.
        let all = (0..).map(SharedQueue).take(self.plan.broker.queues.len());
        for behind in all.filter(|&behind| self.plan.before(behind).contains(&queue)).collect::<Vec<_>>() {
            self.ask_for_progress(behind);
        }
        self.ask(async |broker| Answer::Done(broker.finish().await.map(drop)));
    }
}
