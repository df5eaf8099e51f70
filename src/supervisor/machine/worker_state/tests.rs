use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn process(now: Instant, asked: Asked, ready: bool) -> Process {
    Process { slot: SlotId(1), pid: Pid(7), since: now, ready, asked }
}

fn asks(now: Instant) -> Vec<Asked> {
    let why = StopReason::Stopping;
    vec![
        Asked::Nothing,
        Asked::Finish(StopReason::Changed, None),
        Asked::Finish(why, Some(now)),
        Asked::Finish(why, Some(now + PATIENCE)),
        Asked::Term(why, now),
        Asked::Term(why, now + PATIENCE),
        Asked::Kill(why),
    ]
}

fn lives(now: Instant) -> Vec<Life> {
    let why = StartReason::Failed;
    let mut lives = vec![
        Life::Due(why),
        Life::Resting { until: now, why },
        Life::Resting { until: now + PATIENCE, why },
        Life::Over(Over::Finished),
    ];
    for asked in asks(now) {
        lives.push(Life::Forking { slot: SlotId(1), asked });
        lives.extend([false, true].map(|ready| Life::Alive(process(now, asked, ready))));
    }
    lives
}

fn steps(now: Instant) -> Vec<Step> {
    let mut steps = vec![
        Step::Start(SlotId(2)),
        Step::Spawned(Pid(9)),
        Step::Ready,
        Step::Relent,
        Step::Tick,
        Step::Ended(Life::Due(StartReason::Failed)),
        Step::Ended(Life::Over(Over::Stopped)),
    ];
    steps.extend(asks(now).into_iter().map(Step::Ask));
    steps
}

/// Every step of every life.
fn each(promise: impl Fn(Life, Step, Life, Option<Push>) -> bool) {
    let now = Instant::now();
    for life in lives(now) {
        for step in steps(now) {
            let (next, push) = life.step(step, now, PATIENCE);
            assert!(promise(life, step, next, push), "{life:?} + {step:?} -> {next:?}, {push:?}");
        }
    }
}

fn asked(life: Life) -> Asked {
    match life {
        Life::Alive(process) => process.asked,
        Life::Forking { asked, .. } => asked,
        Life::Due(_) | Life::Resting { .. } | Life::Over(_) => Asked::Nothing,
    }
}

#[test]
fn a_process_is_started_only_for_a_worker_that_is_due() {
    each(|life, step, next, push| {
        let started = matches!((life, step), (Life::Due(_), Step::Start(_)));
        let spawns = matches!(push, Some(Push::Spawn(_)));
        started == spawns && started == (!life.has_process() && next.has_process())
    });
}

#[test]
fn a_process_is_forgotten_only_when_it_ended() {
    each(|life, step, next, _| !life.has_process() || next.has_process() || matches!(step, Step::Ended(_)));
}

#[test]
fn a_living_process_keeps_its_pid_and_its_slot() {
    each(|life, _, next, _| match (life.process(), next.process()) {
        (Some(old), Some(new)) => old.pid == new.pid && old.slot == new.slot,
        (None, _) | (_, None) => true,
    });
}

#[test]
fn nothing_gets_gentler_but_a_finish_that_is_taken_back() {
    each(|life, step, next, _| {
        let (before, after) = (asked(life), asked(next));
        let relented = step == Step::Relent && matches!(before, Asked::Finish(..));
        !next.has_process() || after.rank() >= before.rank() || relented
    });
}

#[test]
fn every_harder_way_to_go_is_pushed_once() {
    each(|life, step, next, push| {
        let Life::Alive(before) = life else { return true };
        let harder = next.process().is_some_and(|after| after.asked.rank() > before.asked.rank());
        let relented = step == Step::Relent && before.asked.rank() == 1;
        (harder || relented) == push.is_some()
    });
    let (life, push) = Life::Forking { slot: SlotId(1), asked: Asked::Kill(StopReason::Stopping) }.step(
        Step::Spawned(Pid(3)),
        Instant::now(),
        PATIENCE,
    );
    assert!(matches!(push, Some(Push::Kill(Process { pid: Pid(3), .. }, _))), "{life:?}");
}

#[test]
fn what_is_over_stays_over() {
    each(|life, _, next, push| !life.is_over() || (next == life && push.is_none()));
}

#[test]
fn time_that_has_come_changes_something_so_that_nobody_waits_for_it_in_a_circle() {
    let now = Instant::now();
    for life in lives(now) {
        let Some(due) = life.deadline() else { continue };
        let (next, _) = life.step(Step::Tick, due, PATIENCE);
        assert!(next.deadline().is_none_or(|later| later > due), "{life:?} -> {next:?}");
    }
}

#[test]
fn a_worker_that_ignores_everything_is_killed_in_the_end() {
    let now = Instant::now();
    let (life, push) = Life::Alive(process(now, Asked::Nothing, true)).step(
        Step::Ask(Asked::Finish(StopReason::GaveUp, Some(now + PATIENCE))),
        now,
        PATIENCE,
    );
    assert!(matches!(push, Some(Push::Order(_, Order::Finish))));
    let (life, push) = life.step(Step::Tick, now + PATIENCE, PATIENCE);
    assert!(matches!(push, Some(Push::Term(_, StopReason::GaveUp))));
    let (life, push) = life.step(Step::Tick, now + PATIENCE * 2, PATIENCE);
    assert!(matches!(push, Some(Push::Kill(_, StopReason::GaveUp))));
    assert_eq!(life.deadline(), None);
}
