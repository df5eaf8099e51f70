//! How much memory there is for this process, and which process the kernel kills first where there is none left.

use std::fs;
use std::path::{Path, PathBuf};

/// A bound on the memory of this process and its children, in bytes, and what sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// How much.
    pub bytes: u64,
    /// The cgroup's file that says so; `None`: the machine has no more.
    pub file: Option<PathBuf>,
}

/// The lowest bound there is: of the cgroup, of those above it, of the machine. `None`: none is known.
pub(crate) fn bound() -> Option<Bound> {
    bound_in(Path::new("/proc"), Path::new("/sys/fs/cgroup"))
}

/// Gives the system back what is free in the heap: reading a pipeline file takes several times what is left of it, and the
/// allocator would keep the pages that lie between.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and looks at free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What a process frees stays its own, up to some MiB: for one that takes and frees pieces of a mebibyte all the time, for which the
/// kernel would have to clear pages each time.
pub(crate) fn keep_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, and changes from what length on memory comes from the kernel and goes back to it.
    unsafe {
        const MIB: libc::c_int = 1 << 20;
        libc::mallopt(libc::M_MMAP_THRESHOLD, 8 * MIB);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 16 * MIB);
    }
}

fn bound_in(proc: &Path, cgroups: &Path) -> Option<Bound> {
    let groups = fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().flat_map(|line| limit_files(line, cgroups));
    let limits = of_groups.filter_map(|file| {
        let bytes = fs::read_to_string(&file).ok()?.trim().parse().ok()?; // "max" is none
        Some(Bound { bytes, file: Some(file) })
    });
    limits.chain(machine(proc)).min_by_key(|bound| bound.bytes)
}

/// The files with the limits of a group and of those above it, from `ID:CONTROLLERS:PATH` of `/proc/self/cgroup`.
fn limit_files(line: &str, cgroups: &Path) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (roots, file): (&[&str], _) = match controllers {
        "" => (&["", "unified"], "memory.max"), // version 2, alone or beside version 1
        v1 if v1.split(',').any(|controller| controller == "memory") => {
            (&["memory"], "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let path = Path::new(path.trim_start_matches('/'));
    let groups = roots.iter().flat_map(|root| path.ancestors().map(move |group| (root, group)));
    groups.map(|(root, group)| cgroups.join(root).join(group).join(file)).collect()
}

fn machine(proc: &Path) -> Option<Bound> {
    let info = fs::read_to_string(proc.join("meminfo")).ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.split_whitespace().next()?.parse().ok()?;
    Some(Bound { bytes: kib.saturating_mul(1024), file: None })
}

/// How much higher than its parent's the score is by which this process is killed for lack of memory, in thousandths of
/// all memory.
const OOM_SCORE_STEP: i32 = 200;
const MAX_OOM_SCORE: i32 = 1000;
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Where memory runs out, the kernel is to kill this process and those that it starts before its parent, which can replace
/// it. Where `/proc` can't be written, the score stays the parent's.
pub(crate) fn raise_oom_score() {
    if let Some(score) = raised_oom_score() {
        let _ = fs::write(OOM_SCORE, score);
    }
}

/// The score that a child of this process gets for that; `None`: `/proc` can't be read.
pub(crate) fn raised_oom_score() -> Option<String> {
    let own = fs::read_to_string(OOM_SCORE).ok().and_then(|text| text.trim().parse::<i32>().ok())?;
    Some(own.saturating_add(OOM_SCORE_STEP).min(MAX_OOM_SCORE).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bound_up_the_tree_counts() {
        let base = std::env::temp_dir().join(format!("mprun-memory-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let path = base.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let bound = || bound_in(&base.join("proc"), &base.join("cg")).unwrap();
        write("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\n");
        assert_eq!(bound(), Bound { bytes: 1_024_000, file: None });
        write("proc/self/cgroup", "4:cpu,memory:/old/one\n0::/a/b\n");
        write("cg/a/b/memory.max", "max\n");
        write("cg/a/memory.max", "700000\n");
        assert_eq!(bound(), Bound { bytes: 700_000, file: Some(base.join("cg/a/memory.max")) });
        write("cg/memory/old/one/memory.limit_in_bytes", "9223372036854771712\n");
        write("cg/memory/memory.limit_in_bytes", "600000\n");
        assert_eq!(bound().bytes, 600_000);
        write("cg/unified/a/b/memory.max", "5");
        assert_eq!(bound().bytes, 5);
        fs::remove_dir_all(base).unwrap();
    }
}
