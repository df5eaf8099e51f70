//! A storm of kills over a run that is fed as long as the storm has not raged enough: how fast the machine is and how
//! busy decides how long it takes, not how much it shows.

use super::{Folder, Run, process, wait_until};
use std::collections::HashSet;
use std::io::Write;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Kills the workers of a stage again and again until the run has ended. Part `i` of what is typed to the run's
/// standard input (`part(i)`) comes only after `2 * i` kills. After ten times as many as that takes in all it is over:
/// on a machine so busy that no worker gets anywhere between two kills, the run would not end. Returns the number of
/// kills: a process counts once, though it is killed again before it is gone.
pub fn storm(run: &mut Run, stage: &str, parts: u32, part: impl Fn(u32) -> Vec<u8> + Send + 'static) -> u32 {
    let kills = Arc::new(AtomicU32::new(0));
    let (mut pipe, seen) = (run.child.stdin.take().unwrap(), kills.clone());
    let feeder = thread::spawn(move || {
        for i in 0..parts {
            wait_until("some kills", || (seen.load(Relaxed) >= 2 * i).then_some(()));
            pipe.write_all(&part(i)).unwrap();
        }
    });
    let mut dead = HashSet::new();
    wait_until("the end under a storm of kills", || {
        let rages = kills.load(Relaxed) < 20 * parts;
        for pid in run.workers(stage).into_iter().filter(|_| rages) {
            if process::kill(pid, libc::SIGKILL) && dead.insert(pid) {
                kills.fetch_add(1, Relaxed);
            }
        }
        thread::sleep(Duration::from_millis(1));
        run.child.try_wait().unwrap()
    });
    feeder.join().unwrap();
    kills.load(Relaxed)
}

/// The same, while the run puts its program in its own place again and again. Returns the number of kills, and of upgrades.
pub fn storm_with_upgrades(
    run: &mut Run,
    stage: &str,
    parts: u32,
    part: impl Fn(u32) -> Vec<u8> + Send + 'static,
) -> (u32, usize) {
    let (is_over, supervisor) = (Arc::new(AtomicBool::new(false)), run.pid());
    let (ends, log) = (is_over.clone(), run.folder.path().join("stderr"));
    let upgrades = move || std::fs::read_to_string(&log).unwrap_or_default().matches("took over").count();
    let seen = upgrades.clone();
    let upgrading = thread::spawn(move || {
        while !ends.load(Relaxed) {
            let before = seen();
            process::kill(supervisor, libc::SIGUSR2);
            wait_until("an upgrade", || (ends.load(Relaxed) || seen() > before).then_some(()));
        }
    });
    let kills = storm(run, stage, parts, part);
    is_over.store(true, Relaxed);
    upgrading.join().unwrap();
    (kills, upgrades())
}

/// Starts a durable run and kills all of its processes, again and again, until it is through (as many lines as `all` are
/// written) or has died `most` times and may end. Every other time it dies as it starts, else when it has written
/// something. Returns the number of deaths. A run after one that is through would begin anew.
pub fn deaths_of_everything(
    folder: &Folder,
    most: u64,
    start: impl Fn() -> Child,
    (written, all): (impl Fn() -> usize, usize),
) -> u64 {
    for deaths in 0.. {
        let before = written();
        let mut run = start();
        if deaths % 2 == 1 {
            wait_until("more lines", || (written() > before || !process::is_alive(run.id())).then_some(()));
        }
        thread::sleep(Duration::from_millis(7 * (deaths % 9))); // anywhere in what it does
        if written() >= all || deaths >= most {
            assert!(run.wait().unwrap().success());
            return deaths;
        }
        kill_all(folder, &run);
        let ended = run.wait().unwrap();
        wait_until("all of it to be gone", || process::in_folder(folder.path()).is_empty().then_some(()));
        if ended.success() || written() >= all {
            return deaths; // its work was done before it could be killed
        }
    }
    unreachable!("it dies most times at most")
}

fn kill_all(folder: &Folder, run: &Child) {
    for pid in process::in_folder(folder.path()).into_iter().chain([run.id()]) {
        process::kill(pid, libc::SIGKILL);
    }
}

/// Starts a durable run, kills the workers of a stage once they have written some lines more, and stops it right behind that:
/// again and again, until as many lines as `all` are written. Returns the number of stops with a kill before.
pub fn stops_behind_kills(
    folder: &Folder,
    stage: &str,
    start: impl Fn() -> Child,
    (written, all): (impl Fn() -> usize, usize),
) -> usize {
    let mut stops = 0;
    loop {
        let before = written();
        let mut run = start();
        let enough = before + 1 + 3 * (stops % 7);
        wait_until("more lines", || (written() >= enough || !process::is_alive(run.id())).then_some(()));
        let killed = process::with_variable(run.id(), "MPRUN_STAGE", stage)
            .into_iter()
            .filter(|&pid| process::kill(pid, libc::SIGKILL))
            .count();
        process::kill(run.id(), libc::SIGTERM);
        run.wait().unwrap(); // on a busy machine also by the signal, before it is handled
        wait_until("all of it to be gone", || process::in_folder(folder.path()).is_empty().then_some(()));
        // All that the runs have left is through: one more would begin anew.
        if written() >= all {
            return stops;
        }
        stops += usize::from(killed > 0);
    }
}
