//! What /proc says about processes.

use std::fs;
use std::path::Path;

pub fn kill(pid: u32, signal: i32) -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::kill(pid as i32, signal) == 0 }
}

pub fn kill_group(group: u32, signal: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(-(group as i32), signal) };
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// True while it runs: neither gone nor a zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// The state letter of /proc/PID/stat.
pub fn state(pid: u32) -> Option<char> {
    field(pid, 0)?.chars().next()
}

pub fn parent(pid: u32) -> Option<u32> {
    field(pid, 1)?.parse().ok()
}

/// Field `n` after the name: 0 the state, 1 the parent, 11 and 12 the CPU ticks.
pub fn field(pid: u32, n: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.get(stat.rfind(')')? + 2..)?.split(' ').nth(n).map(str::to_owned)
}

fn variables(pid: u32) -> Vec<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|&byte| byte == 0).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect()
}

/// The children of `parent` whose environment has the variable.
pub fn with_variable(parent_pid: u32, name: &str, value: &str) -> Vec<u32> {
    let pair = format!("{name}={value}");
    children(parent_pid).into_iter().filter(|&pid| is_alive(pid) && variables(pid).contains(&pair)).collect()
}

pub fn children(of: u32) -> Vec<u32> {
    all().filter(|&pid| parent(pid) == Some(of)).collect()
}

/// Every living process that was started for a test's folder, at any depth.
pub fn in_folder(folder: &Path) -> Vec<u32> {
    let pair = format!("MPRUN_TEST={}", folder.display());
    all().filter(|&pid| is_alive(pid) && variables(pid).contains(&pair)).collect()
}

/// Resident memory in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Its share of the memory that is there, in KiB: what several processes have in common counts once.
pub fn proportional_kib(pid: u32) -> Option<u64> {
    let map = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = map.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Memory that is the process's alone, in KiB.
pub fn private_kib(pid: u32) -> Option<u64> {
    let map = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let lines =
        map.lines().filter(|line| line.starts_with("Private_Dirty:") || line.starts_with("Anonymous:"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).min()
}

/// Times the process was given the CPU so far, over all its threads: an idle one must not wake.
pub fn context_switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let status = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let counts = status.flat_map(|text| {
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).collect::<Vec<_>>()
    });
    counts.sum()
}

/// The arguments of a process, a space behind each; empty if it is gone.
pub fn command_line(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}
