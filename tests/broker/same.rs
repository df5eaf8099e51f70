//! Both brokers are asked the same, at random, and answer the same: the rules stand twice, in scripts and in Rust.

use crate::commits::{alone, stage};
use crate::server::{self, Server};
use mprun::broker::{
    AnyBroker, Broker, BrokerKind, Commit, End, Fault, Forgotten, Layout, Lease, Letter, Membership, Output,
    SHOWN_FOR, Sequence, SharedQueue, SharedStage, Step, Visitor,
};
use mprun::queue::WhenFull;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// Longer than all steps between two pauses take.
const ACK_WAIT: Duration = Duration::from_secs(3);
const PAUSES: usize = 2;
const STEPS: usize = 300;
const CASES: u64 = 12;

fn layout() -> Layout {
    let mut layout = Layout { ack_wait: ACK_WAIT, max_deliveries: 3, ..server::layout(&[4, 2, 3]) };
    layout.queues[2].when_full = WhenFull::DropNew;
    layout
}

/// A place in the list of the entries that were seen so far: the brokers name them differently.
type Entry = usize;

#[derive(Clone, Debug)]
enum Ask {
    Join { machine: u8, life: u8, new_run: bool },
    Take { by: usize, queue: u16, n: usize, look: bool },
    Extend { by: usize, queue: u16, entries: Vec<Entry> },
    Commit { by: usize, stage: SharedStage, commits: Vec<AskedCommit> },
    GiveBack { by: usize, queue: u16, entries: Vec<(Entry, u32)> },
    Held { by: usize, queue: u16 },
    Register { by: usize, queue: u16, stage: SharedStage },
    Progress { by: usize, queue: u16, before: Vec<u16> },
    Finish { by: usize },
    Claim { by: usize, stage: SharedStage },
    Resign { by: usize, stage: SharedStage },
    Show { by: usize },
    Hear { by: usize },
    Leave { by: usize },
    Letters { by: usize, queue: u16 },
    Forget { machine: u8 },
    Retry { queue: u16, entries: Vec<Entry> },
    Discard { queue: u16, entries: Vec<Entry> },
    Overview,
}

#[derive(Clone, Debug)]
struct AskedCommit {
    number: u64,
    ends: Vec<(u16, Entry, bool)>,
    outputs: Vec<(u16, u8)>,
    step: Option<(u8, u8)>,
    marks: Vec<u16>,
}

/// Long items go to Redis by commands of their own.
fn bytes(item: u8) -> Vec<u8> {
    vec![item; if item.is_multiple_of(4) { 4 << 10 } else { 3 }]
}

/// A broker with the machines that have joined there.
struct Side {
    server: Server,
    layout: Layout,
    machines: Vec<AnyBroker>,
    /// Names are of a queue, or of its letters.
    seen: Vec<(u16, bool, Sequence)>,
}

/// Without what the clocks and the wires make of it.
fn said<T: Debug>(answer: Result<T, Fault>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(Fault::Superseded) => "superseded".into(),
        Err(Fault::Fatal(why)) => format!("fatal: {why}"),
        Err(other) => format!("{other:?}"),
    }
}

impl Side {
    fn new(kind: BrokerKind) -> Side {
        Side { server: Server::safe(kind), layout: layout(), machines: Vec::new(), seen: Vec::new() }
    }

    fn entry(&mut self, name: (u16, bool, Sequence)) -> Entry {
        self.seen.iter().position(|seen| *seen == name).unwrap_or_else(|| {
            self.seen.push(name);
            self.seen.len() - 1
        })
    }

    fn entries(&mut self, queue: u16, sequences: &[Sequence]) -> Vec<Entry> {
        sequences.iter().map(|sequence| self.entry((queue, false, *sequence))).collect()
    }

    fn sequences(&self, entries: &[Entry]) -> Vec<Sequence> {
        entries.iter().map(|entry| self.seen[*entry].2).collect()
    }

    fn commit(&self, asked: &AskedCommit) -> Commit {
        let end = |&(queue, entry, is_dead): &(u16, Entry, bool)| End {
            queue: SharedQueue(queue),
            sequence: self.seen[entry].2,
            dead: is_dead.then(|| ("boom".to_owned(), 2)),
        };
        let position = |position: u8| if position == 0 { Vec::new() } else { vec![position] };
        Commit {
            number: asked.number,
            ends: asked.ends.iter().map(end).collect(),
            outputs: asked
                .outputs
                .iter()
                .map(|&(queue, item)| Output { queue: SharedQueue(queue), item: bytes(item).into() })
                .collect(),
            step: asked.step.map(|(from, to)| Step { from: position(from), to: position(to) }),
            marks: asked.marks.iter().map(|queue| SharedQueue(*queue)).collect(),
        }
    }

    async fn visitor(&self) -> Visitor {
        Visitor::open(&self.server.access(), &self.layout).await.unwrap().expect("a run")
    }

    async fn join(&mut self, machine: u8, life: u8, new_run: bool) -> String {
        let who = Membership {
            machine: format!("m{machine}"),
            life: life.to_string(),
            joined: None,
            only: None,
            new_run,
            allow_loss: false,
        };
        match server::joined(&self.server.access(), &self.layout, &who).await {
            Ok(broker) => {
                let joined = broker.joined();
                let answer = format!("{} {}", joined.run, joined.ended.is_some());
                self.machines.push(broker);
                answer
            }
            Err(fault) => said::<()>(Err(fault)),
        }
    }

    fn leases(&mut self, queue: u16, leases: Vec<Lease>) -> Vec<(Entry, Vec<u8>, u32, u32)> {
        let lease = |lease: Lease| {
            (
                self.entry((queue, false, lease.sequence)),
                lease.item.to_vec(),
                lease.attempts,
                lease.deliveries,
            )
        };
        leases.into_iter().map(lease).collect()
    }

    fn letters(&mut self, queue: u16, letters: Vec<Letter>) -> Vec<(Entry, Vec<u8>, String, u32)> {
        let letter = |letter: Letter| {
            (self.entry((queue, true, letter.sequence)), letter.item, letter.cause, letter.attempts)
        };
        letters.into_iter().map(letter).collect()
    }

    async fn ask(&mut self, ask: &Ask) -> String {
        match ask {
            Ask::Join { machine, life, new_run } => self.join(*machine, *life, *new_run).await,
            Ask::Forget { .. } | Ask::Retry { .. } | Ask::Discard { .. } | Ask::Overview => {
                self.visit(ask).await
            }
            Ask::Take { by, queue, n, look } => {
                let taken = self.machines[*by].take(SharedQueue(*queue), *n, *look).await;
                said(taken.map(|leases| self.leases(*queue, leases)))
            }
            Ask::Extend { by, queue, entries } => {
                let sequences = self.sequences(entries);
                let lost = self.machines[*by].extend(SharedQueue(*queue), &sequences).await;
                said(lost.map(|lost| self.entries(*queue, &lost)))
            }
            Ask::Commit { by, stage, commits } => {
                let commits: Vec<Commit> = commits.iter().map(|commit| self.commit(commit)).collect();
                said(self.machines[*by].commit(stage, &commits).await)
            }
            Ask::GiveBack { by, queue, entries } => {
                let leases: Vec<_> =
                    entries.iter().map(|(entry, attempts)| (self.seen[*entry].2, *attempts)).collect();
                said(self.machines[*by].give_back(SharedQueue(*queue), &leases).await)
            }
            Ask::Held { by, queue } => {
                let held = self.machines[*by].held(SharedQueue(*queue)).await;
                said(held.map(|held| self.entries(*queue, &held)))
            }
            Ask::Register { by, queue, stage } => {
                said(self.machines[*by].register(SharedQueue(*queue), stage).await)
            }
            Ask::Progress { by, queue, before } => {
                let before: Vec<_> = before.iter().map(|queue| SharedQueue(*queue)).collect();
                said(self.machines[*by].progress(SharedQueue(*queue), &before).await)
            }
            Ask::Finish { by } => said(self.machines[*by].finish().await),
            Ask::Claim { by, stage } => said(self.machines[*by].claim(stage).await),
            Ask::Resign { by, stage } => said(self.machines[*by].resign(stage).await),
            Ask::Show { by } => said(self.machines[*by].show(b"here", SHOWN_FOR).await),
            Ask::Hear { by } => said(self.machines[*by].hear().await),
            Ask::Leave { by } => said(self.machines[*by].leave().await),
            Ask::Letters { by, queue } => {
                let letters = self.machines[*by].letters(SharedQueue(*queue), None, 10).await;
                said(letters.map(|letters| self.letters(*queue, letters)))
            }
        }
    }

    async fn visit(&mut self, ask: &Ask) -> String {
        let visitor = self.visitor().await;
        match ask {
            Ask::Forget { machine } => {
                let mut forgotten = visitor.forget(&format!("m{machine}")).await;
                if let Ok(Forgotten::Struck { writers, .. }) = &mut forgotten {
                    writers.sort();
                }
                let text = said(forgotten);
                text.split("Alive").next().unwrap_or_default().to_owned()
            }
            Ask::Retry { queue, entries } => {
                // The first queue is one that only sources write.
                let run = visitor.retry_run(&[true, false, false]).await.unwrap();
                let mut all = vec![format!("{run:?}")];
                for place in visitor.letter_places().await.unwrap() {
                    if place.queue == self.layout.queues[usize::from(*queue)].name {
                        all.push(said(visitor.retry(&place, &self.sequences(entries), run.number).await));
                    }
                }
                all.join(" ")
            }
            Ask::Discard { queue, entries } => {
                let mut all = Vec::new();
                for place in visitor.letter_places().await.unwrap() {
                    if place.queue == self.layout.queues[usize::from(*queue)].name {
                        all.push(said(visitor.discard(&place, &self.sequences(entries)).await));
                    }
                }
                all.join(" ")
            }
            _ => {
                let mut seen = visitor.overview().await.unwrap();
                seen.begun = 0;
                seen.ended = seen.ended.map(|_| 0);
                for queue in &mut seen.queues {
                    queue.oldest = queue.oldest.map(|_| Duration::ZERO);
                    queue.writers.sort_by(|a, b| (&a.machine, &a.stage).cmp(&(&b.machine, &b.stage)));
                }
                for machine in &mut seen.machines {
                    machine.shown = machine.shown.take().map(|(_, text)| (Duration::ZERO, text));
                }
                format!("{seen:?}")
            }
        }
    }
}

/// What is asked next.
struct Asker {
    random: fastrand::Rng,
    /// Machine and life of each that has joined.
    joined: Vec<(u8, u8)>,
    /// By run, life and stage: the number of the next commit, and the request before.
    lines: BTreeMap<(usize, String), (u64, Vec<AskedCommit>)>,
    /// Of each entry that was seen: its queue, and whether it is a letter.
    seen: Vec<(u16, bool)>,
    /// Letters were just seen of this queue.
    letters: Option<u16>,
}

impl Asker {
    fn queue(&mut self) -> u16 {
        self.random.u16(0..3)
    }

    /// Some of a queue, or of its letters: mostly the last ones. A name means nothing in another queue.
    fn entries(&mut self, queue: u16, letters: bool) -> Vec<Entry> {
        let most = if self.random.u8(0..6) == 0 { 20 } else { 5 };
        let fits = |entry: &Entry| self.seen[*entry] == (queue, letters);
        let last: Vec<Entry> = (0..self.seen.len()).rev().filter(fits).take(most).collect();
        last.into_iter().filter(|_| self.random.u8(0..3) == 0).collect()
    }

    fn stage(&mut self) -> SharedStage {
        match self.random.u8(0..4) {
            0 => alone("one"),
            1 => alone("other"),
            2 => stage("read"),
            _ => stage("pass"),
        }
    }

    fn commit(&mut self, number: u64) -> AskedCommit {
        let queue = self.queue();
        let entries = if self.random.bool() { self.entries(queue, false) } else { Vec::new() };
        let ends = entries.into_iter().map(|entry| (queue, entry, self.random.u8(0..3) == 0)).collect();
        let outputs = (0..self.random.usize(0..3)).map(|_| (self.queue(), self.random.u8(..))).collect();
        let step = (self.random.u8(0..4) == 0).then(|| (self.random.u8(0..3), self.random.u8(0..3)));
        let marks = if self.random.u8(0..12) == 0 { vec![0] } else { Vec::new() };
        AskedCommit { number, ends, outputs, step, marks }
    }

    fn commits(&mut self, by: usize, stage: &SharedStage) -> Vec<AskedCommit> {
        let (next, before) = self.lines.get(&(by, stage.name.clone())).cloned().unwrap_or((1, Vec::new()));
        // The same again, and more behind it, as after an answer that has got lost.
        let mut commits = if self.random.u8(0..4) == 0 { before } else { Vec::new() };
        let from = commits.last().map_or(next, |commit| commit.number + 1);
        for number in from..from + self.random.u64(1..3) {
            commits.push(self.commit(number));
        }
        commits
    }

    fn next(&mut self) -> Ask {
        if self.random.u8(0..60) == 0 || self.joined.len() < 2 {
            let machine = u8::try_from(self.joined.len()).unwrap_or(0) % 3;
            let life = self.random.u8(0..3);
            let new_run = self.random.u8(0..12) == 0;
            return Ask::Join { machine, life, new_run };
        }
        if let Some(queue) = self.letters.take() {
            return Ask::Retry { queue, entries: self.entries(queue, true) };
        }
        // Mostly the last ones, which are not superseded.
        let by = self.joined.len() - 1 - self.random.usize(0..2);
        let queue = self.queue();
        match self.random.u8(0..40) {
            0..=8 => Ask::Take { by, queue, n: self.random.usize(1..4), look: false },
            9..=21 => {
                let stage = self.stage();
                let commits = self.commits(by, &stage);
                Ask::Commit { by, stage, commits }
            }
            22 | 23 => Ask::Extend { by, queue, entries: self.entries(queue, false) },
            24..=25 => {
                let entries = self.entries(queue, false);
                let entries = entries.into_iter().map(|entry| (entry, self.random.u32(0..3))).collect();
                Ask::GiveBack { by, queue, entries }
            }
            26 => Ask::Held { by, queue },
            27 => Ask::Register { by, queue: 0, stage: self.stage() },
            28..=29 => Ask::Progress { by, queue, before: (0..queue).collect() },
            30 => Ask::Finish { by },
            31 => Ask::Claim { by, stage: self.stage() },
            32 if self.random.bool() => Ask::Resign { by, stage: self.stage() },
            32 if self.random.bool() => Ask::Show { by },
            32 => Ask::Hear { by },
            33..=35 => Ask::Letters { by, queue },
            36 => match self.random.u8(0..12) {
                0 => Ask::Leave { by },
                1..=3 => Ask::Forget { machine: self.random.u8(0..4) },
                _ => Ask::Progress { by, queue: 0, before: Vec::new() },
            },
            37 => Ask::Retry { queue, entries: self.entries(queue, true) },
            38 => Ask::Discard { queue, entries: self.entries(queue, true) },
            _ => Ask::Overview,
        }
    }

    /// The answer of a commit says what comes next in its line.
    fn note(&mut self, ask: &Ask, answer: &str, seen: usize) {
        if let Ask::Take { queue, .. } | Ask::Letters { queue, .. } = ask {
            let letters = matches!(ask, Ask::Letters { .. });
            self.seen.resize(seen, (*queue, letters));
            self.letters = (letters && answer != "[]").then_some(*queue);
        }
        match ask {
            Ask::Join { machine, life, .. } if !answer.starts_with("fatal") => {
                self.joined.push((*machine, *life))
            }
            Ask::Commit { by, stage, commits } if answer.starts_with("Judged") => {
                let judged = answer.matches("Done").count() + answer.matches("Refused").count();
                let first = commits.first().map_or(1, |commit| commit.number);
                let key = (*by, stage.name.clone());
                self.lines.insert(key, (first + judged as u64, commits[..judged].to_vec()));
            }
            _ => {}
        }
    }
}

async fn case(seed: u64) -> BTreeMap<&'static str, usize> {
    let mut sides = [Side::new(BrokerKind::Redis), Side::new(BrokerKind::Nats)];
    let mut asker = Asker {
        random: fastrand::Rng::with_seed(seed),
        joined: Vec::new(),
        lines: BTreeMap::new(),
        seen: Vec::new(),
        letters: None,
    };
    let (mut said_before, mut met) = (Vec::new(), BTreeMap::new());
    for pause in 0..=PAUSES {
        let looks: Vec<Ask> = (0..3)
            .filter(|_| pause > 0)
            .map(|queue| Ask::Take { by: asker.joined.len() - 1, queue, n: 5, look: true })
            .collect();
        let asks = STEPS / (PAUSES + 1);
        for n in 0..asks + looks.len() {
            let ask = looks.get(n).cloned().unwrap_or_else(|| asker.next());
            let (redis, nats) = (sides[0].ask(&ask).await, sides[1].ask(&ask).await);
            said_before.push(format!("{ask:?}: {redis}"));
            if redis != nats {
                let at =
                    redis.bytes().zip(nats.bytes()).take_while(|(a, b)| a == b).count().saturating_sub(60);
                let shown = |text: &str| text.chars().skip(at).take(200).collect::<String>();
                let before = said_before.join("\n");
                panic!("seed {seed}:\n{before}\nRedis …{}\nNATS  …{}", shown(&redis), shown(&nats));
            }
            asker.note(&ask, &redis, sides[0].seen.len());
            for word in [
                "Refused",
                "full: Some",
                "superseded",
                "Sealed",
                "Put",
                "every machine that had it died",
                "Struck",
            ] {
                *met.entry(word).or_default() += usize::from(redis.contains(word));
            }
        }
        if pause < PAUSES {
            tokio::time::sleep(ACK_WAIT + Duration::from_millis(50)).await;
        }
    }
    met
}

#[test]
fn the_brokers_answer_the_same_whatever_is_asked() {
    let cases: Vec<_> = (0..CASES).map(|_| fastrand::u64(..)).collect();
    let run = |seed: u64| {
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case(seed))
        })
    };
    let threads: Vec<_> = cases.into_iter().map(run).collect();
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for thread in threads {
        for (word, count) in thread.join().unwrap() {
            *met.entry(word).or_default() += count;
        }
    }
    println!("{met:?}");
    let never: Vec<_> = met.iter().filter(|(_, count)| **count == 0).collect();
    assert!(never.is_empty(), "never met: {never:?}");
}
