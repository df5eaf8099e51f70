//! What a state is made of: the log alone. That its rules are those of Redis `tests/broker/same.rs` shows.

use super::*;
use crate::broker::{QueueSettings, Sequence, SharedQueue};
use crate::model::WhenFull;
use proptest::prelude::*;

const A: SharedQueue = SharedQueue(0);

fn who(machine: u8, life: u8) -> Who {
    Who { machine: format!("m{machine}"), life: life.to_string() }
}

fn queues() -> Vec<QueueSettings> {
    let queue = |name: &str| QueueSettings { name: name.into(), capacity: 4, when_full: WhenFull::Block };
    vec![queue("a"), queue("b")]
}

fn machine(who: Who, action: Action) -> Request {
    Request::Machine { run: 1, who, action }
}

fn emits(number: u64, items: u32) -> Vec<StoredCommit> {
    let outputs = (0..items).map(|n| (A, Span { at: n * 10, len: 10 })).collect();
    vec![StoredCommit { number, ends: Vec::new(), outputs, step: None, marks: Vec::new() }]
}

/// A log that is being read.
#[derive(Clone, Default)]
struct Reading {
    state: State,
    at: u64,
}

impl Reading {
    fn tell(&mut self, time: u64, request: &Request) -> Answer {
        self.apply(time, request).answer
    }

    fn apply(&mut self, time: u64, request: &Request) -> Applied {
        self.at += 1;
        let source = Source { blob: self.at, base: 20, parts: &[], part_len: 0, has_data: true };
        self.state.apply(self.at, time, &Message::Request(request, source))
    }

    fn reserve(&mut self) {
        self.state.reserved = Reserved { weight: 1 << 20, share: 1 << 20 };
    }

    fn join(&mut self, machine: u8, life: u8) {
        self.reserve();
        let request = Request::Join {
            who: who(machine, life),
            queues: queues(),
            ack_wait: 100,
            joined: None,
            only: None,
            new_run: false,
        };
        assert!(matches!(self.tell(1000, &request), Answer::Joined { run: 1, .. }));
    }

    fn take(&mut self, time: u64, who: Who, n: u32) -> Vec<Taken> {
        let take = Action::Take { queue: A, n, looks_for_expired: true, max_deliveries: 3 };
        let Answer::Taken(taken) = self.tell(time, &machine(who, take)) else { panic!("superseded") };
        taken
    }

    fn commit(&mut self, time: u64, who: Who, commits: Vec<StoredCommit>) -> Answer {
        self.tell(time, &machine(who, Action::Commit { line: "s".into(), place: "m/s".into(), commits }))
    }
}

#[test]
fn a_clock_that_goes_back_takes_nothing_back() {
    let mut log = Reading::default();
    log.join(1, 1);
    log.join(2, 1);
    log.commit(5000, who(1, 1), emits(1, 1));
    assert_eq!(log.take(5000, who(1, 1), 1).len(), 1);
    // The server that leads now has a clock that is an hour behind: the lease lasts.
    assert_eq!(log.take(1400, who(2, 1), 1), []);
    assert_eq!(log.take(5099, who(2, 1), 1), []);
    assert_eq!(log.take(5100, who(2, 1), 1).len(), 1);
}

/// One word for all of them: a message may end thousands.
#[test]
fn the_ends_of_a_message_tell_the_least_length_that_their_queue_had() {
    let mut log = Reading::default();
    log.join(1, 1);
    log.commit(1000, who(1, 1), emits(1, 4));
    let taken = log.take(1000, who(1, 1), 3);
    let ends =
        taken.iter().map(|taken| request::StoredEnd { queue: A, sequence: taken.sequence, dead: None });
    let ends = ends.collect();
    let commit = StoredCommit { number: 2, ends, outputs: Vec::new(), step: None, marks: Vec::new() };
    let action = Action::Commit { line: "s".into(), place: "m/s".into(), commits: vec![commit] };
    let news = log.apply(1000, &machine(who(1, 1), action)).news;
    assert_eq!(news, [News::Room { queue: A, len: 1 }]);
}

#[test]
fn what_is_refused_or_was_judged_takes_no_room_and_gets_its_verdict() {
    use crate::broker::{Full, Verdict};
    let mut log = Reading::default();
    log.join(1, 1);
    log.join(2, 1);
    let step = |number, from: &str, to: &str| StoredCommit {
        step: Some((from.into(), to.into())),
        ..emits(number, 1).remove(0)
    };
    log.commit(1000, who(1, 1), vec![step(1, "", "1")]);
    log.commit(1000, who(2, 1), vec![step(1, "1", "2")]);
    let (me, place) = (who(1, 1), "m/s".to_owned());
    let line = Line { who: &me, name: "s", place: &place };
    let all = [step(1, "", "1"), step(2, "1", "2"), step(3, "2", "3"), emits(4, 9).remove(0)];
    let found = log.state.fitting(1, line, &all, None);
    assert_eq!((found.count, found.void, found.stopped.full), (3, [0, 1].into(), Some(Full::Queue(A))));
    // That machine 2 was there first is all that the state needs for its answer.
    let sent = vec![StoredCommit::void(1), StoredCommit::void(2), step(3, "2", "3")];
    let Answer::Judged(judged) = log.commit(1000, me.clone(), sent) else { panic!() };
    assert_eq!(judged.verdicts, [Verdict::Done, Verdict::Refused, Verdict::Done]);
    let nothing = vec![StoredCommit::void(4)];
    let Answer::Judged(judged) = log.commit(1000, me.clone(), nothing) else { panic!() };
    assert_eq!(judged.verdicts, [Verdict::Refused]);
    assert_eq!(log.state.runs[&1].position("m/s").to_vec(), b"3".to_vec());
}

#[test]
fn a_message_is_needed_as_long_as_an_item_or_a_letter_of_it_is_there() {
    let mut log = Reading::default();
    log.join(1, 1);
    log.commit(1000, who(1, 1), emits(1, 2));
    let put = log.at;
    let taken = log.take(1000, who(1, 1), 2);
    let end = |sequence: Sequence, dead| request::StoredEnd { queue: A, sequence, dead };
    let ends = vec![end(taken[0].sequence, None), end(taken[1].sequence, Some(("boom".into(), 1)))];
    let commit = StoredCommit { number: 2, ends, outputs: Vec::new(), step: None, marks: Vec::new() };
    log.commit(1000, who(1, 1), vec![commit]);
    assert!(log.state.blobs.is_used(put));
    assert_eq!(log.state.blobs.floor(log.at), put, "the letter lies there");
    // The requests themselves have data that nothing needs.
    assert!(log.state.blobs.garbage(put, log.at).len() > 1);
    let letters = vec![*log.state.runs[&1].queues[0].letters.keys().next().unwrap()];
    let discard = Request::Visitor { run: 1, visit: Visit::Discard { queue: A, letters } };
    assert_eq!(log.tell(1000, &discard), Answer::Discarded(1));
    assert!(!log.state.blobs.is_used(put) && log.state.blobs.garbage(put, log.at).contains(&put));
    let through = log.at;
    log.tell(1000, &Request::Cleaned { through, deletes_through: through });
    assert!(!log.state.blobs.garbage(0, through).contains(&put));
    assert_eq!(log.state.blobs.deleted(), (through + 1, Vec::new()), "all before is purged");
    log.commit(1000, who(1, 1), emits(3, 1));
    let needed = log.at;
    log.commit(1000, who(1, 1), emits(4, 1));
    let taken = log.take(1000, who(1, 1), 2);
    let ended = |number, nth: usize| StoredCommit {
        number,
        ends: vec![end(taken[nth].sequence, None)],
        outputs: Vec::new(),
        step: None,
        marks: Vec::new(),
    };
    log.commit(1000, who(1, 1), vec![ended(5, 1)]);
    let through = log.at;
    log.tell(1000, &Request::Cleaned { through, deletes_through: through });
    assert_eq!(log.state.blobs.deleted(), (needed, (needed + 1..=through).collect()));
    log.commit(1000, who(1, 1), vec![ended(6, 0)]);
    assert_eq!(
        log.state.blobs.deleted(),
        (needed, (needed + 1..=through).collect()),
        "a machine that is behind may need it"
    );
}

#[test]
fn parts_count_with_their_last_one_and_only_once() {
    let mut state = State { reserved: Reserved { weight: 1 << 20, share: 1 << 20 }, ..State::default() };
    let join = Request::Join {
        who: who(1, 1),
        queues: queues(),
        ack_wait: 100,
        joined: None,
        only: None,
        new_run: false,
    };
    let tell = |state: &mut State, at, request: &Request, parts: &[u64]| {
        let source = Source { blob: at, base: 20, parts, part_len: 8, has_data: true };
        state.apply(at, 1000, &Message::Request(request, source)).answer
    };
    tell(&mut state, 1, &join, &[]);
    for at in [2, 3] {
        state.apply(at, 1000, &Message::Part);
    }
    let commit = Action::Commit { line: "s".into(), place: "m/s".into(), commits: emits(1, 1) };
    let commit = machine(who(1, 1), commit);
    assert_eq!(tell(&mut state, 4, &commit, &[2, 9]), Answer::Nothing, "a part that never came");
    assert!(matches!(tell(&mut state, 5, &commit, &[2, 3]), Answer::Judged(_)));
    assert_eq!(tell(&mut state, 6, &commit, &[2, 3]), Answer::Nothing, "its parts are another's");
    // The item lies in what the parts and the message hold together, from 20 on: 8 bytes are in each part.
    let item = ItemRef { blob: 5, at: 6, len: 12 };
    assert_eq!(state.blobs.places(item), Some(vec![(2, 6..8), (3, 0..8), (5, 0..2)]));
    assert_eq!(state.blobs.places(ItemRef { blob: 5, at: 20, len: 0 }), Some(Vec::new()));
    assert_eq!(state.blobs.floor(6), 2);
    // One whose request never comes is given up.
    state.apply(7, 1000, &Message::Part);
    state.apply(8, 1_000_000, &Message::Part);
    assert!(!state.blobs.has_parts(&[7]) && state.blobs.has_parts(&[8]));
}

/// What lies in a broker is read by the next version of mprun.
#[test]
fn the_bytes_of_a_state_are_those_of_the_golden_one() {
    let mut log = Reading::default();
    log.join(1, 1);
    log.commit(1000, who(1, 1), emits(1, 1));
    log.take(1000, who(1, 1), 1);
    let bytes = postcard::to_allocvec(&log.state).unwrap();
    let golden: Vec<u8> =
        include_str!("golden.txt").split_whitespace().map(|byte| byte.parse().unwrap()).collect();
    assert_eq!(bytes, golden, "a change of it is a change of FORMAT");
    assert_eq!(postcard::from_bytes::<State>(&golden).unwrap(), log.state);
}

fn requests() -> impl Strategy<Value = Request> {
    let who = || (0_u8..3, 0_u8..2).prop_map(|(machine, life)| who(machine, life));
    let queue = || (0_u16..2).prop_map(SharedQueue);
    let sequence = || (1000_u64..1100, 0_u64..3).prop_map(|(ms, n)| Sequence(ms, n));
    let end = (queue(), sequence(), any::<bool>()).prop_map(|(queue, sequence, dead)| request::StoredEnd {
        queue,
        sequence,
        dead: dead.then(|| ("boom".to_owned(), 1)),
    });
    let output = (queue(), 0_u32..9).prop_map(|(queue, at)| (queue, Span { at, len: 3 }));
    let commit =
        (1_u64..6, prop::collection::vec(end, 0..2), prop::collection::vec(output, 0..3), any::<bool>());
    let commit = commit.prop_map(|(number, ends, outputs, mark)| StoredCommit {
        number,
        ends,
        outputs,
        step: None,
        marks: if mark { vec![A] } else { Vec::new() },
    });
    let commits = prop::collection::vec(commit, 1..3);
    let action = prop_oneof![
        4 => (queue(), 1_u32..4, any::<Option<bool>>()).prop_map(|(queue, n, look)| Action::Take {
            queue, n, looks_for_expired: look.is_some(), max_deliveries: 2,
        }),
        6 => commits.prop_map(|commits| Action::Commit { line: "s".into(), place: "/s".into(), commits }),
        1 => queue().prop_map(|queue| Action::Register { queue, place: "/s".into() }),
        1 => queue().prop_map(|queue| Action::Seal { queue, before: Vec::new() }),
        1 => Just(Action::Claim { place: "/s".into(), time: 50 }),
        1 => Just(Action::Show { text: Some(Span { at: 0, len: 2 }), time: 50 }),
        1 => Just(Action::Leave),
    ];
    prop_oneof![
        2 => (who(), any::<u8>()).prop_map(|(who, new)| Request::Join { who, queues: queues(), ack_wait: 100, joined: None, only: None, new_run: new == 0 }),
        12 => (1_u64..3, who(), action).prop_map(|(run, who, action)| Request::Machine { run, who, action }),
        1 => Just(Request::Drop { shown_for: 100, alive_for: Some(50) }),
        1 => Just(Request::Short),
        1 => (0_u64..2000).prop_map(|weight| Request::Reserved(Reserved { weight, share: 100 })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_what_comes_behind_it_are_the_whole_log(
        log in prop::collection::vec((requests(), 0_u64..40), 1..80),
        at in any::<prop::sample::Index>(),
    ) {
        let (mut whole, mut joined) = (Reading::default(), None::<Reading>);
        let (cut, mut time) = (at.index(log.len()), 1000);
        whole.reserve();
        for (n, (request, later)) in log.iter().enumerate() {
            time += later;
            if n == cut {
                let bytes = postcard::to_allocvec(&whole.state).unwrap();
                joined = Some(Reading { state: postcard::from_bytes(&bytes).unwrap(), at: whole.at });
            }
            let answer = whole.tell(time, request);
            if let Some(joined) = &mut joined {
                prop_assert_eq!(joined.tell(time, request), answer);
            }
            for queue in whole.state.runs.values().flat_map(|run| &run.queues) {
                prop_assert!(queue.ledger().adds_up(), "{:?}", queue.ledger());
            }
        }
        prop_assert_eq!(joined.unwrap().state, whole.state);
    }
}

/// Three stages behind each other in a store of that many bytes: what is needed of it is in the log, the snapshots and the reserve.
struct Store {
    log: Reading,
    size: u64,
    reserve: u64,
    snapshots: [u64; 2],
    /// Bytes of messages by place, and how far the second snapshot from the end has seen.
    messages: std::collections::BTreeMap<u64, u64>,
    seen: [u64; 2],
    numbers: [u64; 4],
}

const REQUEST: u64 = 200;
const QUEUES: usize = 3;

impl Store {
    /// `None`: the store is too small for a pipeline.
    fn new(size: u64) -> Option<Store> {
        let queue =
            |name: &str| QueueSettings { name: name.into(), capacity: u64::MAX, when_full: WhenFull::Block };
        let mut log = Reading::default();
        let queues = ["a", "b", "c"].map(queue).to_vec();
        log.tell(
            1000,
            &Request::Join {
                who: who(1, 1),
                queues,
                ack_wait: 100,
                joined: None,
                only: None,
                new_run: false,
            },
        );
        let reserved = Reserved { weight: 1 << 16, share: SHARE };
        let reserve = reserved.bytes(QUEUES, 0);
        log.tell(1000, &Request::Reserved(reserved));
        (reserve + reserve / 2 <= size).then(|| Store {
            log,
            size,
            reserve,
            snapshots: [0, 0],
            messages: Default::default(),
            seen: [0, 0],
            numbers: [0; 4],
        })
    }

    fn free(&self) -> u64 {
        let used = self.messages.values().sum::<u64>() + self.snapshots.iter().sum::<u64>() + self.reserve;
        assert!(used <= self.size, "{used} of {}", self.size);
        self.size - used
    }

    /// Appends, with the reserve's room if it is needed. False: there is none.
    fn append(&mut self, bytes: u64, may_use_reserve: bool) -> bool {
        if self.free() < bytes && may_use_reserve {
            self.log.tell(1000, &Request::Short);
            self.reserve = self.reserve.saturating_sub(bytes - self.free());
        }
        let fits = self.free() >= bytes;
        if fits {
            self.messages.insert(self.log.at + 1, bytes);
        }
        fits
    }

    /// As `snapshot.rs` does it. False: not even the snapshot has room.
    fn snapshot(&mut self) -> bool {
        let len = postcard::to_allocvec(&self.log.state).unwrap().len() as u64;
        if self.free() < len {
            self.log.tell(1000, &Request::Short);
            let lacking = len - self.free();
            if self.reserve < lacking {
                return false;
            }
            self.reserve -= lacking;
        }
        self.snapshots = [self.snapshots[1], len];
        self.seen = [self.seen[1], self.log.at];
        let (state, through) = (&self.log.state, self.seen[0]);
        self.messages.retain(|place, _| *place > through || state.blobs.is_used(*place));
        let at = self.log.at;
        self.log.tell(1000, &Request::Cleaned { through: at, deletes_through: through });
        let (weight, overhead) = (self.log.state.weight(), len.saturating_sub(self.log.state.weight()));
        let mut reserved = self.log.state.reserved;
        if self.log.state.is_short {
            reserved.weight = reserved.weight.min(weight * 3 / 2).max(1 << 16);
        }
        let wanted = reserved.bytes(QUEUES, overhead);
        let most = self.reserve + self.free();
        self.reserve = wanted.min(most);
        match (most >= wanted, self.log.state.is_short) {
            (true, true) => drop(self.log.tell(1000, &Request::Reserved(reserved))),
            (false, false) => drop(self.log.tell(1000, &Request::Short)),
            _ => {}
        }
        true
    }

    /// The reserve grows where there is room for it.
    fn grow(&mut self) {
        let Reserved { weight, share } = self.log.state.reserved;
        let larger = Reserved { weight: weight * 2, share };
        let more = larger.bytes(QUEUES, 0).saturating_sub(self.reserve);
        if !self.log.state.is_short && self.log.state.weight() > weight / 2 && self.free() > more {
            self.reserve += more;
            self.log.tell(1000, &Request::Reserved(larger));
        }
    }

    /// What the stage has done of its next commit: it takes from the queue before `to`, and writes `outputs` behind it.
    fn stage(&mut self, stage: u16, outputs: u32, len: u32) -> bool {
        let mut ends = Vec::new();
        if stage > 0 {
            if !self.append(REQUEST, true) {
                return false;
            }
            let queue = SharedQueue(stage - 1);
            let held = self.log.state.runs[&1].queues[usize::from(stage) - 1].held(&who(1, 1));
            let sequence = held.first().copied().or_else(|| {
                let take = Action::Take { queue, n: 1, looks_for_expired: false, max_deliveries: 9 };
                let Answer::Taken(taken) = self.log.tell(1000, &machine(who(1, 1), take)) else {
                    return None;
                };
                taken.first().map(|taken| taken.sequence)
            });
            let Some(sequence) = sequence else { return false };
            ends.push(request::StoredEnd { queue, sequence, dead: None });
        }
        let to = SharedQueue(stage);
        let outputs: Vec<_> = if stage < 3 {
            (0..outputs).map(|n| (to, Span { at: n * len, len })).collect()
        } else {
            Vec::new()
        };
        let number = self.numbers[usize::from(stage)] + 1;
        let commit = StoredCommit { number, ends, outputs, step: None, marks: Vec::new() };
        let bytes = REQUEST + commit.output_bytes();
        let kept = REQUESTS / 2 + 2 * self.log.state.weight();
        let may_use_reserve = !commit.grows() || stage > 0 && self.reserve.saturating_sub(kept) >= bytes;
        if !self.append(bytes, may_use_reserve) {
            return false;
        }
        let action =
            Action::Commit { line: stage.to_string(), place: format!("m/{stage}"), commits: vec![commit] };
        let Answer::Judged(judged) = self.log.tell(1000, &machine(who(1, 1), action)) else { panic!() };
        assert!(judged.verdicts.iter().all(|verdict| *verdict == crate::broker::Verdict::Done));
        let done = judged.verdicts.len() as u64;
        self.numbers[usize::from(stage)] += done;
        done > 0
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 6, ..ProptestConfig::default() })]

    /// A source fills the store; whatever each item becomes on its way, it gets out of the store, and the snapshots always find room.
    #[test]
    fn a_full_store_never_stands_still(
        size in 2_300_000_u64..3_500_000,
        len in prop_oneof![0_u32..20, 20_u32..30_000],
        per_commit in 1_u32..30,
        outputs in 0_u32..3,
        every in 20_u64..400,
    ) {
        let mut store = Store::new(size).unwrap();
        let per_commit = per_commit.min(60_000 / len.max(1)).max(1);
        let mut emitted = 0;
        while emitted < 60 && store.stage(0, per_commit, len) {
            emitted += 1;
            store.grow();
            if store.log.at.is_multiple_of(every) {
                prop_assert!(store.snapshot());
            }
        }
        let before = store.numbers[0];
        prop_assert!(before > 0);
        let (mut idle, mut rounds) = (0, 0_u64);
        while store.log.state.runs[&1].queues.iter().any(|queue| queue.ledger().waiting + queue.ledger().leased > 0) {
            let done = [3, 2, 1].map(|stage| store.stage(stage, outputs, len));
            let is_due = store.log.at.is_multiple_of(every) || store.log.state.is_short && rounds % 32 == 0;
            prop_assert!(!is_due || store.snapshot(), "a snapshot finds no room");
            idle = if done.contains(&true) { 0 } else { idle + 1 };
            rounds += 1;
            prop_assert!(idle < 200, "it stands still: {:?}", store.log.state.runs[&1].queues.iter().map(StoredQueue::ledger).collect::<Vec<_>>());
        }
        prop_assert!(store.snapshot() && store.snapshot() && store.snapshot());
        prop_assert!(store.stage(0, per_commit, len), "the source goes on");
        prop_assert_eq!(store.numbers[0], before + 1);
    }
}
