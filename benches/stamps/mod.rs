//! A program that stamps a file with the monotonic time of its main(), and the bare loop that keeps it running. Both are
//! the bench itself.

use crate::support::{process, wait_until};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The first thing that the bench's main() does: with `stamp FILE` it is the program, with `job FILE …` one that ends at
/// once, with `keep N FILE` the bare loop.
pub fn serve() {
    let now = now();
    let words: Vec<String> = std::env::args().collect();
    match words.get(1..) {
        Some([what, file]) if what == "stamp" => {
            stamp(Path::new(file), now);
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
        Some([what, file, ..]) if what == "job" => {
            stamp(Path::new(file), now);
            std::process::exit(0);
        }
        Some([what, n, file]) if what == "keep" => keep(n.parse().unwrap(), Path::new(file)),
        _ => {}
    }
}

fn stamp(file: &Path, now: u128) {
    let mut to = OpenOptions::new().append(true).create(true).open(file).unwrap();
    to.write_all(format!("{} {now}\n", std::process::id()).as_bytes()).unwrap();
}

fn keep(n: usize, file: &Path) -> ! {
    let start = || {
        let mut command = Command::new(own());
        command.arg("stamp").arg(file).stdin(Stdio::null());
        drop(command.spawn().unwrap());
    };
    (0..n).for_each(|_| start());
    loop {
        // SAFETY: waits for any child; its status is not looked at.
        unsafe { libc::wait(std::ptr::null_mut()) };
        start();
    }
}

/// Nanoseconds of the clock that the stamps are of.
pub fn now() -> u128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is written into a struct of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u128 * 1_000_000_000 + time.tv_nsec as u128
}

/// This program.
pub fn own() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// The bare loop around fork, exec and wait, for this number of programs.
pub fn bare_loop(n: usize, stamps: &Stamps) -> Command {
    let mut command = Command::new(own());
    command.arg("keep").arg(n.to_string()).arg(&stamps.file);
    command
}

/// The file with all stamps.
pub struct Stamps {
    pub file: PathBuf,
}

impl Stamps {
    /// Process and time of each start, the latest at the end.
    pub fn all(&self) -> Vec<(u32, u128)> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let stamp = |line: &str| {
            let (pid, time) = line.split_once(' ')?;
            Some((pid.parse().ok()?, time.parse().ok()?))
        };
        text.lines().filter_map(stamp).collect()
    }

    /// Kills the latest program once it has run for a while; milliseconds until the next one is there.
    pub fn kill(&self, after: Duration) -> f64 {
        std::thread::sleep(after);
        let before = self.all();
        let start = now();
        process::kill(before[before.len() - 1].0, libc::SIGKILL);
        let stamp = wait_until("another stamp", || self.all().get(before.len()).copied());
        (stamp.1 - start) as f64 / 1e6
    }
}
