//! From a SIGKILL to a program until the next one's main() begins, by that one's own stamp of the monotonic clock.

use crate::support::{Folder, Run, command, process, wait_until};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The first thing that the bench's main() does: with `stamp FILE` it is the program that is killed, with `keep FILE` the
/// bare loop that starts that again and again.
pub fn serve() {
    let now = now();
    let words: Vec<String> = std::env::args().collect();
    match words.get(1..) {
        Some([what, file]) if what == "stamp" => {
            let mut to = OpenOptions::new().append(true).create(true).open(file).unwrap();
            to.write_all(format!("{} {now}\n", std::process::id()).as_bytes()).unwrap();
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
        Some([what, file]) if what == "keep" => loop {
            let _ = stamping(Path::new(file)).status();
        },
        _ => {}
    }
}

fn now() -> u128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is written into a struct of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u128 * 1_000_000_000 + time.tv_nsec as u128
}

fn own() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn stamping(file: &Path) -> Command {
    let mut command = Command::new(own());
    command.arg("stamp").arg(file).stdin(Stdio::null());
    command
}

/// Something that keeps one such program alive.
pub struct Kept {
    stamps: PathBuf,
    _run: Keeper,
}

enum Keeper {
    Run { _run: Run },
    Loop { child: Child, folder: Folder },
}

impl Kept {
    /// Kept by mprun, as the program of a stage with items.
    pub fn by_stage() -> Kept {
        let folder = Folder::new();
        let stamps = folder.path().join("stamps");
        let text = format!(
            "[defaults]\ngive_up = {{ restarts = 100000, within = '1s' }}\n\
             backoff = {{ initial = '1ms', max = '1ms', reset_after = '10ms' }}\n\
             [stages.t]\nuse = 'tick'\nwith = {{ every = '1h' }}\noutput = 'a'\n\
             [stages.p]\ncommand = ['{}', 'stamp', '{}']\ninput = 'a'\nattempts = 1000000\n",
            own().display(),
            stamps.display()
        );
        folder.file("pipeline.toml", &text);
        let mut command = command(&folder);
        command.args(["run", "-q", "pipeline.toml"]);
        Kept::started(stamps, Keeper::Run { _run: Run::of(folder, command) })
    }

    /// By a loop around fork, exec and wait.
    pub fn by_loop() -> Kept {
        let folder = Folder::new();
        let stamps = folder.path().join("stamps");
        let mut command = Command::new(own());
        command.arg("keep").arg(&stamps).stdin(Stdio::null()).env("MPRUN_TEST", folder.path());
        let child = command.spawn().unwrap();
        Kept::started(stamps, Keeper::Loop { child, folder })
    }

    fn started(stamps: PathBuf, run: Keeper) -> Kept {
        let kept = Kept { stamps, _run: run };
        wait_until("the first stamp", || (kept.all().len() == 1).then_some(()));
        kept
    }

    fn all(&self) -> Vec<(u32, u128)> {
        let text = fs::read_to_string(&self.stamps).unwrap_or_default();
        let stamp = |line: &str| {
            let (pid, time) = line.split_once(' ')?;
            Some((pid.parse().ok()?, time.parse().ok()?))
        };
        text.lines().filter_map(stamp).collect()
    }

    /// Kills the program after a good while; milliseconds until the next one is there.
    pub fn kill(&self) -> f64 {
        std::thread::sleep(Duration::from_millis(60));
        let before = self.all();
        let start = now();
        process::kill(before[before.len() - 1].0, libc::SIGKILL);
        let stamp = wait_until("another stamp", || self.all().get(before.len()).copied());
        (stamp.1 - start) as f64 / 1e6
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Keeper::Loop { child, folder } = self {
            let _ = child.kill();
            let _ = child.wait();
            for pid in process::in_folder(folder.path()) {
                process::kill(pid, libc::SIGKILL);
            }
        }
    }
}
