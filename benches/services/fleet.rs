//! Many programs of one kind, and what keeps them running.

use crate::stamps::{Stamps, bare_loop, now, own};
use crate::support::{Folder, command, process, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// One stage of so many processes.
    Mprun,
    /// A stage for each.
    MprunStages,
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
            Keeper::MprunStages => "mprun, a stage each",
            Keeper::Loop => "bare loop",
            Keeper::S6 => "s6",
            Keeper::Runit => "runit",
            Keeper::Supervisord => "supervisord, startsecs=0",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Keeper::Mprun | Keeper::MprunStages | Keeper::Loop => None,
            Keeper::S6 => Some("s6-svscan"),
            Keeper::Runit => Some("runsvdir"),
            Keeper::Supervisord => Some("supervisord"),
        }
    }

    fn command(self, folder: &Folder, n: usize, stamps: &Stamps) -> Command {
        let (own, path) = (own().display().to_string(), folder.path().display().to_string());
        let stamp = format!("{own} stamp {}", stamps.file.display());
        let mut command = match self {
            Keeper::Mprun | Keeper::MprunStages => {
                // A restart after a good run has no delay, as the peers have none: here each run is a good one.
                let stage = |name: &str, processes| {
                    format!(
                        "[stages.{name}]\ncommand = ['{own}', 'stamp', '{}']\nprocesses = {processes}\n\
                         backoff = {{ reset_after = '1ms' }}\n",
                        stamps.file.display()
                    )
                };
                let text: String = match self {
                    Keeper::MprunStages => (0..n).map(|i| stage(&format!("c{i:04}"), 1)).collect(),
                    _ => stage("c", n),
                };
                folder.file("pipeline.toml", &text);
                let mut command = command(folder);
                command.args(["run", "-q", "pipeline.toml"]);
                command
            }
            Keeper::Loop => bare_loop(n, stamps),
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
    stamps: Stamps,
    /// From the start of what keeps them to the last one's main().
    pub took: Duration,
}

impl Fleet {
    pub fn up(keeper: Keeper, n: usize) -> Fleet {
        let folder = Folder::new();
        let stamps = Stamps { file: folder.path().join("stamps") };
        let mut command = keeper.command(&folder, n, &stamps);
        let start = now();
        let child = command.spawn().unwrap();
        let mut fleet = Fleet { folder, child, stamps, took: Duration::ZERO };
        wait_until("all stamps", || (fleet.stamps.all().len() >= n).then_some(()));
        let last = fleet.stamps.all().into_iter().map(|(_, at)| at).max().unwrap_or(start);
        fleet.took = Duration::from_nanos(u64::try_from(last - start).unwrap());
        fleet
    }

    /// Kills a program after a good while; milliseconds until the next one is there.
    pub fn kill(&self) -> f64 {
        self.stamps.kill(Duration::from_millis(1200))
    }

    /// The processes that keep the others.
    pub fn own(&self) -> Vec<u32> {
        let programs: BTreeSet<u32> = self.stamps.all().into_iter().map(|(pid, _)| pid).collect();
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
