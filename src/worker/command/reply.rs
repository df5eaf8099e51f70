//! `mode = "reply"`: one program that runs on and answers every item, in order.
//!
//! Several items may be on their way at once (as many as the program answers in a moment, see [`Batch`]), but each
//! answer belongs to the oldest that has none. So the item that the program is at is always known: it alone is blamed
//! when the program dies, takes too long or answers nonsense; the others go back as they were.

use super::defeat::{Defeat, Trouble};
use super::errors::Errors;
use super::feed::Feed;
use super::framing::Decoder;
use super::outbox;
use super::outputs::Outputs;
use super::recipe::{NotStarted, Recipe};
use super::session::{Session, Wish};
use super::waiting;
use super::waker::Waker;
use crate::config::pipeline::{Command, Reply};
use crate::queue::{Ending, QueueId, Taken, Wait, Waiting};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::sys::wait::Exit;
use crate::worker::batch::Batch;
use crate::worker::desk::{Desk, Pace};
use crate::worker::failed::{self, Reason};
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

/// Items on their way at once, at most.
const WIDEST: usize = 256;
/// So many items a fresh program gets one at a time: if it says more than it is asked, that shows.
const TRIAL: u64 = 16;

pub(super) struct ReplyLoop<'a> {
    desk: &'a mut Desk,
    recipe: Recipe,
    command: Command,
    reply: Reply,
    inputs: Vec<QueueId>,
    feed: Feed,
    decoder: Decoder,
    errors: Errors,
    waker: Waker,
    window: Batch,
    /// Answers that are complete, in the order of the leases.
    answers: Vec<Outputs>,
    /// What is read of the next answer.
    answer: Outputs,
    spare: Vec<Outputs>,
    /// Items that this program has answered.
    answered: u64,
    /// Programs that died in a row without any answer.
    fruitless: u32,
    /// When the oldest item became the oldest.
    since: Instant,
    ended: bool,
    rests_until: Option<Instant>,
    /// There may be an item, though nothing will tell of it: no waiting.
    looks_again: bool,
    /// When the program closed its output.
    closed: Option<Instant>,
}

/// From the end of a program's output to its own.
const GRACE: Duration = Duration::from_secs(1);

/// What follows a round.
enum Flow {
    GoOn,
    /// The input has ended and everything is answered.
    Through,
}

impl<'a> ReplyLoop<'a> {
    pub fn new(
        desk: &'a mut Desk,
        recipe: Recipe,
        command: Command,
        reply: Reply,
    ) -> Result<ReplyLoop<'a>, Failure> {
        let most = desk.port.max_item(&desk.outputs)?;
        Ok(ReplyLoop {
            inputs: outbox::inputs(desk),
            desk,
            recipe,
            feed: Feed::new(command.in_framing),
            decoder: Decoder::new(command.out_framing, most),
            command,
            reply,
            errors: Errors::new(),
            waker: Waker::new()?,
            window: Batch::new(WIDEST),
            answers: Vec::new(),
            answer: Outputs::default(),
            spare: Vec::new(),
            answered: 0,
            fruitless: 0,
            since: Instant::now(),
            ended: false,
            rests_until: None,
            looks_again: false,
            closed: None,
        })
    }

    pub fn run(mut self) -> Stop {
        loop {
            let mut session = match self.start() {
                Ok(session) => session,
                Err(stop) => return stop,
            };
            self.desk.recycling.watch(session.pid());
            match self.serve(&mut session) {
                Ok(None) => {}
                Ok(Some(ending)) => return self.part(&mut session, ending),
                Err(stop) => {
                    self.dismiss(&mut session);
                    return stop;
                }
            }
        }
    }

    fn start(&mut self) -> Result<Session, Stop> {
        self.feed.clear();
        self.answers.clear();
        self.answer.clear();
        self.answered = 0;
        self.closed = None;
        self.window.restart();
        let most = self.desk.port.max_item(&self.desk.outputs)?;
        self.decoder = Decoder::new(self.command.out_framing, most);
        match self.recipe.start(None, self.desk.port.program()) {
            Ok(session) => Ok(session),
            Err(NotStarted::Failed(failure)) => Err(failure.into()),
            Err(NotStarted::Item(trouble)) => Err(Stop(Ending::Failed(trouble.to_string()))),
        }
    }

    /// Works with one program as long as it goes. None: a fresh one is needed.
    fn serve(&mut self, session: &mut Session) -> Result<Option<Ending>, Stop> {
        loop {
            let pace = self.desk.look();
            if readiness::is_terminated() {
                return Ok(Some(Ending::Ordered));
            }
            if let Some(ending) = self.time_to_go(&pace) {
                return Ok(Some(ending));
            }
            if self.waker.has_rung() {
                // It was a wake-up for one worker: if this one can't use it, the look passes it on.
                self.desk.port.take(&self.inputs, 0, Wait::No)?;
            }
            if let Flow::Through = self.take(&pace, session)? {
                return Ok(Some(Ending::InputEnded));
            }
            if let Err(trouble) = self.exchange(&pace, session)? {
                return self.lose(trouble, &pace, session).map(|()| None);
            }
            if session.is_over() || session.exit().is_some() && !session.gives_output() {
                return self.bereaved(&pace, session).map(|()| None);
            }
        }
    }

    /// Between two items: whether this worker is to end.
    fn time_to_go(&mut self, pace: &Pace) -> Option<Ending> {
        if !self.desk.port.is_empty() {
            return None;
        }
        if pace.must_finish {
            return Some(Ending::Ordered);
        }
        self.desk.recycling.check().err().map(|stop| stop.0)
    }

    fn in_flight(&self) -> usize {
        self.desk.port.len()
    }

    fn is_resting(&self) -> bool {
        self.rests_until.is_some_and(|until| until > Instant::now())
    }

    /// Leases items, as many as the program will soon answer.
    fn take(&mut self, pace: &Pace, session: &mut Session) -> Result<Flow, Stop> {
        if pace.hurry {
            self.rests_until = None;
        }
        let window = if pace.is_single() || self.answered < TRIAL { 1 } else { self.window.size() };
        let known = self.in_flight();
        let rests = self.is_resting() || pace.must_finish || pace.must_pause;
        if known >= window || self.ended || rests || !session.takes_input() {
            return Ok(if self.ended && known == 0 { Flow::Through } else { Flow::GoOn });
        }
        if known == 0 {
            outbox::work_off(self.desk)?;
        }
        let most = (window - known).min(self.desk.recycling.items_left()).max(1);
        match self.desk.port.take(&self.inputs, most, Wait::No)? {
            Taken::Items { before, after } => {
                if self.set_bundle_apart(known)? {
                    self.looks_again = known == 0;
                    return Ok(Flow::GoOn);
                }
                super::log_taken_from(self.desk, known, before, after)?;
                self.frame(known, pace)?;
            }
            Taken::Ended if known == 0 => return Ok(Flow::Through),
            Taken::Ended => self.ended = true,
            Taken::Ordered => self.looks_again = true,
            Taken::Empty => match pace.when_empty() {
                Some(pause) if known == 0 => {
                    self.desk.item_log.empty(&self.desk.ticket.inputs, Some(pause));
                    self.rests_until = Some(Instant::now() + pause);
                }
                _ => self.waker.arm(&self.desk.port),
            },
        }
        Ok(Flow::GoOn)
    }

    /// If outputs that wait for room are among the new leases, those go back for now; with nothing else on its way
    /// they are published.
    fn set_bundle_apart(&mut self, known: usize) -> Result<bool, Stop> {
        for i in known..self.in_flight() {
            if !outbox::is_bundle(self.desk, i)? {
                continue;
            }
            self.desk.port.give_back_from(known)?;
            if known == 0 {
                outbox::work_off(self.desk)?;
            } else {
                // When all is answered there is time for it.
                self.window.restart();
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn frame(&mut self, known: usize, pace: &Pace) -> Result<(), Stop> {
        let mut i = known;
        while i < self.in_flight() {
            match self.feed.push(self.desk.port.item(i)?.bytes) {
                Ok(()) => i += 1,
                Err(why) => {
                    let trouble = Trouble::NotEncodable(why);
                    let reason = Reason { text: trouble.to_string(), cause: trouble.cause(), stderr: &[] };
                    failed::settle_for(self.desk, i, reason, pace)?;
                    self.looks_again = true;
                }
            }
        }
        if known == 0 && i > 0 {
            self.begin();
        }
        Ok(())
    }

    /// The oldest lease is the one that the program is at.
    fn begin(&mut self) {
        self.since = Instant::now();
        match self.in_flight() {
            0 => self.desk.port.rest(),
            _ => self.desk.port.begin(0),
        }
    }

    /// Writes, reads, publishes what is answered. The inner result is the oldest item's.
    fn exchange(&mut self, pace: &Pace, session: &mut Session) -> Result<Result<(), Trouble>, Stop> {
        let limit = pace.tuning.item_timeout.filter(|_| self.in_flight() > 0);
        let deadline = limit.map(|limit| self.since + limit);
        let rest = self.rests_until.filter(|_| self.is_resting());
        let now = std::mem::take(&mut self.looks_again).then(Instant::now);
        let wish = Wish {
            out: self.feed.rest(),
            into: Some(&mut self.decoder),
            until: [deadline, rest, now, self.closed.map(|closed| closed + GRACE)]
                .into_iter()
                .flatten()
                .min(),
            bell: self.waker.bell(),
        };
        // With an item on its way the program is at work.
        let why = self.desk.port.is_empty().then_some(if rest.is_some() {
            Waiting::Paused
        } else {
            Waiting::Starved
        });
        let turn =
            waiting(&self.desk.port, why, || session.turn(wish, &mut self.errors, self.desk.port.program()))?;
        self.feed.note_written(turn.written);
        let read = self.read_answers(session);
        let done = self.answers.len();
        if done > 0 {
            let took = self.since.elapsed();
            self.window.learn(done, took);
            self.desk.port.note_items(done, took);
            self.publish(pace)?;
        }
        if let Err(trouble) = read {
            return Ok(Err(trouble));
        }
        if self.in_flight() == 0 && self.decoder.pending() > 0 {
            return Err(self.spoke_unasked());
        }
        if !session.gives_output() && session.exit().is_none() {
            // Mostly it is about to end: then its exit tells more.
            let closed = *self.closed.get_or_insert_with(Instant::now);
            if self.in_flight() > 0 && closed.elapsed() >= GRACE {
                return Ok(Err(Trouble::ClosedOutput));
            }
        }
        match (limit, deadline) {
            (Some(limit), Some(deadline)) if done == 0 && deadline <= Instant::now() => {
                Ok(Err(Trouble::TimedOut(limit)))
            }
            _ => Ok(Ok(())),
        }
    }

    /// Takes whole answers out of what was read, for the leases in their order.
    fn read_answers(&mut self, session: &Session) -> Result<(), Trouble> {
        while self.answers.len() < self.desk.port.len() {
            let next = match self.decoder.next().map_err(Trouble::BadFrame)? {
                Some(item) => Some(item),
                None if session.gives_output() => return Ok(()),
                None => self.decoder.last().map_err(Trouble::BadFrame)?,
            };
            let Some(item) = next else { return Ok(()) };
            let is_end = self.reply == Reply::UntilEmpty && item.is_empty();
            if !is_end {
                self.answer.push(item);
            }
            if is_end || self.reply == Reply::One {
                let fresh = self.spare.pop().unwrap_or_default();
                self.answers.push(std::mem::replace(&mut self.answer, fresh));
            } else if self.answer.size() as u64 > self.most_in_all() {
                return Err(Trouble::TooMuch(self.most_in_all()));
            }
        }
        // What comes with the last answer, and belongs to nothing, spoils that answer.
        if !self.answers.is_empty() && self.decoder.pending() > 0 {
            self.answers.pop();
            return Err(Trouble::AnsweredTwice);
        }
        Ok(())
    }

    fn most_in_all(&self) -> u64 {
        self.desk.port.max_bytes(&self.desk.outputs).unwrap_or(u64::MAX)
    }

    /// Publishes the complete answers and ends their leases.
    fn publish(&mut self, pace: &Pace) -> Result<(), Stop> {
        let mut answers = std::mem::take(&mut self.answers);
        let done = answers.len();
        // Nothing that waits for room is the item's fault.
        self.desk.port.rest();
        match self.reply {
            Reply::One if !self.desk.outputs.is_empty() => self.publish_each(&answers)?,
            _ => answers.iter().try_for_each(|answer| outbox::publish(self.desk, answer, 1))?,
        }
        for mut answer in answers.drain(..) {
            answer.clear();
            self.spare.push(answer);
        }
        self.answers = answers;
        self.answered += done as u64;
        self.fruitless = 0;
        self.errors.forget();
        self.desk.recycling.count(done);
        if pace.is_single() {
            self.rests_until = Some(Instant::now() + pace.tuning.sleep);
        }
        self.begin();
        Ok(())
    }

    /// One output each: every lease ends with its own, so they may go out in parts.
    fn publish_each(&mut self, answers: &[Outputs]) -> Result<(), Stop> {
        use crate::stage::Outlet;
        use crate::worker::outlet::ToQueues;
        for (i, answer) in answers.iter().enumerate() {
            let mut outlet = ToQueues::new(self.desk, Some(i));
            answer.iter().try_for_each(|item| outlet.put(item))?;
        }
        self.desk.commit(answers.len())
    }

    /// The oldest item has failed: its program is of no use any more.
    fn lose(&mut self, trouble: Trouble, pace: &Pace, session: &mut Session) -> Result<(), Stop> {
        if let Trouble::TimedOut(_) = trouble {
            self.end(session, self.desk.ticket.stop_timeout);
        } else {
            session.kill();
            self.end(session, Duration::ZERO);
        }
        self.blame(trouble, pace)
    }

    fn blame(&mut self, trouble: Trouble, pace: &Pace) -> Result<(), Stop> {
        self.desk.port.rest();
        self.desk.item_log.forget();
        let defeat = Defeat { trouble, stderr: self.errors.take_kept() };
        // The others first: so the failed one is the first in its queue again.
        self.desk.port.give_back_from(1)?;
        let reason =
            Reason { text: defeat.to_string(), cause: defeat.trouble.cause(), stderr: &defeat.stderr };
        failed::settle_for(self.desk, 0, reason, pace)?;
        self.desk.recycling.count(1);
        self.ended = false;
        self.fruitless = if self.answered == 0 { self.fruitless + 1 } else { 1 };
        if self.fruitless > pace.tuning.attempts {
            let text = format!(
                "{} programs in a row failed before they had answered anything: {defeat}",
                self.fruitless
            );
            return Err(Stop(Ending::Failed(text)));
        }
        Ok(())
    }

    /// The program has ended by itself.
    fn bereaved(&mut self, pace: &Pace, session: &mut Session) -> Result<(), Stop> {
        self.end(session, Duration::ZERO);
        let exit = session.exit().unwrap_or(Exit::Code(0));
        if self.in_flight() > 0 {
            return self.blame(Trouble::LeftUnanswered(exit), pace);
        }
        match exit {
            Exit::Code(code) if self.recipe.is_success(code) => Ok(()),
            exit => {
                let defeat = Defeat { trouble: Trouble::Ended(exit), stderr: self.errors.take_kept() };
                Err(Stop(Ending::Failed(format!("the program failed: {defeat}"))))
            }
        }
    }

    /// Waits for the end of a program that is to end.
    fn end(&mut self, session: &mut Session, patience: Duration) {
        session.close_input();
        session.close_output();
        session.terminate(patience);
        self.outlive(session);
    }

    fn outlive(&mut self, session: &mut Session) {
        while !session.is_over() {
            let wish = Wish { out: b"", into: None, until: None, bell: None };
            if session.turn(wish, &mut self.errors, self.desk.port.program()).is_err() {
                return;
            }
        }
    }

    /// Everything is answered, or this worker has to go: the program gets the end of its input, and time to end.
    fn part(&mut self, session: &mut Session, ending: Ending) -> Stop {
        let patience = self.desk.ticket.stop_timeout;
        session.close_input();
        let limit = Instant::now() + patience;
        while !session.is_over() {
            if readiness::is_terminated() || ending != Ending::InputEnded && limit <= Instant::now() {
                session.terminate(patience);
            }
            let until = (ending != Ending::InputEnded && !session.is_terminated()).then_some(limit);
            let wish = Wish { out: b"", into: Some(&mut self.decoder), until, bell: None };
            if let Err(failure) = session.turn(wish, &mut self.errors, self.desk.port.program()) {
                return failure.into();
            }
            if self.decoder.pending() > 0 && self.in_flight() == 0 && ending == Ending::InputEnded {
                self.end(session, patience);
                return self.spoke_unasked();
            }
            let rest = self.decoder.pending();
            self.decoder.skip(rest);
        }
        match session.exit() {
            Some(Exit::Code(code)) if self.recipe.is_success(code) => Stop(ending),
            Some(exit) if ending == Ending::InputEnded => {
                let defeat = Defeat { trouble: Trouble::Ended(exit), stderr: self.errors.take_kept() };
                Stop(Ending::Failed(format!("the program failed after its last answer: {defeat}")))
            }
            _ => Stop(ending),
        }
    }

    fn dismiss(&mut self, session: &mut Session) {
        self.end(session, self.desk.ticket.stop_timeout);
    }

    fn spoke_unasked(&self) -> Stop {
        let text = "the program wrote an item that it was not asked for: with mode = \"reply\" each item gets one \
                    answer, in order, and all else belongs to standard error";
        Stop(Ending::Failed(text.to_owned()))
    }
}
