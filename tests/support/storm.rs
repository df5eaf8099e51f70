//! A storm of kills over a run that is fed as long as the storm has not raged enough: how fast the machine is and how
//! busy decides how long it takes, not how much it shows.

use super::{Folder, Run, process, wait_until};
use std::io::Write;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Kills the workers of a stage again and again until the run has ended. Part `i` of what is typed to the run's
/// standard input (`part(i)`) comes only after `2 * i` kills. After ten times as many as that takes in all it is over:
/// on a machine so busy that no worker gets anywhere between two kills, the run would not end. Returns the number of
/// kills.
pub fn storm(run: &mut Run, stage: &str, parts: u32, part: impl Fn(u32) -> Vec<u8> + Send + 'static) -> u32 {
    let kills = Arc::new(AtomicU32::new(0));
    let (mut pipe, seen) = (run.child.stdin.take().unwrap(), kills.clone());
    let feeder = thread::spawn(move || {
        for i in 0..parts {
            wait_until("some kills", || (seen.load(Relaxed) >= 2 * i).then_some(()));
            pipe.write_all(&part(i)).unwrap();
        }
    });
    wait_until("the end under a storm of kills", || {
        let rages = kills.load(Relaxed) < 20 * parts;
        for pid in run.workers(stage).into_iter().filter(|_| rages) {
            kills.fetch_add(u32::from(process::kill(pid, libc::SIGKILL)), Relaxed);
        }
        thread::sleep(Duration::from_millis(1));
        run.child.try_wait().unwrap()
    });
    feeder.join().unwrap();
    kills.load(Relaxed)
}

/// Starts a durable run and kills all of its processes, again and again, until it is through (`is_through`: all of its work
/// is done) or has died `most` times and may end. Returns the number of deaths. A run after one that is through would begin anew.
pub fn deaths_of_everything(
    folder: &Folder,
    most: u64,
    start: impl Fn() -> Child,
    is_through: impl Fn() -> bool,
) -> u64 {
    for deaths in 0.. {
        let mut run = start();
        thread::sleep(Duration::from_millis(20 + 7 * (deaths % 9)));
        if is_through() || deaths >= most {
            assert!(run.wait().unwrap().success());
            return deaths;
        }
        for pid in process::in_folder(folder.path()).into_iter().chain([run.id()]) {
            process::kill(pid, libc::SIGKILL);
        }
        let ended = run.wait().unwrap();
        wait_until("all of it to be gone", || process::in_folder(folder.path()).is_empty().then_some(()));
        if ended.success() || is_through() {
            return deaths; // its work was done before it could be killed
        }
    }
    unreachable!("it dies most times at most")
}
