use super::bench::Bench;
use crate::config::Pipeline;
use crate::service::Message;
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::{Event, Loading};
use crate::supervisor::machine::notifier::NotifyCapabilities;
use std::time::Duration;

fn chain() -> Pipeline {
    pipeline(vec![stage("a", &[], &["p"]), stage("b", &["p"], &[])])
}

const LISTENS: NotifyCapabilities = NotifyCapabilities { listens: true, watchdog: None, main_pid: None };

/// With all processes started, none of them ready.
fn started(capabilities: NotifyCapabilities) -> Bench {
    let mut bench = Bench::with_capabilities(capabilities);
    bench.send(Event::Begin(wanted(chain(), &[])));
    bench.run_starts();
    bench
}

fn up(capabilities: NotifyCapabilities) -> Bench {
    let mut bench = started(capabilities);
    bench.all_ready();
    bench
}

/// All that was told since the last call but lines for people.
fn sent(bench: &mut Bench) -> Vec<Message> {
    let sent = std::mem::take(&mut bench.sent);
    sent.into_iter().filter(|message| !matches!(message, Message::Status(_))).collect()
}

fn last_status(bench: &Bench) -> &str {
    let last = bench.sent.iter().rev().find_map(|message| match message {
        Message::Status(line) => Some(line.as_str()),
        _ => None,
    });
    last.unwrap_or("none")
}

#[test]
fn nobody_is_told_anything_and_nothing_wakes_where_nobody_listens() {
    let mut bench = up(NotifyCapabilities::default());
    assert_eq!(bench.state.deadline(), None);
    bench.send(Event::Hangup);
    bench.send(Event::Loaded(Loading::Bad("bad".into())));
    bench.send(Event::Terminate);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some() && bench.sent.is_empty(), "{:?}", bench.sent);
}

#[test]
fn ready_is_told_once_every_stage_has_started_and_more_time_asked_for_until_then() {
    let mut bench = started(LISTENS);
    bench.ready(bench.pid("a", 0));
    bench.pass(Duration::from_secs(20));
    assert_eq!(last_status(&bench), "starting 2 stages, 2 workers");
    let all = sent(&mut bench);
    let more = Message::ExtendTimeout(Duration::from_secs(20));
    assert!(
        all.len() >= 2 && all.iter().all(|message| *message == more),
        "only more time is asked for: {all:?}"
    );
    bench.ready(bench.pid("b", 0));
    assert_eq!(last_status(&bench), "2 stages, 2 workers");
    assert_eq!(sent(&mut bench), [Message::Ready]);
}

#[test]
fn behind_a_shell_the_main_process_is_named_first() {
    let mut bench = up(NotifyCapabilities { main_pid: Some(7), ..LISTENS });
    assert_eq!(sent(&mut bench), [Message::MainPid(7), Message::Ready]);
    bench.send(Event::Hangup);
    bench.reload(chain());
    assert_eq!(sent(&mut bench), [Message::Reloading, Message::Ready], "once is enough");
}

#[test]
fn a_reload_is_told_from_the_request_to_its_end() {
    let mut bench = up(LISTENS);
    sent(&mut bench);
    bench.send(Event::Hangup);
    assert_eq!(sent(&mut bench), [Message::Reloading]);
    let mut new = chain();
    new.stages[1].work.task = crate::config::Task::of("y");
    bench.reload(new);
    assert_eq!(sent(&mut bench), [Message::Reloading], "b is being replaced");
    bench.obey();
    assert_eq!(sent(&mut bench), [Message::Ready]);
}

#[test]
fn a_reload_that_nobody_asked_for_is_told_too() {
    let mut bench = up(LISTENS);
    sent(&mut bench);
    bench.send(Event::FileTouched);
    bench.pass(Duration::from_secs(1));
    bench.reload(chain());
    assert_eq!(sent(&mut bench), [], "the file says what it said");
    let mut new = chain();
    new.stages[1].processes = 2;
    bench.reload(new);
    bench.obey();
    assert_eq!(sent(&mut bench), [Message::Reloading, Message::Ready]);
}

#[test]
fn a_refused_reload_ends_with_ready_and_the_reason_stays_in_the_status() {
    let mut bench = up(LISTENS);
    sent(&mut bench);
    bench.send(Event::Hangup);
    bench.send(Event::Loaded(Loading::Bad("error: unknown key\n  | line 3".into())));
    let status = "reload refused, the file is bad: error: unknown key; still running: 2 stages, 2 workers";
    assert_eq!(last_status(&bench), status);
    assert_eq!(sent(&mut bench), [Message::Reloading, Message::Ready]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(last_status(&bench), status);
    bench.send(Event::Hangup);
    bench.reload(chain());
    assert_eq!(last_status(&bench), "2 stages, 2 workers");
}

#[test]
fn a_reload_that_goes_back_says_why() {
    let mut bench = up(LISTENS);
    sent(&mut bench);
    let mut new = chain();
    new.stages.push(stage("c", &["p"], &[]));
    bench.reload(new);
    bench.crash("c", 0);
    bench.obey();
    assert_eq!(sent(&mut bench), [Message::Reloading, Message::Ready]);
    bench.pass(Duration::from_secs(6));
    assert!(
        last_status(&bench).starts_with("reload failed: a worker of c was killed by"),
        "{:?}",
        bench.sent
    );
}

#[test]
fn the_watchdog_hears_of_every_turn_that_is_due() {
    let mut bench = up(NotifyCapabilities { watchdog: Some(Duration::from_secs(4)), ..LISTENS });
    sent(&mut bench);
    bench.pass(Duration::from_secs(40));
    assert_eq!(sent(&mut bench), vec![Message::Watchdog; 20]);
}

#[test]
fn a_stop_is_told_and_more_time_is_asked_for_as_long_as_it_takes() {
    let mut bench = up(LISTENS);
    sent(&mut bench);
    bench.send(Event::Terminate);
    let more = Message::ExtendTimeout(Duration::from_secs(20));
    assert_eq!(sent(&mut bench), [Message::Stopping, more.clone()]);
    bench.pass(Duration::from_secs(12));
    assert_eq!(last_status(&bench), "draining");
    assert_eq!(sent(&mut bench), [more.clone(), more]);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some());
    assert_eq!(sent(&mut bench), []);
}

#[test]
fn an_end_of_its_own_is_told_too() {
    let mut bench = up(LISTENS);
    sent(&mut bench);
    bench.say("a", 0, crate::queue::Ending::Finished);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some());
    assert_eq!(sent(&mut bench)[0], Message::Stopping);
}
