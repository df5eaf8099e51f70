use super::*;

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

fn process(now: Instant, requested: StopRequest, ready: bool) -> Process {
    Process { slot: SlotId(1), pid: Pid(7), since: now, ready, requested }
}

fn requests(now: Instant) -> Vec<StopRequest> {
    let why = StopReason::Stopping;
    vec![
        StopRequest::Nothing,
        StopRequest::Finish(StopReason::Changed, None),
        StopRequest::Finish(why, Some(now)),
        StopRequest::Finish(why, Some(now + STOP_TIMEOUT)),
        StopRequest::Term(why, now),
        StopRequest::Term(why, now + STOP_TIMEOUT),
        StopRequest::Kill(why),
    ]
}

fn lives(now: Instant) -> Vec<Life> {
    let why = StartReason::Failed;
    let mut lives = vec![
        Life::Due(why),
        Life::BackOff { until: now, why },
        Life::BackOff { until: now + STOP_TIMEOUT, why },
        Life::Over(Over::Finished),
    ];
    for requested in requests(now) {
        lives.push(Life::Forking { slot: SlotId(1), requested });
        lives.extend([false, true].map(|ready| Life::Alive(process(now, requested, ready))));
    }
    lives
}

fn steps(now: Instant) -> Vec<WorkerEvent> {
    let mut steps = vec![
        WorkerEvent::Start(SlotId(2)),
        WorkerEvent::Spawned(Pid(9)),
        WorkerEvent::Ready,
        WorkerEvent::CancelStop,
        WorkerEvent::Tick,
        WorkerEvent::Ended(Life::Due(StartReason::Failed)),
        WorkerEvent::Ended(Life::Over(Over::Stopped)),
    ];
    steps.extend(requests(now).into_iter().map(WorkerEvent::Ask));
    steps
}

/// Every step of every life.
fn each(promise: impl Fn(Life, WorkerEvent, Life, Option<WorkerEffect>) -> bool) {
    let now = Instant::now();
    for life in lives(now) {
        for step in steps(now) {
            let (next, push) = life.on(step, now, STOP_TIMEOUT);
            assert!(promise(life, step, next, push), "{life:?} + {step:?} -> {next:?}, {push:?}");
        }
    }
}

fn requested(life: Life) -> StopRequest {
    match life {
        Life::Alive(process) => process.requested,
        Life::Forking { requested, .. } => requested,
        Life::Due(_) | Life::BackOff { .. } | Life::Over(_) => StopRequest::Nothing,
    }
}

#[test]
fn a_process_is_started_only_for_a_worker_that_is_due() {
    each(|life, step, next, push| {
        let started = matches!((life, step), (Life::Due(_), WorkerEvent::Start(_)));
        let spawns = matches!(push, Some(WorkerEffect::Spawn(_)));
        started == spawns && started == (!life.has_process() && next.has_process())
    });
}

#[test]
fn a_process_is_forgotten_only_when_it_ended() {
    each(|life, step, next, _| {
        !life.has_process() || next.has_process() || matches!(step, WorkerEvent::Ended(_))
    });
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
        let (before, after) = (requested(life), requested(next));
        let cancelled = step == WorkerEvent::CancelStop && matches!(before, StopRequest::Finish(..));
        !next.has_process() || after.rank() >= before.rank() || cancelled
    });
}

#[test]
fn every_harder_way_to_go_is_pushed_once() {
    each(|life, step, next, push| {
        let Life::Alive(before) = life else { return true };
        let harder = next.process().is_some_and(|after| after.requested.rank() > before.requested.rank());
        let cancelled = step == WorkerEvent::CancelStop && before.requested.rank() == 1;
        (harder || cancelled) == push.is_some()
    });
    let (life, push) = Life::Forking { slot: SlotId(1), requested: StopRequest::Kill(StopReason::Stopping) }
        .on(WorkerEvent::Spawned(Pid(3)), Instant::now(), STOP_TIMEOUT);
    assert!(matches!(push, Some(WorkerEffect::Kill(Process { pid: Pid(3), .. }, _))), "{life:?}");
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
        let (next, _) = life.on(WorkerEvent::Tick, due, STOP_TIMEOUT);
        assert!(next.deadline().is_none_or(|later| later > due), "{life:?} -> {next:?}");
    }
}

#[test]
fn a_worker_that_ignores_everything_is_killed_in_the_end() {
    let now = Instant::now();
    let (life, push) = Life::Alive(process(now, StopRequest::Nothing, true)).on(
        WorkerEvent::Ask(StopRequest::Finish(StopReason::GaveUp, Some(now + STOP_TIMEOUT))),
        now,
        STOP_TIMEOUT,
    );
    assert!(matches!(push, Some(WorkerEffect::Order(_, Order::Finish))));
    let (life, push) = life.on(WorkerEvent::Tick, now + STOP_TIMEOUT, STOP_TIMEOUT);
    assert!(matches!(push, Some(WorkerEffect::Term(_, StopReason::GaveUp))));
    let (life, push) = life.on(WorkerEvent::Tick, now + STOP_TIMEOUT * 2, STOP_TIMEOUT);
    assert!(matches!(push, Some(WorkerEffect::Kill(_, StopReason::GaveUp))));
    assert_eq!(life.deadline(), None);
}
