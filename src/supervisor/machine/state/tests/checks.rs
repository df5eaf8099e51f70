//! `ready` and `health`: what counts as started, and what follows from checks.

use super::bench::Bench;
use crate::config::pipeline::{Check, Health, Invocation, Probe};
use crate::config::{GiveUp, Restart as RestartPolicy, Stage, Task};
use crate::control::protocol::{Command, OneStage, Reload, Restart, StageOrAll};
use crate::queue::Ending;
use crate::service::Message;
use crate::status;
use crate::supervisor::fixture::{pipeline, service, wanted};
use crate::supervisor::machine::condition::{Finding, Purpose};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::notifier::NotifyCapabilities;
use crate::supervisor::machine::reason::End;
use crate::sys::wait::{Exit, SignalNumber};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn check(probe: Probe) -> Check {
    Check { probe, every: SECOND, timeout: SECOND * 30 }
}

fn tcp() -> Probe {
    Probe::Tcp("db:1".to_owned())
}

fn with_ready(name: &str, probe: Probe) -> Stage {
    Stage { ready: Some(check(probe)), ..service(name) }
}

fn with_health(name: &str) -> Stage {
    Stage { health: Some(Health { check: check(tcp()), failures: 3 }), ..service(name) }
}

fn begun(stages: Vec<Stage>) -> Bench {
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(pipeline(stages), &[])));
    bench.run_starts();
    bench.all_ready(); // their programs run
    bench
}

fn find(bench: &mut Bench, stage: &str, finding: Finding) {
    let pid = bench.pid(stage, 0);
    let worker = bench.procs[&pid].spawn.worker;
    bench.send(Event::Found(worker, pid, finding));
    bench.run_starts();
}

fn failing(bench: &mut Bench, stage: &str, failures: u32) {
    find(bench, stage, Finding::Failing { failures, why: "no answer".to_owned() });
}

fn purposes(bench: &Bench) -> Vec<Purpose> {
    bench.goals.values().map(|goal| goal.purpose).collect()
}

fn termed() -> End {
    End::Died(Exit::Signal(SignalNumber(libc::SIGTERM)))
}

fn stage_of(bench: &Bench, name: &str) -> status::StageStatus {
    bench.snapshot().stages.into_iter().find(|stage| stage.name == name).unwrap()
}

#[test]
fn others_wait_until_it_is_ready_and_so_does_all() {
    let web = Stage { after: vec!["db".to_owned()], ..with_ready("web", tcp()) };
    let mut bench = begun(vec![web, with_ready("db", tcp())]);
    assert_eq!((bench.running(), purposes(&bench)), (vec!["db[0]".to_owned()], vec![Purpose::Ready]));
    find(&mut bench, "db", Finding::NotReady("refused".to_owned()));
    assert!(bench.running().len() == 1 && !bench.has_said("up after"));
    let db = stage_of(&bench, "db");
    assert_eq!(db.check(), Some(status::CheckState::Starting));
    assert_eq!(db.workers[0].reason.as_deref(), Some("it is not ready yet: refused"));
    assert_eq!((db.ready(), db.workers[0].state), (0, status::WorkerState::Starting));
    let web = stage_of(&bench, "web");
    assert_eq!((web.state(), web.check()), ("waiting", None), "it is not said to be not ready as well");
    find(&mut bench, "db", Finding::Ready);
    assert_eq!(bench.running(), ["db[0]", "web[0]"]);
    bench.all_ready();
    find(&mut bench, "web", Finding::Ready);
    assert!(bench.has_said("up after") && bench.goals.is_empty(), "{:?}", bench.goals);
    assert_eq!((stage_of(&bench, "db").ready(), stage_of(&bench, "web").ready()), (1, 1));
}

#[test]
fn the_service_manager_is_told_once_all_are_ready() {
    let mut bench = Bench::with_capabilities(NotifyCapabilities { listens: true, ..Default::default() });
    bench.send(Event::Begin(wanted(pipeline(vec![with_ready("db", Probe::Notify)]), &[])));
    bench.run_starts();
    bench.all_ready();
    assert!(!bench.sent.contains(&Message::Ready));
    find(&mut bench, "db", Finding::Ready);
    assert!(bench.sent.contains(&Message::Ready));
}

#[test]
fn one_that_is_not_ready_in_time_has_failed_to_start() {
    let mut db = with_ready("db", tcp());
    db.rules.give_up = GiveUp { restarts: 3, within: SECOND * 3600 };
    let mut bench = begun(vec![db]);
    let first = bench.pid("db", 0);
    find(&mut bench, "db", Finding::TimedOut("refused".to_owned()));
    assert_eq!(bench.running(), ["db[0] termed"]);
    assert!(bench.goals.is_empty(), "{:?}", bench.goals);
    bench.end_idle(first, termed());
    assert!(bench.has_said(": it was not ready within 30s: refused"), "{:?}", bench.said);
    bench.run_starts();
    assert_eq!(stage_of(&bench, "db").restarts.get("not-ready"), Some(&1));
    assert!(bench.has_said("starts: the one before it was not ready in time"), "{:?}", bench.said);
    // And so on, with a growing pause, until it is too much.
    for _ in 0..3 {
        bench.all_ready();
        find(&mut bench, "db", Finding::TimedOut("refused".to_owned()));
        bench.end_idle(bench.pid("db", 0), termed());
        bench.pass(SECOND * 4);
        bench.run_starts();
    }
    assert!(bench.has_said("the stage db gives up"), "{:?}", bench.said);
}

#[test]
fn one_that_says_by_itself_that_it_is_ready_has_its_time_too() {
    for probe in [Probe::Line("up".to_owned()), Probe::Notify] {
        let mut bench = begun(vec![with_ready("db", probe.clone())]);
        assert_eq!(bench.procs[&bench.pid("db", 0)].spawn.announces, Some(probe));
        bench.pass(SECOND * 29);
        assert_eq!((bench.running(), bench.checkers), (vec!["db[0]".to_owned()], (0, 0)));
        bench.pass(SECOND);
        assert_eq!(bench.running(), ["db[0] termed"]);
        bench.end_idle(bench.pid("db", 0), termed());
        bench.all_ready();
        find(&mut bench, "db", Finding::Ready);
        bench.pass(SECOND * 100);
        assert_eq!(bench.running(), ["db[0]"]);
    }
}

#[test]
fn what_is_said_before_the_program_is_known_to_run_counts() {
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(pipeline(vec![with_ready("db", Probe::Notify)]), &[])));
    bench.run_starts();
    find(&mut bench, "db", Finding::Ready);
    bench.all_ready();
    assert!(bench.has_said("up after"), "{:?}", bench.said);
}

#[test]
fn what_it_waits_for_is_said_also_where_it_cannot_be_checked_or_says_nothing() {
    let mut bench = begun(vec![with_ready("db", tcp()), with_ready("web", Probe::Notify)]);
    find(&mut bench, "db", Finding::NotMade("no address".to_owned()));
    let reason = stage_of(&bench, "db").workers[0].reason.clone();
    assert_eq!(reason.as_deref(), Some("it is not ready yet: can't be checked: no address"));
    bench.pass(SECOND * 30);
    bench.end_idle(bench.pid("web", 0), termed());
    let words = ": it was not ready within 30s: it has not sent READY=1";
    assert!(bench.has_said(words), "{:?}", bench.said);
}

#[test]
fn too_many_failed_checks_in_a_row_are_a_restart_with_that_reason() {
    let mut bench = begun(vec![with_health("web")]);
    assert_eq!((purposes(&bench), bench.checkers), (vec![Purpose::Health], (1, 0)));
    assert_eq!(stage_of(&bench, "web").check(), Some(status::CheckState::Ready));
    find(&mut bench, "web", Finding::Healthy);
    assert_eq!(stage_of(&bench, "web").check(), Some(status::CheckState::Healthy));
    failing(&mut bench, "web", 1);
    failing(&mut bench, "web", 2);
    assert_eq!(bench.running(), ["web[0]"]);
    assert_eq!(stage_of(&bench, "web").check(), Some(status::CheckState::Failing));
    find(&mut bench, "web", Finding::Healthy);
    assert!(bench.has_said("web[0] is healthy again"), "{:?}", bench.said);
    (1..=3).for_each(|failures| failing(&mut bench, "web", failures));
    assert_eq!(bench.running(), ["web[0] termed"]);
    assert!(bench.has_said("failed a health check (3 of 3): no answer"), "{:?}", bench.said);
    assert_eq!(stage_of(&bench, "web").check(), Some(status::CheckState::Unhealthy));
    bench.pass(SECOND * 10);
    assert_eq!(bench.running(), ["web[0] killed"], "it does not listen");
    bench.end_idle(bench.pid("web", 0), End::Died(Exit::Signal(SignalNumber(libc::SIGKILL))));
    assert!(bench.has_said(": it was unhealthy, 3 checks in a row failed: no answer"), "{:?}", bench.said);
    bench.all_ready();
    let web = stage_of(&bench, "web");
    assert_eq!((web.restarts.get("unhealthy"), web.failed_checks), (Some(&1), 5));
    assert_eq!((bench.running(), purposes(&bench)), (vec!["web[0]".to_owned()], vec![Purpose::Health]));
}

#[test]
fn restart_and_give_up_say_what_follows() {
    let mut web = with_health("web");
    web.rules.restart = RestartPolicy::Never;
    let mut bench = begun(vec![web]);
    failing(&mut bench, "web", 3);
    bench.end_idle(bench.pid("web", 0), termed());
    assert!(bench.outcome.is_some_and(|outcome| outcome.failed));
    let mut web = with_health("web");
    web.rules.give_up = GiveUp { restarts: 0, within: SECOND * 60 };
    let mut bench = begun(vec![web]);
    failing(&mut bench, "web", 3);
    bench.end_idle(bench.pid("web", 0), termed());
    assert!(bench.has_said("the stage web gives up"), "{:?}", bench.said);
}

#[test]
fn a_paused_one_is_not_checked_and_its_time_begins_anew() {
    let pause = |on: bool| {
        let whom = StageOrAll { stage: None, wait: false };
        if on { Command::Pause(whom) } else { Command::Resume(whom) }
    };
    let mut bench = begun(vec![with_health("web"), with_ready("db", Probe::Notify)]);
    assert_eq!(bench.goals.len(), 2);
    bench.pass(SECOND * 20);
    bench.ask(pause(true));
    assert!(bench.goals.is_empty() && bench.procs.values().all(|proc| proc.suspended), "{:?}", bench.goals);
    failing(&mut bench, "web", 3);
    bench.pass(SECOND * 1000);
    assert_eq!(bench.running(), ["db[0]", "web[0]"], "what was on its way counts for nothing");
    assert_eq!(stage_of(&bench, "db").workers[0].state, status::WorkerState::Paused);
    bench.ask(pause(false));
    assert_eq!(bench.goals.len(), 2);
    bench.pass(SECOND * 29);
    assert_eq!(bench.running(), ["db[0]", "web[0]"]);
    bench.pass(SECOND);
    assert_eq!(bench.running(), ["db[0] termed", "web[0]"]);
}

#[test]
fn the_helper_may_die_and_nothing_is_restarted_for_it() {
    let mut bench = begun(vec![with_health("web"), with_ready("db", tcp())]);
    let before = (bench.running(), bench.goals.clone());
    for n in 2..6 {
        bench.send(Event::CheckerEnded);
        bench.pass(SECOND * 60);
        assert_eq!(bench.checkers, (n, 0));
    }
    assert_eq!((bench.running(), bench.goals.clone()), before);
    bench.send(Event::CheckerEnded);
    bench.send(Event::Terminate);
    bench.pass(SECOND * 5);
    assert!(bench.goals.is_empty() && bench.checkers.1 == 1, "{:?}", bench.checkers);
}

#[test]
fn a_file_without_checks_has_no_helper_and_the_last_one_ends_it() {
    let mut bench = begun(vec![service("web"), with_ready("db", Probe::Notify)]);
    assert_eq!(bench.checkers, (0, 0));
    bench.reload(pipeline(vec![with_health("web"), with_ready("db", Probe::Notify)]));
    assert_eq!(bench.checkers, (1, 0));
    bench.reload(pipeline(vec![service("web"), with_ready("db", Probe::Notify)]));
    assert_eq!(bench.checkers, (1, 1));
    bench.send(Event::Terminate);
    assert_eq!(bench.checkers, (1, 1));
}

#[test]
fn a_reload_of_checks_alone_restarts_none() {
    let mut bench = begun(vec![with_health("web")]);
    let pid = bench.pid("web", 0);
    failing(&mut bench, "web", 1);
    let mut other = with_health("web");
    other.health = Some(Health { check: check(Probe::Tcp("db:2".to_owned())), failures: 1 });
    other.ready = Some(check(tcp()));
    bench.reload(pipeline(vec![other]));
    assert_eq!((bench.pid("web", 0), bench.goals.len()), (pid, 1));
    assert!(bench.goals.values().all(|goal| goal.check.probe == Probe::Tcp("db:2".to_owned())));
    assert!(bench.has_said("stage web: take over ready: unset -> tcp db:1"), "{:?}", bench.said);
    bench.reload(pipeline(vec![service("web")]));
    assert_eq!((bench.pid("web", 0), bench.goals.len()), (pid, 0));
    // One that waits to be ready does not, once nothing asks for it.
    let mut bench = begun(vec![with_ready("db", tcp())]);
    bench.reload(pipeline(vec![service("db")]));
    assert_eq!((bench.goals.len(), stage_of(&bench, "db").ready()), (0, 1));
}

#[test]
fn a_reload_to_a_service_that_is_not_ready_in_time_goes_back() {
    let mut bench = begun(vec![service("web")]);
    let mut other = with_ready("web", tcp());
    other.work.task = crate::config::Task::Command(Box::default());
    bench.reload(pipeline(vec![other]));
    bench.end_idle(bench.pid("web", 0), termed());
    bench.all_ready();
    find(&mut bench, "web", Finding::TimedOut("refused".to_owned()));
    bench.end_idle(bench.pid("web", 0), termed());
    assert!(bench.has_said("going back to the pipeline as it was"), "{:?}", bench.said);
}

#[test]
fn a_start_or_restart_with_wait_waits_until_it_is_ready() {
    let mut bench = begun(vec![with_ready("db", tcp())]);
    find(&mut bench, "db", Finding::Ready);
    let restart = bench.ask(Command::Restart(Restart { stage: "db".into(), wait: true }));
    bench.end_idle(bench.pid("db", 0), termed());
    bench.all_ready();
    assert!(!bench.answers.contains_key(&restart));
    find(&mut bench, "db", Finding::Ready);
    assert!(bench.answers[&restart].is_ok());
    bench.ask(Command::StopStage(OneStage { stage: "db".into(), wait: false }));
    bench.say("db", 0, Ending::Ordered);
    let start = bench.ask(Command::StartStage(OneStage { stage: "db".into(), wait: true }));
    bench.all_ready();
    assert!(!bench.answers.contains_key(&start));
    find(&mut bench, "db", Finding::Ready);
    assert!(bench.answers[&start].is_ok());
}

#[test]
fn workers_are_replaced_one_by_one_as_the_new_ones_are_ready() {
    let mut bench = begun(vec![Stage { processes: 2, ..with_ready("web", tcp()) }]);
    let both: Vec<_> = bench.procs.keys().copied().collect();
    for pid in &both {
        let worker = bench.procs[pid].spawn.worker;
        bench.send(Event::Found(worker, *pid, Finding::Ready));
    }
    bench.ask(Command::Restart(Restart { stage: "web".into(), wait: false }));
    assert_eq!(bench.running(), ["web[0] termed", "web[1]"]);
    bench.end_idle(both[0], termed());
    bench.all_ready();
    assert_eq!(bench.running(), ["web[0]", "web[1]"], "it runs, but it is not ready");
    find(&mut bench, "web", Finding::Ready);
    assert_eq!(bench.running(), ["web[0]", "web[1] termed"]);
}

#[test]
fn what_was_ready_is_so_under_the_next_program_and_checks_begin_anew() {
    let mut bench = begun(vec![with_health("web"), with_ready("db", tcp())]);
    failing(&mut bench, "web", 2);
    find(&mut bench, "db", Finding::Ready);
    let mut next = upgraded(&mut bench, vec![with_health("web"), with_ready("db", tcp())]);
    assert_eq!((purposes(&next), next.checkers), (vec![Purpose::Health], (1, 0)));
    failing(&mut next, "web", 1);
    assert_eq!(
        (stage_of(&next, "db").ready(), next.running()),
        (1, vec!["db[0]".to_owned(), "web[0]".to_owned()])
    );
}

/// The next program, which has taken over.
fn upgraded(bench: &mut Bench, stages: Vec<Stage>) -> Bench {
    bench.send(Event::Upgrade);
    let saved = bench.handed_over.take().expect("it is handed over");
    let mut next = Bench::new();
    next.procs.clone_from(&bench.procs);
    next.next_pid = bench.next_pid;
    next.send(Event::Resume(wanted(pipeline(stages), &[]), Box::new(saved)));
    next
}

#[test]
fn a_program_may_be_replaced_while_a_service_never_becomes_ready_but_not_within_a_change() {
    let stages = || vec![Stage { after: vec!["db".to_owned()], ..service("web") }, with_ready("db", tcp())];
    let mut bench = begun(stages());
    let mut next = upgraded(&mut bench, stages());
    next.run_starts();
    assert_eq!(next.running(), ["db[0]"]);
    next.ready(next.pid("db", 0)); // its program runs
    assert_eq!(purposes(&next), [Purpose::Ready]);
    find(&mut next, "db", Finding::Ready);
    assert_eq!(next.running(), ["db[0]", "web[0]"]);
    next.all_ready();
    assert!(next.has_said("up after"), "{:?}", next.said);
    let mut changed = stages();
    changed.push(with_ready("more", tcp()));
    next.reload(pipeline(changed));
    next.all_ready();
    next.send(Event::Upgrade);
    assert!(next.handed_over.is_none(), "there is a file to go back to");
}

#[test]
fn what_is_not_ready_yet_is_replaced_at_once() {
    let other = |port: u16| {
        let mut stage = with_ready("db", tcp());
        if let Task::Command(command) = &mut stage.work.task {
            command.invocation = Invocation::Direct(vec![format!("x{port}")]);
        }
        pipeline(vec![stage])
    };
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(other(1), &[])));
    bench.run_starts();
    bench.all_ready(); // its program runs
    for port in [2, 3] {
        let before = bench.pid("db", 0);
        bench.reload(other(port));
        assert_eq!(bench.running(), ["db[0] termed"]);
        bench.end_idle(before, termed());
        bench.run_starts();
        bench.all_ready();
        assert_eq!(bench.running(), ["db[0]"]);
    }
    let before = bench.pid("db", 0);
    let waiting = bench.ask(Command::Restart(Restart { stage: "db".into(), wait: true }));
    assert_eq!(bench.running(), ["db[0] termed"]);
    bench.end_idle(before, termed());
    bench.run_starts();
    bench.all_ready();
    assert!(!bench.answers.contains_key(&waiting));
    find(&mut bench, "db", Finding::Ready);
    assert!(bench.answers[&waiting].is_ok());
}

#[test]
fn whoever_asks_for_a_reload_while_one_is_under_way_waits_for_its_end() {
    let mut bench = begun(vec![with_ready("db", tcp())]);
    let same = || pipeline(vec![with_ready("db", tcp())]);
    let ask = |bench: &mut Bench, wait: bool| {
        let id = bench.ask(Command::Reload(Reload { wait }));
        bench.reload(same());
        id
    };
    let (at_once, waiting) = (ask(&mut bench, false), ask(&mut bench, true));
    assert_eq!(bench.answers[&at_once].as_ref().unwrap().done, "the start is under way");
    assert!(!bench.answers.contains_key(&waiting));
    find(&mut bench, "db", Finding::Ready);
    assert_eq!(bench.answers[&waiting].as_ref().unwrap().done, "reloaded");
    let nothing = ask(&mut bench, true);
    assert!(bench.answers[&nothing].as_ref().unwrap().done.ends_with("nothing to do"));
}
