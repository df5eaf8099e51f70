//! A server that is away for a while, and workers that are killed all at once: nothing is lost, nothing spins.

mod support;

use std::time::{Duration, Instant};
use support::nginx::{Nginx, free_port};
use support::{Folder, Run, process, wait_until};

const ITEMS: usize = 300;

/// Asks a server for each item, by four processes; the settings of `retry` are given, all others are the default ones.
fn asking(folder: &Folder, port: u16, retry: &str) {
    folder.file(
        "pipeline.toml",
        &format!(
            "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {ITEMS} }}\noutput = 'a'\n\
             [stages.ask]\nmode = 'each'\nprocesses = 4\ninput = 'a'\noutput = 'b'\nretry = {{ {retry} }}\n\
             command = 'read n; echo $n >> tries; curl -sSf http://127.0.0.1:{port}/$n > /dev/null && echo $n && sleep 0.05'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        ),
    );
}

/// The server goes away for a while, in the middle of the work: no dead letter, few tries, and the work goes on within
/// `retry.max` and a moment of its return.
fn away(time: Duration, retry: &str, max: Duration) {
    let (folder, port) = (Folder::new(), free_port());
    let nginx = Nginx::start(&folder, port, "return 200 'ok';");
    asking(&folder, port, retry);
    let path = folder.path().to_owned();
    let tries = move || std::fs::read_to_string(path.join("tries")).unwrap_or_default().lines().count();
    let mut run = Run::in_folder(folder, &[]);
    wait_until("some answers", || (run.lines().len() >= 8).then_some(()));
    nginx.stop();
    let gone = Instant::now();
    // An item that had its answer before may still be done after the first five have failed: then it begins once more.
    for (verb, code) in [(vec!["status"], 0), (vec!["why"], 0), (vec!["status", "--check"], 1)] {
        wait_until(&format!("{verb:?} to say so"), || {
            let said = run.ask(&verb);
            let says_so = said.stdout.contains("failing (for ") && said.stdout.contains("connect");
            (says_so && said.code == Some(code)).then_some(())
        });
    }
    let before = tries();
    wait_until("the end of the outage", || (gone.elapsed() >= time).then_some(()));
    let spent = tries() - before;
    // Four in flight when it began; the first ten probes come every 200 ms, the others in bursts of one for each second of
    // their wait, of which the last may have come at the start of its time.
    let bound = 4 + 8 + (gone.elapsed() + time.min(max)).as_secs() as usize;
    assert!(spent <= bound, "{spent} tries in {:?}, more than {bound}", gone.elapsed());
    let done = run.lines().len();
    let nginx = Nginx::start(&run.folder, port, "return 200 'ok';");
    let back = Instant::now();
    wait_until("the next answer", || (run.lines().len() > done).then_some(()));
    // Without `max` it could take as long as the outage. The moment is that of a busy machine, for a probe.
    assert!(back.elapsed() < max + Duration::from_secs(5), "it went on after {:?}", back.elapsed());
    let mut lines: Vec<usize> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=ITEMS).collect::<Vec<_>>());
    assert!(run.stderr().contains("the stage ask is no longer failing"), "{}", run.stderr());
    nginx.stop();
}

#[test]
fn a_server_that_is_away_for_a_second_makes_no_dead_letter_and_no_hot_loop() {
    away(Duration::from_secs(1), "delay = '200ms'", Duration::from_secs(30));
}

#[test]
fn nor_does_one_that_is_away_for_half_a_minute() {
    away(Duration::from_secs(30), "max = '5s'", Duration::from_secs(5));
}

#[test]
fn a_kill_of_all_workers_at_once_loses_nothing_and_the_stage_does_not_give_up() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 400 }\noutput = 'a'\n\
         [stages.work]\nprocesses = 20\nuse = 'format'\nwith = { template = '{item}' }\nsleep = '50ms'\ninput = 'a'\n\
         output = 'b'\n\
         [stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'b'\n",
    );
    wait_until("some work", || (run.lines().len() >= 20).then_some(()));
    let workers = run.workers("work");
    assert_eq!(workers.len(), 20);
    workers.into_iter().for_each(|worker| _ = process::kill(worker, libc::SIGKILL));
    let mut lines: Vec<usize> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=400).collect::<Vec<_>>(), "{}", run.stderr());
}
