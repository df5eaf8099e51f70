//! Every phase with every event, and long random conversations.

use super::*;
use std::fmt::Write as _;

const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const ITEM_TIMEOUT: Duration = Duration::from_secs(60);
const MANNERS: [(&str, Manner); 5] = [
    ("each", Manner::Each),
    ("reply", Manner::Reply { bounded: false }),
    ("reply, bounded", Manner::Reply { bounded: true }),
    ("stream", Manner::Stream { is_source: false }),
    ("source", Manner::Stream { is_source: true }),
];

/// A number for each phase: a new one does not compile without, and then lacks its sample.
fn phase_number(phase: &Phase) -> usize {
    match phase {
        Phase::Idle => 0,
        Phase::Busy { .. } => 1,
        Phase::Muted { .. } => 2,
        Phase::LastInput { .. } => 3,
        Phase::Finishing { .. } => 4,
        Phase::Leaving { .. } => 5,
        Phase::Ending { life: Life::Terminating { .. }, .. } => 6,
        Phase::Ending { life: Life::Killing, .. } => 7,
        Phase::Ending { life: Life::Exited, .. } => 8,
        Phase::Ending { life: Life::Over, .. } => 9,
    }
}

/// The same for events.
fn event_number(event: &Event) -> usize {
    match event {
        Event::Begun => 0,
        Event::Done => 1,
        Event::Moved => 2,
        Event::OutputClosed => 3,
        Event::InputEnded { .. } => 4,
        Event::InputWritten => 5,
        Event::Leave(_) => 6,
        Event::Terminated => 7,
        Event::Failed(_) => 8,
        Event::Abandoned => 9,
        Event::Exited => 10,
        Event::Drained => 11,
        Event::Tick(_) => 12,
    }
}

fn outcomes() -> [(&'static str, Outcome); 5] {
    [
        ("unasked", Outcome::Unasked { finished: false }),
        ("unasked, finished", Outcome::Unasked { finished: true }),
        ("stop", Outcome::Stop(Ending::Recycled)),
        ("failed", Outcome::Failed(ProgramError::OutputAfterEnd)),
        ("abandoned", Outcome::Abandoned),
    ]
}

/// Each phase, and what it was told. Its limits are not over at `now`.
fn phases(now: Instant) -> Vec<(String, Phase)> {
    let mut all = vec![
        ("Idle".to_owned(), Phase::Idle),
        ("Busy".to_owned(), Phase::Busy { since: now }),
        ("Muted (idle)".to_owned(), Phase::Muted { busy_since: None, until: now + EXIT_GRACE }),
        ("Muted (busy)".to_owned(), Phase::Muted { busy_since: Some(now), until: now + EXIT_GRACE }),
        ("LastInput".to_owned(), Phase::LastInput { early: true }),
        ("Leaving".to_owned(), Phase::Leaving { ending: Ending::Recycled, until: now + STOP_TIMEOUT }),
    ];
    for (name, early) in [("early", true), ("late", false)] {
        all.push((
            format!("Finishing ({name})"),
            Phase::Finishing { early, quiet_since: now, is_reported: false },
        ));
    }
    let lives = [
        ("Terminating", Life::Terminating { kill_at: now + STOP_TIMEOUT }),
        ("Killing", Life::Killing),
        ("Exited", Life::Exited),
        ("Over", Life::Over),
    ];
    for (life_name, life) in lives {
        let has_exited = matches!(life, Life::Exited | Life::Over);
        for (name, outcome) in outcomes() {
            if has_exited || !matches!(outcome, Outcome::Unasked { .. }) {
                all.push((format!("{life_name} ({name})"), Phase::Ending { life, outcome }));
            }
        }
    }
    all.sort_by_key(|(_, phase)| phase_number(phase));
    all
}

fn facts(stopping: bool) -> Circumstances {
    Circumstances { stopping, item_timeout: Some(ITEM_TIMEOUT) }
}

/// Each event, with how much later than the phase's begin it comes.
fn events() -> Vec<(&'static str, Event, Duration)> {
    let (soon, tick) = (Duration::from_millis(100), |stopping| Event::Tick(facts(stopping)));
    vec![
        ("Begun", Event::Begun, soon),
        ("Done", Event::Done, soon),
        ("Moved", Event::Moved, soon),
        ("OutputClosed", Event::OutputClosed, soon),
        ("InputEnded", Event::InputEnded { early: true }, soon),
        ("InputWritten", Event::InputWritten, soon),
        ("Leave", Event::Leave(Ending::Ordered), soon),
        ("Leave after 2s", Event::Leave(Ending::Ordered), Duration::from_secs(2)),
        ("Terminated", Event::Terminated, soon),
        ("Failed", Event::Failed(ProgramError::AnsweredTwice), soon),
        ("Abandoned", Event::Abandoned, soon),
        ("Exited", Event::Exited, soon),
        ("Drained", Event::Drained, soon),
        ("Tick", tick(false), soon),
        ("Tick after 2s", tick(false), Duration::from_secs(2)),
        ("Tick after 2s, stopping", tick(true), Duration::from_secs(2)),
        ("Tick after 7s", tick(false), Duration::from_secs(7)),
        ("Tick after 99s", tick(false), Duration::from_secs(99)),
    ]
}

/// A phase in words, its moments counted from `start`.
fn shown(phase: &Phase, start: Instant) -> String {
    let at = |moment: Instant| format!("{:.1}s", moment.duration_since(start).as_secs_f64());
    match phase {
        Phase::Idle => "Idle".to_owned(),
        Phase::Busy { since } => format!("Busy since {}", at(*since)),
        Phase::Muted { busy_since, until } => {
            let since = busy_since.map_or("none".to_owned(), at);
            format!("Muted until {}, busy since {since}", at(*until))
        }
        Phase::LastInput { early } => format!("LastInput, early: {early}"),
        Phase::Finishing { early, quiet_since, is_reported } => {
            format!("Finishing, quiet since {}, early: {early}, reported: {is_reported}", at(*quiet_since))
        }
        Phase::Leaving { ending, until } => format!("Leaving until {}: {ending:?}", at(*until)),
        Phase::Ending { life, outcome } => match life {
            Life::Terminating { kill_at } => format!("Terminating, kill at {}: {outcome:?}", at(*kill_at)),
            Life::Killing | Life::Exited | Life::Over => format!("{life:?}: {outcome:?}"),
        },
    }
}

/// What each event does in each phase, one line each; events that change nothing share the last line.
fn table() -> String {
    let start = Instant::now();
    let mut text = String::new();
    for (manner_name, manner) in MANNERS {
        writeln!(text, "{manner_name}").unwrap();
        for (phase_name, phase) in phases(start) {
            writeln!(text, "    {phase_name}").unwrap();
            let mut nothing = Vec::new();
            for (event_name, event, later) in events() {
                let mut conversation =
                    Conversation { phase: phase.clone(), manner, stop_timeout: STOP_TIMEOUT };
                let effects = conversation.apply(event, start + later);
                if effects.is_empty() && conversation.phase == phase {
                    nothing.push(event_name);
                    continue;
                }
                let same = if conversation.phase == phase {
                    "(stays)".to_owned()
                } else {
                    shown(&conversation.phase, start)
                };
                let effects: String = effects.iter().map(|effect| format!(" +{effect:?}")).collect();
                writeln!(text, "        {event_name} -> {same}{effects}").unwrap();
            }
            writeln!(text, "        nothing: {}", nothing.join(", ")).unwrap();
        }
    }
    text
}

/// `UPDATE_GOLDEN=1 cargo test every_event` writes the table anew: read the difference.
#[test]
fn every_event_in_every_phase_does_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/worker/program/conversation/table.txt");
    let now = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    for (n, (now, written)) in now.lines().zip(written.lines()).enumerate() {
        assert_eq!(now, written, "line {}", n + 1);
    }
    assert_eq!(now.len(), written.len());
}

#[test]
fn the_table_has_every_phase_and_every_event() {
    let start = Instant::now();
    let mut numbers: Vec<usize> = phases(start).iter().map(|(_, phase)| phase_number(phase)).collect();
    numbers.dedup();
    assert_eq!(
        numbers,
        (0..=phase_number(&Phase::Ending { life: Life::Over, outcome: Outcome::Abandoned }))
            .collect::<Vec<_>>()
    );
    let mut numbers: Vec<usize> = events().iter().map(|(_, event, _)| event_number(event)).collect();
    numbers.dedup();
    assert_eq!(numbers, (0..=event_number(&Event::Tick(facts(false)))).collect::<Vec<_>>());
}

/// A tick before the deadline changes nothing; one at the deadline does.
#[test]
fn a_deadline_is_the_first_moment_at_which_a_tick_changes_something() {
    let start = Instant::now();
    for (_, manner) in MANNERS {
        for (name, phase) in phases(start) {
            for facts in [facts(false), facts(true), Circumstances::default()] {
                let after = |moment: Instant| {
                    let mut conversation =
                        Conversation { phase: phase.clone(), manner, stop_timeout: STOP_TIMEOUT };
                    let effects = conversation.apply(Event::Tick(facts), moment);
                    !effects.is_empty() || conversation.phase != phase
                };
                let conversation = Conversation { phase: phase.clone(), manner, stop_timeout: STOP_TIMEOUT };
                match conversation.deadline(facts) {
                    Some(at) => {
                        assert!(after(at), "{name} {facts:?}");
                        let before = at.checked_sub(Duration::from_millis(1)).unwrap();
                        assert!(before < start || !after(before), "{name} {facts:?}");
                    }
                    None => assert!(!after(start + Duration::from_secs(1 << 20)), "{name} {facts:?}"),
                }
            }
        }
    }
}

/// What a worker holds, by the effects that it was told.
#[derive(Default)]
struct Items {
    leased: u32,
    held: u32,
    acknowledged: u32,
    settled: u32,
}

/// One random conversation; a number stands for the choices.
struct Walk {
    seed: u64,
    conversation: Conversation,
    now: Instant,
    items: Items,
    signals: Vec<Effect>,
    was_terminated: bool,
    has_settled: bool,
}

impl Walk {
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn apply(&mut self, event: Event, done: u32) {
        self.was_terminated |= event == Event::Terminated;
        let was_over = self.conversation.is_over();
        let failed = matches!(self.conversation.outcome(), Some(Outcome::Failed(_) | Outcome::Abandoned));
        for &effect in self.conversation.apply(event, self.now) {
            assert!(!was_over, "{effect:?} after the end");
            match effect {
                Effect::Acknowledge => {
                    assert!(!failed, "an item of a failed attempt is acknowledged");
                    self.items.held = self.items.held.checked_sub(done).expect("acknowledged twice");
                    self.items.acknowledged += done;
                }
                Effect::Settle => {
                    assert!(!std::mem::replace(&mut self.has_settled, true), "settled twice");
                    self.items.settled += std::mem::take(&mut self.items.held);
                }
                Effect::Terminate | Effect::Kill => self.signals.push(effect),
                Effect::ReportLingering | Effect::ReportOverdue => {
                    assert!(!self.was_terminated, "after SIGTERM there is only cleaning up");
                }
                Effect::TakeBack | Effect::CloseInput | Effect::CloseOutput => {}
            }
        }
    }

    fn step(&mut self) {
        let passed = self.random(3000);
        self.now += Duration::from_millis(passed);
        let is_open = self.conversation.is_open();
        let (event, done) = match self.random(20) {
            0..=4 if is_open => {
                self.items.leased += 1;
                self.items.held += 1;
                (Event::Begun, 0)
            }
            5..=9 if self.items.held > 0 => {
                let done = 1 + u32::try_from(self.random(u64::from(self.items.held))).unwrap();
                (Event::Done, done)
            }
            10 => (Event::Moved, 0),
            11 => (Event::OutputClosed, 0),
            12 if self.random(3) == 0 => (Event::InputEnded { early: self.random(2) == 0 }, 0),
            13 => (Event::InputWritten, 0),
            14 if self.random(5) == 0 => (Event::Leave(Ending::Ordered), 0),
            15 if self.random(5) == 0 => (Event::Terminated, 0),
            16 if self.random(5) == 0 => (Event::Failed(ProgramError::OutputAfterEnd), 0),
            17 if self.random(5) == 0 => (Event::Abandoned, 0),
            18 if self.random(5) == 0 => (Event::Exited, 0),
            19 => (Event::Drained, 0),
            _ => (Event::Tick(facts(self.random(2) == 0)), 0),
        };
        self.apply(event, done);
    }

    /// A program that heeds nothing but SIGKILL: time alone must bring the end, once the worker wants it.
    fn finish(&mut self) {
        self.apply(Event::Terminated, 0);
        self.now += STOP_TIMEOUT;
        self.apply(Event::Tick(Circumstances::default()), 0);
        let is_killed = matches!(self.conversation.phase, Phase::Ending { life: Life::Killing, .. });
        assert!(is_killed || !self.conversation.is_signalled());
        self.apply(Event::Exited, 0);
        self.apply(Event::Drained, 0);
        assert!(self.conversation.is_over());
    }
}

#[test]
fn in_no_conversation_an_item_is_lost_or_acknowledged_twice() {
    for (_, manner) in MANNERS {
        for seed in 1..2000 {
            let conversation = Conversation { phase: Phase::Idle, manner, stop_timeout: STOP_TIMEOUT };
            let (now, items) = (Instant::now(), Items::default());
            let (signals, was_terminated, has_settled) = (Vec::new(), false, false);
            let mut walk = Walk { seed, conversation, now, items, signals, was_terminated, has_settled };
            (0..60).for_each(|_| walk.step());
            walk.finish();
            let Items { leased, held, acknowledged, settled } = walk.items;
            assert!(walk.has_settled && held == 0 && leased == acknowledged + settled);
            assert!(
                walk.signals.iter().filter(|signal| **signal == Effect::Terminate).count() <= 1
                    && walk.signals.iter().filter(|signal| **signal == Effect::Kill).count() <= 1,
                "each signal is sent once: {:?}",
                walk.signals
            );
        }
    }
}
