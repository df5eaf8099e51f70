//! What the machine asks for, of the broker and of the arena.

use super::*;

impl<C: Connect, S: Supervisor> Driver<C, S> {
    /// Does what the machine wants; what is known at once comes back as an event.
    pub(super) fn perform(&mut self, effect: Effect) -> Result<Option<Event>, queue::Fault> {
        match effect {
            Effect::Join => self.join(),
            Effect::AskHeld { queue } => {
                self.ask(async move |broker| Answer::Held(queue, broker.held(queue).await));
            }
            Effect::Take { queue, n, look_for_expired } => {
                self.ask(async move |broker| {
                    Answer::Taken(queue, n, broker.take(queue, n, look_for_expired).await)
                });
            }
            Effect::Store { queue, sequences } => {
                let taken = self.taken.remove(&queue).unwrap_or_default();
                self.arena.store(queue, &wanted(taken, &sequences))?;
            }
            Effect::Extend { queue, sequences } => {
                self.ask(async move |broker| Answer::Extended(queue, broker.extend(queue, &sequences).await))
            }
            Effect::GiveBack { queue, leases } => {
                self.ask(async move |broker| Answer::Done(broker.give_back(queue, &leases).await));
            }
            Effect::Drop { queue, sequences } => self.arena.drop_unbegun(queue, &sequences)?,
            Effect::Withdraw { queue } => {
                let leases = self.arena.withdraw(queue)?;
                return Ok(Some(Event::Withdrawn { queue, leases }));
            }
            Effect::Open { queue } => self.arena.open_again(queue)?,
            Effect::Claim { line } => self.claim(line),
            Effect::PutToken { line } => {
                if let Some(position) = self.positions.remove(&line) {
                    self.arena.put_token(line, &position)?;
                }
            }
            Effect::Resign { line } => self.resign(line),
            Effect::Commit { line, first, last } => self.commit(line, first, last)?,
            Effect::End { line, first, verdicts } => return self.end_commits(line, first, &verdicts),
            Effect::Say(note) => self.say(note),
            Effect::Leave => {
                // What it has done is shown before.
                self.supervisor.tell(LinkNews::Look);
                self.leaves_at = Some(tokio::time::Instant::now() + SHOWN_WITHIN);
            }
            Effect::Exit(why) => self.exit(why),
        }
        Ok(None)
    }

    fn join(&mut self) {
        let connect = self.connect.clone();
        self.tasks.spawn_local(async move { Answer::Joined(connect.join().await) });
    }

    /// A request on the connection that there is.
    pub(super) fn ask<F>(&mut self, request: F)
    where
        F: AsyncFnOnce(Rc<C::Broker>) -> Answer<C::Broker> + 'static,
    {
        if let Some(broker) = self.broker.clone() {
            self.tasks.spawn_local(request(broker));
        }
    }

    fn claim(&mut self, line: LineId) {
        let Some(request) = self.plan.lines.get(line.0) else { return };
        // No position says that a program has ended: another machine's must not begin with an empty input.
        let has_position = !request.prints_late || self.here.contains(&line.0);
        let (stage, end) = (request.shared(), request.ends.first().copied().filter(|_| !has_position));
        self.ask(async move |broker| {
            let position = broker.claim(&stage).await;
            if let (Ok(Some(_)), Some(queue)) = (&position, end) {
                match broker.register(queue, &stage).await {
                    Ok(Registered::Ended) => return Answer::Over(line),
                    Ok(_) => {}
                    Err(fault) => return Answer::Claimed(line, Err(fault)),
                }
            }
            Answer::Claimed(line, position)
        });
    }

    fn resign(&mut self, line: LineId) {
        let Some(stage) = self.plan.lines.get(line.0).map(LineRequest::shared) else { return };
        self.ask(async move |broker| Answer::Done(broker.resign(&stage).await));
    }

    fn commit(&mut self, line: LineId, first: u64, last: u64) -> Result<(), queue::Fault> {
        let Some(request) = self.plan.lines.get(line.0) else { return Ok(()) };
        let mark = self.marks.get(&line.0).copied().filter(|mark| *mark == last);
        let mut commits = match mark {
            Some(mark) if first == mark => Vec::new(),
            Some(mark) => self.arena.commits(line, first, mark - 1)?,
            None => self.arena.commits(line, first, last)?,
        };
        // Where they are too many bytes for one request, the mark comes with a later one.
        if let Some(number) = mark.filter(|mark| first + commits.len() as u64 == *mark) {
            // The end counts where the stage has come to it.
            let step = self.arena.token(line)?.map(|token| Step { from: token.clone(), to: token });
            commits.push(Commit { number, marks: request.ends.clone(), step, ..Commit::default() });
        }
        let stage = request.shared();
        self.ask(async move |broker| Answer::Judged(line, first, broker.commit(&stage, &commits).await));
        Ok(())
    }

    /// The mark of a line does not lie in the arena: it is made anew from the end of the line.
    fn end_commits(
        &mut self,
        line: LineId,
        first: u64,
        verdicts: &[Verdict],
    ) -> Result<Option<Event>, queue::Fault> {
        let mark = self.marks.get(&line.0).copied();
        let stored = mark.map_or(u64::MAX, |mark| mark.saturating_sub(first));
        let stored = usize::try_from(stored).unwrap_or(usize::MAX).min(verdicts.len());
        if stored > 0 {
            self.arena.end(line, first, &verdicts[..stored])?;
        }
        let has_ended = verdicts.get(stored) == Some(&Verdict::Done);
        if verdicts.get(stored) == Some(&Verdict::Refused) {
            self.marks.remove(&line.0); // another end will come
        }
        if has_ended {
            self.ended.insert(line);
            let ends = self.plan.lines.get(line.0).map(|line| line.ends.clone());
            ends.unwrap_or_default().into_iter().for_each(|queue| self.ask_for_progress(queue));
        }
        Ok(has_ended.then_some(Event::LineEnded { line }))
    }

    fn say(&mut self, note: Note) {
        let stage = |line: LineId| self.plan.lines.get(line.0).map_or("", |line| &line.stage).to_owned();
        let queue = |queue: SharedQueue| {
            let settings = self.plan.broker.queues.get(usize::from(queue.0));
            settings.map_or("", |settings| &settings.name).to_owned()
        };
        let news = match note {
            // Both are told with what belongs to them, where it is known.
            Note::Up | Note::Away => return,
            Note::Room { line, room } => LinkNews::Room { stage: stage(line), room },
            Note::Here { line } => {
                self.here.insert(line.0);
                LinkNews::Here { stage: stage(line) }
            }
            Note::Elsewhere { line } => {
                self.here.remove(&line.0);
                (self.is_finishing, self.leaves_at) = (false, None);
                self.unheard += 1;
                LinkNews::Elsewhere { stage: stage(line) }
            }
            Note::Lost { queue: lost, items } => LinkNews::Lost { queue: queue(lost), items },
            Note::Refused { line } => LinkNews::Refused { stage: stage(line) },
            Note::Forgotten { line, commits } => LinkNews::Forgotten { stage: stage(line), commits },
        };
        self.supervisor.tell(news);
    }

    fn exit(&mut self, why: Option<String>) {
        self.end = Some(match why {
            None => End::Left,
            Some(why) => {
                self.supervisor.tell(LinkNews::Hopeless { why });
                End::Hopeless
            }
        });
    }
}

/// Those of the leases that have one of these sequences, which stand in the order of the leases.
fn wanted(mut leases: Vec<Lease>, sequences: &[Sequence]) -> Vec<Lease> {
    let mut rest = sequences.iter().peekable();
    leases.retain(|lease| rest.next_if(|sequence| **sequence == lease.sequence).is_some());
    leases
}
