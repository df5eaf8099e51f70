//! Random lives: whatever happens in whatever order, no worker is lost, none is too many, and a stop always ends.

use super::bench::{Bench, segv, signal};
use crate::config;
use crate::config::pipeline::{Check, Health, Probe};
use crate::config::{OnGiveUp, Pipeline, Stage};
use crate::control::protocol::{Command, OneStage, Reload, Restart, Scale, StageOrAll, Stop};
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, service, stage, wanted};
use crate::supervisor::machine::condition::Finding;
use crate::supervisor::machine::event::{Event, Loading};
use crate::supervisor::machine::ids::{Pid, RequestId};
use crate::supervisor::machine::reason::End;
use crate::supervisor::machine::stage_state::Fate;
use crate::supervisor::machine::wanted::Wanted;
use crate::supervisor::machine::worker_state::{Life, Over};
use crate::sys::wait::Exit;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Move {
    Pass(u64),
    Ready(usize),
    End(usize, End),
    EndIdle(usize, End),
    Obey,
    Drain,
    Suspend(usize, bool),
    Touch,
    Hangup,
    Reload(Shape),
    Bad,
    ForksFail(bool),
    Hold(u64),
    GuardianEnds,
    CheckerEnds,
    Find(usize, Finding),
    Stop(u8),
    Ask(Command),
    Damage,
}

/// A pipeline by a few numbers.
#[derive(Clone, Debug)]
struct Shape {
    processes: [u32; 4],
    uses: [u8; 4],
    middle: bool,
    extra: bool,
    stateful: bool,
    /// None, a plain one, one with checks, one that says by itself that it is ready.
    service: u8,
    restart: u8,
    go_on: bool,
}

impl Shape {
    fn wanted(&self) -> Wanted {
        let stateful: &[&str] = if self.stateful { &["a", "b"] } else { &[] };
        wanted(self.pipeline(), stateful)
    }

    fn pipeline(&self) -> Pipeline {
        let mut stages = if self.middle {
            vec![stage("a", &[], &["p"]), stage("b", &["p"], &["q"]), stage("c", &["q"], &[])]
        } else {
            vec![stage("a", &[], &["q"]), stage("c", &["q"], &[])]
        };
        if self.extra {
            stages.push(stage("d", &["q"], &[]));
        }
        for (i, stage) in stages.iter_mut().enumerate() {
            stage.processes = self.processes[i];
            stage.work.task = crate::config::Task::of(format!("x{}", self.uses[i]));
            stage.rules.give_up.restarts = 6;
            stage.rules.restart =
                [config::Restart::OnFailure, config::Restart::Always, config::Restart::Never]
                    [usize::from(self.restart)];
            stage.rules.on_give_up = if self.go_on { OnGiveUp::Continue } else { OnGiveUp::Stop };
        }
        stages.extend(self.service());
        pipeline(stages)
    }

    fn service(&self) -> Option<Stage> {
        let [every, timeout] = [1, 10].map(Duration::from_secs);
        let tcp = Check { probe: Probe::Tcp(format!("x:{}", self.uses[0])), every, timeout };
        let notify = Check { probe: Probe::Notify, every, timeout };
        let health = Health { check: tcp.clone(), failures: 2 };
        let mut e = service("e");
        e.rules.on_give_up = OnGiveUp::Continue;
        e.processes = self.processes[1];
        match self.service {
            0 => None,
            1 => Some(e),
            2 => Some(Stage { ready: Some(tcp), health: Some(health), ..e }),
            _ => Some(Stage { ready: Some(notify), after: vec!["a".to_owned()], ..e }),
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let processes = prop::array::uniform4(1_u32..5);
    let uses = prop::array::uniform4(0_u8..3);
    (processes, uses, any::<bool>(), any::<bool>(), any::<bool>(), 0_u8..4, 0_u8..3, any::<bool>()).prop_map(
        |(processes, uses, middle, extra, stateful, service, restart, go_on)| Shape {
            processes,
            uses,
            middle,
            extra,
            stateful,
            service,
            restart,
            go_on,
        },
    )
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(segv()),
        2 => Just(signal(libc::SIGKILL)),
        2 => Just(signal(libc::SIGTERM)),
        1 => Just(End::Terminated),
        1 => Just(End::ProgramKilled("no".into())),
        1 => Just(End::CannotStart("no".into())),
        1 => Just(End::NotNow("no".into())),
        2 => Just(End::Died(Exit::Code(1))),
        2 => Just(End::Said(Ending::Failed("no".into()))),
        1 => Just(End::Said(Ending::TimedOut)),
        2 => Just(End::Said(Ending::Finished)),
        2 => Just(End::Said(Ending::Recycled)),
        1 => Just(End::Said(Ending::Ordered)),
        1 => Just(End::Said(Ending::InputEnded)),
        1 => Just(End::Said(Ending::OutputClosed)),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (0_u64..40_000).prop_map(Move::Pass),
        8 => any::<usize>().prop_map(Move::Ready),
        6 => (any::<usize>(), ends()).prop_map(|(i, end)| Move::End(i, end)),
        4 => (any::<usize>(), ends()).prop_map(|(i, end)| Move::EndIdle(i, end)),
        6 => Just(Move::Obey),
        2 => Just(Move::Drain),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(i, lock)| Move::Suspend(i, lock)),
        2 => Just(Move::Touch),
        1 => Just(Move::Hangup),
        8 => shapes().prop_map(Move::Reload),
        1 => Just(Move::Bad),
        2 => any::<bool>().prop_map(Move::ForksFail),
        2 => (0_u64..3).prop_map(Move::Hold),
        1 => Just(Move::GuardianEnds),
        1 => Just(Move::CheckerEnds),
        8 => (any::<usize>(), findings()).prop_map(|(i, finding)| Move::Find(i, finding)),
        1 => (0_u8..4).prop_map(Move::Stop),
        8 => commands().prop_map(Move::Ask),
        1 => prop::bool::weighted(0.1).prop_map(|really| if really { Move::Damage } else { Move::Obey }),
    ]
}

fn findings() -> impl Strategy<Value = Finding> {
    let why = || "no".to_owned();
    prop_oneof![
        4 => Just(Finding::Ready),
        1 => Just(Finding::NotReady(why())),
        2 => Just(Finding::TimedOut(why())),
        2 => Just(Finding::Healthy),
        3 => (1_u32..4).prop_map(move |failures| Finding::Failing { failures, why: why() }),
        1 => Just(Finding::NotMade(why())),
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    let stage = || prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(str::to_owned);
    let whom =
        || (prop::option::of(stage()), any::<bool>()).prop_map(|(stage, wait)| StageOrAll { stage, wait });
    prop_oneof![
        4 => (stage(), 0_u32..6, any::<bool>()).prop_map(|(stage, processes, wait)| {
            Command::Scale(Scale { stage, processes: Some(processes), by: None, wait })
        }),
        1 => (stage(), -3_i32..3, any::<bool>()).prop_map(|(stage, by, wait)| {
            Command::Scale(Scale { stage, processes: None, by: Some(by), wait })
        }),
        4 => (stage(), any::<bool>()).prop_map(|(stage, wait)| Command::Restart(Restart { stage, wait })),
        2 => (stage(), any::<bool>())
            .prop_map(|(stage, wait)| Command::StopStage(OneStage { stage, wait })),
        2 => (stage(), any::<bool>())
            .prop_map(|(stage, wait)| Command::StartStage(OneStage { stage, wait })),
        3 => whom().prop_map(Command::Pause),
        3 => whom().prop_map(Command::Resume),
        2 => any::<bool>().prop_map(|wait| Command::Reload(Reload { wait })),
        1 => prop::bool::weighted(0.1).prop_map(|really| match really {
            true => Command::Drain,
            false => Command::Resume(StageOrAll::default()),
        }),
        1 => prop::bool::weighted(0.1).prop_map(|really| match really {
            true => Command::Stop(Stop { now: false }),
            false => Command::Resume(StageOrAll::default()),
        }),
    ]
}

fn pick(bench: &Bench, i: usize) -> Option<Pid> {
    let pids: Vec<Pid> = bench.procs.keys().copied().collect();
    (!pids.is_empty()).then(|| pids[i % pids.len()])
}

fn play(bench: &mut Bench, step: Move) {
    match step {
        Move::Pass(millis) => bench.pass(Duration::from_millis(millis)),
        Move::Ready(i) => pick(bench, i).into_iter().for_each(|pid| bench.ready(pid)),
        Move::End(i, end) => pick(bench, i).into_iter().for_each(|pid| bench.end(pid, end.clone())),
        Move::EndIdle(i, end) => pick(bench, i).into_iter().for_each(|pid| bench.end_idle(pid, end.clone())),
        Move::Obey => bench.obey(),
        Move::Drain => bench.obey_and_drain(),
        Move::Suspend(i, holds_lock) => {
            if let Some(pid) = pick(bench, i) {
                let worker = bench.knows(pid).unwrap();
                bench.send(Event::Suspended { worker, pid, holds_lock });
            }
        }
        Move::Touch => bench.send(Event::FileTouched),
        Move::Hangup => bench.send(Event::Hangup),
        Move::Reload(shape) => bench.reload_to(shape.wanted()),
        Move::Bad => bench.send(Event::Loaded(Loading::Bad("no".into()))),
        Move::ForksFail(fail) => bench.forks_fail = fail,
        Move::Hold(items) => drop(bench.held.insert("p".into(), items)),
        Move::GuardianEnds => bench.send(Event::GuardianEnded),
        Move::CheckerEnds if bench.checkers.0 > bench.checkers.1 => bench.send(Event::CheckerEnded),
        Move::CheckerEnds => {}
        // Of whatever process: also of one that is no service.
        Move::Find(i, finding) => {
            if let Some(pid) = pick(bench, i) {
                let worker = bench.knows(pid).unwrap();
                bench.send(Event::Found(worker, pid, finding));
            }
        }
        Move::Stop(0) => bench.send(Event::Terminate),
        Move::Stop(1) => bench.send(Event::Quit),
        Move::Stop(_) => bench.send(Event::Interrupt),
        Move::Ask(command) => drop(bench.ask(command)),
        Move::Damage => bench.send(Event::Damaged("broken".into())),
    }
}

fn check(bench: &Bench) {
    for pid in bench.procs.keys() {
        assert!(bench.knows(*pid).is_some(), "{pid} is lost");
    }
    let stopping = bench.state.phase.stop().is_some();
    assert!(!stopping || bench.goals.is_empty(), "{:?}", bench.goals);
    for goal in bench.goals.values() {
        let stage = bench.knows(goal.pid).map(|worker| worker.stage);
        let stage = bench.state.stages.iter().find(|found| Some(found.key) == stage);
        assert!(stage.is_some_and(|stage| !stage.paused), "{goal:?}");
    }
    for stage in &bench.state.stages {
        let staying = stage.workers.iter().filter(|worker| !worker.leaving);
        let alive = staying.filter(|worker| worker.life.has_process()).count();
        let target = if stage.fate == (Fate::Removed { drains: false }) { 0 } else { stage.spec.processes };
        assert!(
            stopping || stage.is_off() || alive <= target as usize,
            "{} has {alive} workers of {target}",
            stage.spec.name
        );
        let mut indexes: Vec<u32> = stage.workers.iter().map(|worker| worker.index).collect();
        indexes.dedup();
        assert_eq!(indexes.len(), stage.workers.len());
        let known = stage.workers.iter().filter_map(|worker| worker.life.process());
        for process in known {
            assert!(bench.procs.contains_key(&process.pid), "{:?} is gone", process.pid);
        }
    }
}

/// Over for what its stage is no more: stopped by hand, given up.
fn is_without_cause(life: Life) -> bool {
    matches!(life, Life::Over(Over::ByHand | Over::GaveUp))
}

/// Left alone, and with forks that work, everything is as wanted after a while.
fn calm_down(bench: &mut Bench) {
    bench.forks_fail = false;
    bench.held.clear();
    for stage in ["a", "b", "c", "d", "e"] {
        if bench.outcome.is_none() {
            bench.ask(Command::StartStage(OneStage { stage: stage.into(), wait: true }));
        }
    }
    for _ in 0..4 {
        bench.obey_and_drain();
        bench.pass(Duration::from_secs(40));
    }
    bench.obey_and_drain();
    bench.send(Event::Loaded(Loading::Gone("no file".into())));
    let unanswered = (0..bench.requested).map(RequestId).find(|id| !bench.answers.contains_key(id));
    assert!(unanswered.is_none(), "{unanswered:?} {:#?}", bench.state);
    if bench.outcome.is_some() || bench.state.phase.stop().is_some() {
        return; // all was through already, or too much had failed
    }
    assert!(bench.state.phase.reload().is_none(), "{:#?}", bench.state);
    for stage in &bench.state.stages {
        let as_wanted = stage.fate == Fate::GaveUp
            || stage.workers.iter().all(|worker| {
                let up = worker.life.process().is_some_and(|process| process.ready);
                worker.version == stage.version
                    && (up
                        || stage.waits_for_resume(worker)
                        || worker.life.is_over() && !is_without_cause(worker.life))
            });
        assert!(as_wanted, "{:#?}", bench.state);
        // A reload that was to remove a stopped stage may just have failed.
        let is_complete = stage.workers.len() == stage.spec.processes as usize;
        assert!(is_complete || stage.is_off(), "{stage:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_worker_is_lost_or_too_many_and_a_stop_always_ends(
        first in shapes(),
        steps in prop::collection::vec(moves(), 0..60),
    ) {
        let mut bench = Bench::new();
        bench.send(Event::Begin(first.wanted()));
        bench.run_starts();
        for step in steps {
            if bench.outcome.is_some() {
                break;
            }
            play(&mut bench, step);
            check(&bench);
        }
        if bench.state.phase.stop().is_none() {
            calm_down(&mut bench);
        }
        // Nobody listens: in the end everybody is killed, and then it is over.
        for _ in 0..2 {
            if bench.outcome.is_none() {
                bench.send(Event::Interrupt);
            }
        }
        if bench.outcome.is_none() {
            bench.pass(Duration::from_secs(60));
            prop_assert!(bench.procs.values().all(|proc| proc.killed));
            bench.obey();
        }
        prop_assert!(bench.outcome.is_some(), "{:#?}", bench.state);
        prop_assert!(bench.procs.is_empty());
    }

    #[test]
    fn a_reload_that_nothing_disturbs_comes_to_its_end(
        first in shapes(),
        files in prop::collection::vec(shapes(), 1..8),
    ) {
        let mut bench = Bench::new();
        bench.send(Event::Begin(first.wanted()));
        bench.obey();
        for file in &files {
            bench.reload_to(file.wanted());
            bench.obey_and_drain();
            prop_assert!(bench.state.phase.reload().is_none(), "{:#?}", bench.state);
            let processes: u32 = file.pipeline().stages.iter().map(|stage| stage.processes).sum();
            prop_assert_eq!(bench.procs.len(), processes as usize);
            for proc in bench.procs.values() {
                let stages = file.pipeline().stages;
                let spec = stages.iter().find(|stage| stage.name == proc.spawn.stage).unwrap();
                prop_assert_eq!(&proc.spawn.version.work, &spec.work);
            }
            let queues = file.pipeline().queues.len() + file.pipeline().stages.iter()
                .filter(|stage| file.stateful && ["a", "b"].contains(&stage.name.as_str())).count();
            prop_assert_eq!(bench.queues.len(), queues, "{:?}", bench.queues);
            prop_assert!(bench.ended.is_empty() && bench.closed.is_empty());
        }
    }
}
