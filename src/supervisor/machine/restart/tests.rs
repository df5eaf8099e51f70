use super::*;
use crate::sys::process::{SpawnError, StartStep};
use crate::sys::wait::{Exit, SignalNumber};
use nix::errno::Errno;

const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(100),
    max: Duration::from_secs(30),
    reset_after: Duration::from_secs(60),
};

#[test]
fn the_first_restart_is_immediate_and_the_others_wait_twice_as_long_each() {
    let delays: Vec<u128> = (0..12).map(|n| delay(&BACKOFF, n, 1.0).as_millis()).collect();
    assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
    assert_eq!(delay(&BACKOFF, u32::MAX, 1.0), BACKOFF.max);
}

#[test]
fn jitter_shortens_a_delay_by_at_most_half() {
    assert_eq!(delay(&BACKOFF, 20, 0.5), BACKOFF.max / 2);
}

#[test]
fn only_more_restarts_than_allowed_within_the_window_are_too_many() {
    let limit = GiveUp { restarts: 3, within: Duration::from_secs(60) };
    let start = Instant::now();
    let mut intensity = Intensity::default();
    let mut restart_at =
        |seconds| intensity.exceeded(&limit, CountedFor::Stage, start + Duration::from_secs(seconds));
    assert!(![0, 10, 20].map(&mut restart_at).contains(&true));
    assert!(!restart_at(61), "the first one is out of the window");
    assert!(restart_at(62));
}

#[test]
fn restarts_of_other_processes_count_for_none() {
    let limit = GiveUp { restarts: 1, within: Duration::from_secs(60) };
    let now = Instant::now();
    let mut intensity = Intensity::default();
    let mut restarted = |index| intensity.exceeded(&limit, CountedFor::Process(index), now);
    assert!(![0, 1, 2, 3].map(&mut restarted).contains(&true));
    assert!(restarted(2));
    intensity.forget(CountedFor::Process(2));
    assert!(!intensity.exceeded(&limit, CountedFor::Process(2), now));
    assert!(intensity.exceeded(&limit, CountedFor::Process(3), now));
    let mut next = Intensity::default();
    next.add_ages(&intensity.ages(CountedFor::Process(3), now), CountedFor::Process(3), now);
    assert_eq!(next.ages(CountedFor::Process(3), now), [Duration::ZERO; 2]);
    assert_eq!(next.ages(CountedFor::Stage, now), []);
}

fn ends() -> Vec<End> {
    let said = [
        Ending::Finished,
        Ending::InputEnded,
        Ending::OutputClosed,
        Ending::Ordered,
        Ending::Recycled,
        Ending::TimedOut,
        Ending::Failed("no".into()),
    ];
    let died = [Exit::Code(0), Exit::Code(1), Exit::Signal(SignalNumber(libc::SIGKILL))];
    let mut ends: Vec<End> = said.into_iter().map(End::Said).collect();
    ends.extend(died.map(End::Died));
    ends.extend([End::CannotStart("no".into()), End::ProgramKilled("no".into()), End::Terminated]);
    ends.push(End::NotNow("no".into()));
    ends.push(End::NotStarted(SpawnError { step: StartStep::Fork, errno: Errno::EAGAIN }));
    ends
}

const REASONS: [Option<StopReason>; 8] = [
    None,
    Some(StopReason::Scaled),
    Some(StopReason::Removed),
    Some(StopReason::Changed),
    Some(StopReason::OutputClosed),
    Some(StopReason::GaveUp),
    Some(StopReason::Stopping),
    Some(StopReason::HoldsLock),
];

/// Every end in every circumstance.
fn all() -> Vec<(End, Circumstances)> {
    let mut all = Vec::new();
    for end in ends() {
        for requested in REASONS {
            for leaving in [false, true] {
                for stop in [Stopping::No, Stopping::Draining, Stopping::Killing] {
                    for restart in [Restart::Always, Restart::OnFailure, Restart::Never] {
                        for shares_position in [false, true] {
                            for killed_externally in [false, true] {
                                let given = Circumstances {
                                    requested,
                                    leaving,
                                    stop,
                                    killed_externally,
                                    restart,
                                    shares_position,
                                    is_scheduled: false,
                                };
                                all.push((end.clone(), given));
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

fn each(promise: impl Fn(&End, &Circumstances, Next) -> bool) {
    for (end, given) in all() {
        let next = after(&end, &given);
        assert!(promise(&end, &given, next), "{end:?} {given:?} -> {next:?}");
    }
}

#[test]
fn a_run_of_a_schedule_is_followed_by_its_next_time_alone() {
    for (end, given) in all() {
        let given = Circumstances { is_scheduled: true, ..given };
        let next = after(&end, &given);
        let goes_on = given.stop == Stopping::No && !given.leaving;
        let is_over = matches!(next, Next::Over(Over::OutputClosed | Over::GaveUp | Over::Stopped));
        let is_leaving = next == Next::Leave;
        assert!(!goes_on || next == Next::Wait || is_over || is_leaving, "{end:?} {given:?} -> {next:?}");
        assert!(goes_on || next != Next::Wait, "{end:?} {given:?}");
    }
    let asked = Circumstances { requested: Some(StopReason::Requested), is_scheduled: true, ..all()[0].1 };
    let next = after(&End::Said(Ending::Ordered), &asked);
    assert_eq!(next, Next::Now(StartReason::Requested), "a restart by hand is a run at once");
}

fn starts(next: Next) -> bool {
    matches!(next, Next::Now(_) | Next::Restart(_) | Next::Uncounted(_))
}

#[test]
fn nothing_is_started_while_all_are_to_go() {
    each(|_, given, next| given.stop != Stopping::Killing || !starts(next));
}

#[test]
fn a_leaving_worker_is_never_started_again() {
    each(|_, given, next| !given.leaving || !starts(next));
}

#[test]
fn never_means_never_after_a_failure() {
    each(|end, given, next| {
        let failed = end.is_failure() && given.requested.is_none() && given.restart == Restart::Never;
        !failed || !starts(next)
    });
}

#[test]
fn a_failure_that_nobody_asked_for_is_restarted_unless_the_file_says_never() {
    each(|end, given, next| {
        let wanted = !given.leaving && given.stop == Stopping::No && given.restart != Restart::Never;
        let failed = end.is_failure() && given.requested.is_none();
        let restart = match (given.killed_externally, end) {
            (true, _) => Next::Uncounted(StartReason::Killed),
            (false, End::NotNow(_)) => Next::Uncounted(StartReason::Failed),
            (false, _) => Next::Restart(StartReason::Failed),
        };
        !(wanted && failed) || next == restart
    });
}

#[test]
fn what_ends_by_a_signal_from_outside_counts_for_no_intensity() {
    each(|end, given, next| {
        let unasked = given.killed_externally && given.requested.is_none();
        let killed = end.is_failure() || *end == End::Terminated;
        !(unasked && killed && matches!(next, Next::Restart(_)))
    });
}

#[test]
fn a_signal_is_from_outside_unless_the_supervisor_sent_it_itself() {
    use crate::supervisor::machine::worker_state::StopRequest;
    let now = Instant::now();
    let finish = StopRequest::Finish(StopReason::Scaled, None);
    let ours = [StopRequest::Term(StopReason::Stopping, now), StopRequest::Kill(StopReason::HoldsLock)];
    for signal in [libc::SIGKILL, libc::SIGTERM] {
        let end = End::Died(Exit::Signal(SignalNumber(signal)));
        assert!(StopRequest::Nothing.killed_externally(&end) && finish.killed_externally(&end));
        assert!(!ours.iter().any(|requested| requested.killed_externally(&end)));
    }
    assert!(
        StopRequest::Nothing.killed_externally(&End::Terminated)
            && !ours[0].killed_externally(&End::Terminated)
    );
    for own in [libc::SIGSEGV, libc::SIGXCPU, libc::SIGABRT] {
        assert!(!StopRequest::Nothing.killed_externally(&End::Died(Exit::Signal(SignalNumber(own)))));
    }
}

#[test]
fn the_exit_code_tells_what_the_slot_has_no_word_for() {
    let failed = || Some(Ending::Failed("why".into()));
    assert_eq!(End::new(failed(), Exit::Code(1)), End::Said(Ending::Failed("why".into())));
    assert_eq!(End::new(failed(), Exit::Code(126)), End::CannotStart("why".into()));
    assert_eq!(End::new(failed(), Exit::Code(75)), End::NotNow("why".into()));
    assert_eq!(End::new(failed(), Exit::Code(137)), End::ProgramKilled("why".into()));
    assert_eq!(End::new(Some(Ending::Ordered), Exit::Code(143)), End::Terminated);
    assert_eq!(End::new(Some(Ending::Ordered), Exit::Code(0)), End::Said(Ending::Ordered));
    assert_eq!(End::new(None, Exit::Code(126)), End::Died(Exit::Code(126)));
}

#[test]
fn finished_input_and_closed_output_are_for_good_whatever_the_file_says() {
    each(|end, given, next| {
        let for_good = matches!(end, End::Said(Ending::InputEnded | Ending::OutputClosed));
        !for_good || given.leaving || matches!(next, Next::Over(_))
    });
}

#[test]
fn always_starts_a_finished_worker_again_but_a_shared_position_only_as_a_whole() {
    each(|end, given, next| {
        let plain = given.requested.is_none() && !given.leaving && given.stop == Stopping::No;
        if *end != End::Said(Ending::Finished) || !plain {
            return true;
        }
        match (given.restart, given.shares_position) {
            (Restart::Always, false) => next == Next::Restart(StartReason::Always),
            (Restart::Always, true) | (Restart::OnFailure | Restart::Never, _) => {
                next == Next::Over(Over::Finished)
            }
        }
    });
}

#[test]
fn a_worker_that_made_room_for_changed_work_is_followed_at_once_however_it_went() {
    each(|end, given, next| {
        let made_room =
            given.requested == Some(StopReason::Changed) && !given.leaving && given.stop != Stopping::Killing;
        let through = matches!(end, End::Said(Ending::Finished | Ending::InputEnded | Ending::OutputClosed));
        !made_room || through || next == Next::Now(StartReason::Changed)
    });
}
