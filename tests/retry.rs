//! A failed item waits for its next attempt, and the others pass it.

mod support;

use std::time::{Duration, Instant};
use support::{Folder, Run, wait_until};

/// Runs `1` to `9` through a program for each item, that fails for the first `failures` attempts of item 3.
fn run(settings: &str, failures: u32) -> Run {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        &format!(
            "{settings}\n\
             [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 9 }}\noutput = 'a'\n\
             [stages.work]\ninput = 'a'\noutput = 'b'\nmode = 'each'\ncommand = '''\n\
             read x; if test $x = 3; then date +%s%N >> tries; test $(wc -l < tries) -gt {failures} || exit 1; fi; echo $x'''\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        ),
    );
    Run::in_folder(folder, &[])
}

/// The pauses between the attempts of item 3.
fn pauses(run: &Run) -> Vec<Duration> {
    let tries = std::fs::read_to_string(run.folder.path().join("tries")).unwrap_or_default();
    let times: Vec<u64> = tries.lines().map(|line| line.parse().unwrap()).collect();
    times.windows(2).map(|pair| Duration::from_nanos(pair[1] - pair[0])).collect()
}

#[test]
fn others_pass_an_item_that_has_failed_and_the_run_ends_with_it() {
    let mut run = run("", 2);
    assert_eq!(run.finish(), ["1", "2", "4", "5", "6", "7", "8", "9", "3"]);
    let pauses = pauses(&run);
    let at_least = [100, 200].map(Duration::from_millis);
    assert!(
        pauses.len() == 2 && pauses.iter().zip(at_least).all(|(pause, least)| *pause >= least),
        "{pauses:?}"
    );
    assert!(
        run.stderr().contains("failed (attempt 1 of 3): it ended with exit code 1; again in "),
        "{}",
        run.stderr()
    );
}

#[test]
fn without_a_delay_it_is_the_next_one_again() {
    let mut run = run("[defaults]\nretry = { delay = '0s' }", 2);
    assert_eq!(run.finish(), ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn no_delay_is_longer_than_the_longest() {
    let mut run = run("[defaults]\nattempts = 20\nretry = { delay = '20ms', max = '40ms' }", 10);
    let start = Instant::now();
    assert_eq!(run.finish().len(), 9);
    assert_eq!(pauses(&run).len(), 10);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_stop_leaves_what_is_delayed_and_says_how_much_it_is() {
    let mut run = run("drain_timeout = '200ms'\n[defaults]\nretry = { delay = '10m', max = '1h' }", 1);
    wait_until("the last item", || run.lines().contains(&"9".to_owned()).then_some(()));
    run.signal(libc::SIGTERM);
    let code = run.wait();
    let stderr = run.stderr();
    assert!(stderr.contains("1 left for a later try"), "{code}: {stderr}");
}
