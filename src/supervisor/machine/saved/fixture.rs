//! One of everything that a program leaves to the next, for the golden file of that format.

use super::{SavedLife, SavedMachine, SavedStage, SavedWorker};
use crate::config::IncludedText;
use crate::config::pipeline::{
    Collect, Command, Framing, Invocation, LaterCodes, Mode, ProgramLimits, Reply,
};
use crate::config::{Recycle, Task, Work};
use crate::model::Totals;
use crate::queue::{Ending, ItemTimes, SlotId, StageId, WorkTimes};
use crate::status::{Glimpse, Progress};
use crate::supervisor::machine::history::{SavedTransition, TransitionKind};
use crate::supervisor::machine::reason::{End, StartReason, StopReason};
use crate::supervisor::machine::totals::StageTotals;
use crate::supervisor::machine::worker_state::Over;
use crate::sys::process::{SpawnError, StartStep};
use crate::sys::wait::{Exit, SignalNumber};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::time::Duration;

pub fn sample() -> SavedMachine {
    let variables = vec![("TOKEN".into(), "x y".into())];
    SavedMachine {
        text: "[stages.a]\nuse = 'count'\n".to_owned(),
        included: vec![IncludedText {
            path: "conf.d/b.toml".into(),
            text: "[stages.b]\nuse = 'sum'\n".to_owned(),
        }],
        file_variables: BTreeMap::from([("send".to_owned(), variables)]),
        paused: true,
        stages: stages(),
        removed_totals: vec![totals("gone")],
        failed: true,
        generation: 3,
        refusal: Some((Duration::new(5, 7), "the file is bad".to_owned())),
        history: changes().into_iter().zip(1..).map(|(change, n)| remembered(change, n)).collect(),
        upgrades: 2,
    }
}

fn stages() -> Vec<SavedStage> {
    let lives = [
        SavedLife::Due(StartReason::New),
        SavedLife::BackOff { left: Duration::from_millis(250), why: StartReason::Failed },
        SavedLife::Alive { slot: SlotId(4), pid: 4711, age: Duration::from_secs(60), ready: true },
    ];
    let overs =
        [Over::Finished, Over::InputEnded, Over::OutputClosed, Over::Stopped, Over::Failed, Over::GaveUp];
    let lives = lives.into_iter().chain(overs.map(SavedLife::Over)).collect();
    let built_in = |modes: Vec<Mode>| {
        let commands = modes.into_iter().map(|mode| Task::Command(Box::new(command(mode))));
        commands.chain([count()]).collect::<Vec<_>>()
    };
    let modes = vec![
        Mode::Stream,
        Mode::Reply(Reply::One),
        Mode::Reply(Reply::UntilEmpty),
        Mode::Reply(Reply::Protocol),
        Mode::Each { collect: Collect::Lines, batch: Some(8) },
        Mode::Each { collect: Collect::Whole, batch: None },
    ];
    vec![stage("a", built_in(modes), lives), stage("empty", Vec::new(), Vec::new())]
}

fn stage(name: &str, tasks: Vec<Task>, lives: Vec<SavedLife>) -> SavedStage {
    let task = |n: usize| tasks[n % tasks.len()].clone();
    let workers = lives.into_iter().enumerate().map(|(n, life)| SavedWorker {
        index: n as u32,
        life,
        work: Work {
            task: task(n),
            inputs: vec!["p".to_owned()],
            outputs: vec!["q".to_owned()],
            apart: 0,
            routes: Vec::new(),
        },
        recycle: Recycle {
            items: Some(1000),
            memory: Some(1 << 30),
            age: (n > 0).then(|| Duration::from_secs(3600)),
        },
        trial: n % 2 == 1,
        bad_runs: n as u32,
        failed_runs: (n == 1)
            .then(|| (Duration::from_secs(7), End::Said(Ending::Failed("of no use".to_owned())))),
        is_service: false,
        restarted: Vec::new(),
    });
    SavedStage {
        name: name.to_owned(),
        gave_up: name == "empty",
        paused: name == "a",
        stopped: false,
        elsewhere: false,
        processes: 9,
        totals: totals(name),
        restarts: BTreeMap::from([("crashed".to_owned(), 2), ("killed".to_owned(), 1)]),
        restarted: vec![Duration::from_secs(9), Duration::from_millis(1)],
        killed_in_a_row: 1,
        failing: Some(Duration::from_secs(90)),
        id: (name == "a").then_some(StageId(2)),
        workers: workers.collect(),
    }
}

fn count() -> Task {
    let with = serde_json::json!({ "from": 1, "to": 3 });
    Task::Use { name: "count".to_owned(), with: with.as_object().unwrap().clone() }
}

fn command(mode: Mode) -> Command {
    let framings = [Framing::Lines, Framing::Nul, Framing::Netstring, Framing::U32be];
    let (shell, n) = match mode {
        Mode::Stream | Mode::Reply(_) => (false, 0),
        Mode::Each { .. } => (true, 2),
    };
    Command {
        invocation: match shell {
            true => Invocation::Shell("cat | sort".to_owned()),
            false => Invocation::Direct(vec!["cat".to_owned(), "-".to_owned()]),
        },
        mode,
        placeholders: crate::config::pipeline::Placeholders::Parallel,
        max_args: Some(9),
        keep_failed_output: true,
        halt: "now,fail=30%".parse().ok(),
        tag: true,
        joblog: Some(crate::config::pipeline::JobLog {
            path: "jobs.log".into(),
            resume: Some(crate::config::pipeline::Resume::Failed),
        }),
        in_framing: framings[n],
        out_framing: framings[n + 1],
        success_codes: vec![0, 1],
        dead_codes: vec![65],
        later_codes: LaterCodes::default(),
        stdout: crate::config::pipeline::Stdout::Log,
        stop_signal: crate::config::pipeline::StopSignal(2),
        env: vec![("A".to_owned(), "1".to_owned())],
        env_file: vec!["e.env".into()],
        file_variables: Some(vec![("B".into(), "2".into())]),
        cwd: Some("/tmp".into()),
        user: Some("nobody".to_owned()),
        group: Some("1000".to_owned()),
        umask: Some(0o22),
        nice: Some(5),
        limits: ProgramLimits {
            memory: Some(1),
            processes: Some(2),
            open_files: Some(3),
            cpu_time: Some(Duration::from_secs(4)),
        },
    }
}

fn totals(name: &str) -> StageTotals {
    let second = Duration::from_secs(1);
    let times = WorkTimes {
        working: second,
        starved: second * 2,
        blocked: second * 3,
        paused: second * 4,
        for_turn: second * 5,
    };
    StageTotals {
        failed_checks: 0,
        name: name.to_owned(),
        is_source: name == "gone",
        is_service: false,
        counts: Totals {
            taken: 16,
            done: 14,
            emitted: 15,
            dead: 1,
            too_long: 2,
            repeated: 3,
            perhaps_lost: 4,
        },
        restarts: 3,
        progress: Some(Progress { done: 5, total: 10 }),
        times,
        item_times: ItemTimes { sum: second, ..ItemTimes::default() },
    }
}

fn remembered(change: TransitionKind, n: u64) -> SavedTransition {
    let glimpse = Glimpse { queue: "q".to_owned(), id: n, attempt: 2, bytes: 3, text: "abc".to_owned() };
    SavedTransition {
        at: Duration::from_secs(n),
        worker: "a[0]".to_owned(),
        change,
        lived: n.is_multiple_of(2).then(|| Duration::from_millis(n)),
        item: n.is_multiple_of(2).then(|| Box::new(glimpse)),
        last_stderr: vec!["last line".to_owned()],
    }
}

fn changes() -> Vec<TransitionKind> {
    let starts = [
        StartReason::New,
        StartReason::Scaled,
        StartReason::Failed,
        StartReason::Killed,
        StartReason::Always,
        StartReason::Recycled,
        StartReason::Changed,
        StartReason::Requested,
        StartReason::WantedAgain,
        StartReason::WorkAgain,
        StartReason::Scheduled,
    ];
    let stops = [
        StopReason::Scaled,
        StopReason::Removed,
        StopReason::Changed,
        StopReason::Requested,
        StopReason::OutputClosed,
        StopReason::GaveUp,
        StopReason::Stopping,
        StopReason::HoldsLock,
    ];
    let said = [
        Ending::Finished,
        Ending::InputEnded,
        Ending::OutputClosed,
        Ending::Ordered,
        Ending::Recycled,
        Ending::Halted,
        Ending::TimedOut,
        Ending::Failed("why".to_owned()),
        Ending::Lost("what".to_owned()),
    ];
    let steps = [StartStep::Prepare, StartStep::Fork, StartStep::SetUp, StartStep::Orphaned, StartStep::Exec];
    let not_started = steps.map(|step| End::NotStarted(SpawnError { step, errno: Errno::EAGAIN }));
    let ends = said.map(End::Said).into_iter().chain(not_started).chain([
        End::Died(Exit::Code(7)),
        End::Died(Exit::Signal(SignalNumber(9))),
        End::CannotStart("no such program".to_owned()),
        End::ProgramKilled("by SIGKILL".to_owned()),
        End::NotNow("the server is away".to_owned()),
        End::Terminated,
    ]);
    let started = starts.map(TransitionKind::Started).into_iter();
    started
        .chain(stops.map(TransitionKind::Asked))
        .chain([
            TransitionKind::Terminated(StopReason::Stopping),
            TransitionKind::Killed(StopReason::HoldsLock),
        ])
        .chain(ends.map(TransitionKind::Ended))
        .collect()
}
