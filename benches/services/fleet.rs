//! Many programs of one kind, and what keeps them running.

use crate::support::{Folder, command, process, wait_until};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The first thing that the bench's main() does: with `stamp FILE` it is the program, with `keep N FILE` the bare loop.
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
        Some([what, n, file]) if what == "keep" => keep(n.parse().unwrap(), Path::new(file)),
        _ => {}
    }
}

fn keep(n: usize, file: &Path) -> ! {
    let start = || drop(stamping(file).spawn().unwrap());
    (0..n).for_each(|_| start());
    loop {
        // SAFETY: waits for any child; its status is not looked at.
        unsafe { libc::wait(std::ptr::null_mut()) };
        start();
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

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    Mprun,
    Loop,
    S6,
    Runit,
    Supervisord,
}

impl Keeper {
    /// Those that are installed.
    pub fn peers() -> impl Iterator<Item = Keeper> {
        let all = [Keeper::Loop, Keeper::S6, Keeper::Runit, Keeper::Supervisord];
        all.into_iter().filter(|keeper| keeper.program().is_none_or(is_installed))
    }

    pub fn name(self) -> &'static str {
        match self {
            Keeper::Mprun => "mprun",
            Keeper::Loop => "bare loop",
            Keeper::S6 => "s6",
            Keeper::Runit => "runit",
            Keeper::Supervisord => "supervisord, startsecs=0",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Keeper::Mprun | Keeper::Loop => None,
            Keeper::S6 => Some("s6-svscan"),
            Keeper::Runit => Some("runsvdir"),
            Keeper::Supervisord => Some("supervisord"),
        }
    }

    fn command(self, folder: &Folder, n: usize, stamps: &Path) -> Command {
        let (own, path) = (own().display().to_string(), folder.path().display().to_string());
        let stamp = format!("{own} stamp {}", stamps.display());
        let mut command = match self {
            Keeper::Mprun => {
                let text = format!(
                    "[stages.c]\ncommand = ['{own}', 'stamp', '{}']\nprocesses = {n}\n\
                     backoff = {{ initial = '1ms', max = '1ms' }}\n",
                    stamps.display()
                );
                folder.file("pipeline.toml", &text);
                let mut command = command(folder);
                command.args(["run", "-q", "pipeline.toml"]);
                command
            }
            Keeper::Loop => {
                let mut command = Command::new(own);
                command.arg("keep").arg(n.to_string()).arg(stamps);
                command
            }
            Keeper::S6 | Keeper::Runit => {
                for i in 0..n {
                    let run =
                        folder.file(&format!("scan/c{i:04}/run"), &format!("#!/bin/sh\nexec {stamp}\n"));
                    fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
                }
                let mut command = Command::new(self.program().unwrap_or_default());
                if self == Keeper::S6 {
                    command.args(["-c", "1500"]);
                }
                command.arg(format!("{path}/scan"));
                command
            }
            Keeper::Supervisord => {
                let text = format!(
                    "[supervisord]\nnodaemon=true\nminfds=20000\nlogfile={path}/log\npidfile={path}/pid\n\
                     childlogdir={path}\n[program:c]\ncommand={stamp}\nprocess_name=%(process_num)04d\nnumprocs={n}\n\
                     startsecs=0\n"
                );
                let file = folder.file("c.conf", &text);
                let mut command = Command::new("supervisord");
                command.arg("-c").arg(file);
                command
            }
        };
        command.env("MPRUN_TEST", folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// So many programs, each past its main().
pub struct Fleet {
    folder: Folder,
    child: Child,
    stamps: PathBuf,
    /// From the start of what keeps them to the last one's main().
    pub took: Duration,
}

impl Fleet {
    pub fn up(keeper: Keeper, n: usize) -> Fleet {
        let folder = Folder::new();
        let stamps = folder.path().join("stamps");
        let mut command = keeper.command(&folder, n, &stamps);
        let start = now();
        let child = command.spawn().unwrap();
        let mut fleet = Fleet { folder, child, stamps, took: Duration::ZERO };
        wait_until("all stamps", || (fleet.all().len() >= n).then_some(()));
        let last = fleet.all().into_iter().map(|(_, at)| at).max().unwrap_or(start);
        fleet.took = Duration::from_nanos(u64::try_from(last - start).unwrap());
        fleet
    }

    fn all(&self) -> Vec<(u32, u128)> {
        let text = fs::read_to_string(&self.stamps).unwrap_or_default();
        let stamp = |line: &str| {
            let (pid, time) = line.split_once(' ')?;
            Some((pid.parse().ok()?, time.parse().ok()?))
        };
        text.lines().filter_map(stamp).collect()
    }

    /// Kills a program after a good while; milliseconds until the next one is there.
    pub fn kill(&self) -> f64 {
        std::thread::sleep(Duration::from_millis(1200));
        let before = self.all();
        let start = now();
        process::kill(before[before.len() - 1].0, libc::SIGKILL);
        let stamp = wait_until("another stamp", || self.all().get(before.len()).copied());
        (stamp.1 - start) as f64 / 1e6
    }

    /// The processes that keep the others.
    pub fn own(&self) -> Vec<u32> {
        let programs: BTreeSet<u32> = self.all().into_iter().map(|(pid, _)| pid).collect();
        let (mut found, mut left) = (Vec::new(), vec![self.child.id()]);
        while let Some(pid) = left.pop() {
            let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            left.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            found.push(pid);
        }
        found.retain(|pid| !programs.contains(pid));
        found
    }

    /// KiB of these.
    pub fn memory(&self) -> f64 {
        self.own().into_iter().filter_map(process::proportional_kib).sum::<u64>() as f64
    }

    /// Milliseconds of CPU of these until now.
    pub fn cpu(&self) -> f64 {
        let spent = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        };
        self.own().into_iter().filter_map(spent).sum::<f64>() / 1e6
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        wait_until("all of it to be gone", || {
            let left = process::in_folder(self.folder.path());
            for pid in &left {
                process::kill(*pid, libc::SIGKILL);
            }
            left.is_empty().then_some(())
        });
    }
}
