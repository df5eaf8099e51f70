//! Old kernels and sandboxes: a system call that is not there, or that is denied, costs speed or an error at the start;
//! never an item, a processor, a descriptor or an end.

mod support;

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use support::deny::{Denied, deny, with};
use support::{Folder, Run, process, storm, wait_until};

/// An answer of a kernel that does not know a call, and those of sandboxes that deny it.
const REFUSALS: [i32; 2] = [libc::ENOSYS, libc::EPERM];

/// `close_range` of Linux 5.9 and 5.10 does not know the flag that marks descriptors.
const OLD_CLOSE_RANGE: Denied =
    Denied { call: libc::SYS_close_range, only: Some((2, libc::CLOSE_RANGE_CLOEXEC)), errno: libc::EINVAL };

/// Calls that a program of today may try and that Linux 5.10 lacks.
const LATER_THAN_5_10: [libc::c_long; 7] = [
    libc::SYS_futex_waitv,
    libc::SYS_close_range,
    libc::SYS_epoll_pwait2,
    libc::SYS_process_mrelease,
    libc::SYS_memfd_secret,
    libc::SYS_mount_setattr,
    libc::SYS_landlock_create_ruleset,
];

fn run(text: &str, denied: &[Denied]) -> Run {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    let mut command = support::command(&folder);
    command.args(["run", "pipeline.toml"]);
    deny(&mut command, denied);
    Run::of(folder, command)
}

fn all(errno: i32, calls: &[libc::c_long]) -> Vec<Denied> {
    calls.iter().map(|call| with(errno, *call)).collect()
}

/// Numbers through a program into a file; the workers of the program are killed meanwhile.
#[test]
fn the_main_job_is_exact_without_what_5_10_lacks() {
    const PARTS: u32 = 4;
    const EACH: u32 = 500;
    let numbers = |from: u32| (from..from + EACH).map(|n| format!("{n}\n")).collect::<String>().into_bytes();
    let old = [with(libc::ENOSYS, libc::SYS_futex_waitv), OLD_CLOSE_RANGE].to_vec();
    for denied in [all(libc::ENOSYS, &LATER_THAN_5_10), all(libc::EPERM, &LATER_THAN_5_10), old] {
        let folder = Folder::new();
        folder.file(
            "pipeline.toml",
            "[defaults]\nattempts = 1000\ngive_up = { restarts = 1000000, within = '1m' }\n\
             backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n\
             [queues.a]\ncapacity = 64\n\
             [stages.number]\nuse = 'stdin'\noutput = 'a'\n\
             [stages.work]\nmode = 'reply'\ncommand = 'while read n; do echo $n; done'\ninput = 'a'\noutput = 'b'\nprocesses = 2\n\
             [stages.write]\nuse = 'file'\nwith = { path = 'out' }\ninput = 'b'\n",
        );
        let mut command = support::command(&folder);
        command.args(["run", "pipeline.toml"]).stdin(Stdio::piped());
        deny(&mut command, &denied);
        let mut run = Run::of(folder, command);
        let kills = storm::storm(&mut run, "work", PARTS, move |part| numbers(1 + part * EACH));
        assert!(kills >= 2 * (PARTS - 1), "only {kills} kills");
        run.finish();
        let out = fs::read_to_string(run.folder.path().join("out")).unwrap();
        let mut written: Vec<u32> = out.lines().map(|line| line.parse().unwrap()).collect();
        written.sort_unstable();
        assert_eq!(written, (1..=PARTS * EACH).collect::<Vec<_>>(), "{denied:?}");
    }
}

/// What is not there is done without: the same result, in the same way of ending.
#[test]
fn a_run_does_without_what_it_can_do_without() {
    let calls = [
        libc::SYS_futex_waitv,
        libc::SYS_close_range,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_statx,
        libc::SYS_copy_file_range,
        libc::SYS_renameat2,
        libc::SYS_inotify_init1,
        libc::SYS_inotify_add_watch,
        libc::SYS_sched_getaffinity,
        libc::SYS_membarrier,
        libc::SYS_rseq,
        libc::SYS_get_robust_list,
        libc::SYS_madvise,
        libc::SYS_fallocate,
        libc::SYS_epoll_create1,
        libc::SYS_socket,
        libc::SYS_getrandom,
        libc::SYS_openat2,
        libc::SYS_faccessat2,
        libc::SYS_mremap,
    ];
    for (call, errno) in calls.iter().flat_map(|call| REFUSALS.map(|errno| (*call, errno))) {
        let mut run = run(
            "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 50 }\noutput = 'a'\n\
             [stages.work]\nmode = 'reply'\ncommand = 'while read n; do echo $n; done'\ninput = 'a'\noutput = 'b'\n\
             [stages.total]\nuse = 'sum'\ninput = 'b'\n",
            &[with(errno, call)],
        );
        let lines = run.finish();
        assert_eq!(lines, ["1275"], "call {call}, errno {errno}: {}", run.stderr());
    }
}

/// What it can't do without is told at the start, by its name and with a hint: no worker is started again and again.
#[test]
fn what_is_needed_and_denied_ends_the_start_with_its_name() {
    let calls = [
        (libc::SYS_waitid, "waitid"),
        (libc::SYS_memfd_create, "memfd_create"),
        (libc::SYS_setpgid, "setpgid"),
        (libc::SYS_pipe2, "pipe2"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_clone, "fork"),
        (libc::SYS_flock, "lock queue memory"),
        (libc::SYS_prctl, "become the parent of orphans"),
        (libc::SYS_set_robust_list, "robust futexes"),
    ];
    for ((call, name), errno) in calls.iter().flat_map(|call| REFUSALS.map(|errno| (*call, errno))) {
        // Where libc has registered a robust list, nothing asks for another one.
        let both = [with(errno, call), with(errno, libc::SYS_get_robust_list)];
        let mut run = run(
            "[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n[stages.end]\nuse = 'discard'\ninput = 'a'\n",
            &both,
        );
        assert_eq!(run.wait(), 1, "{name}: {}", run.stderr());
        let said = run.stderr();
        let error = said.lines().find(|line| line.contains("ERROR")).unwrap_or_default();
        assert!(error.contains(name) && error.contains("does a sandbox (seccomp) deny it?"), "{said}");
        assert!(!said.contains("starts again"), "{said}");
    }
}

/// What only some stages need ends those at once, by its name and with a hint; a program or a source that can never work
/// is not started again and again.
#[test]
fn what_a_stage_needs_and_is_denied_ends_it_at_its_first_start() {
    let program = "[stages.job]\ncommand = 'cat'\nmode = 'reply'\ninput = 'a'\n[stages.n]\nuse = 'stdin'\noutput = 'a'\n";
    let source = "[stages.job]\nuse = 'stdin'\n";
    let service = "[stages.job]\ncommand = 'exec sleep 1000'\n";
    let needs = [
        (source, libc::SYS_splice, "splice"),
        (source, libc::SYS_tee, "tee"),
        (program, libc::SYS_eventfd2, "eventfd2"),
        (program, libc::SYS_setsid, "begin a session"),
        (service, libc::SYS_setsid, "begin a session"),
        (service, libc::SYS_eventfd2, "eventfd2"),
        (service, libc::SYS_epoll_create1, "epoll_create1"),
    ];
    for ((text, call, name), errno) in needs.iter().flat_map(|need| REFUSALS.map(|errno| (*need, errno))) {
        let folder = Folder::new();
        folder.file("pipeline.toml", text);
        let mut command = support::command(&folder);
        let (input, mut end) = std::io::pipe().unwrap();
        end.write_all(b"1\n2\n").unwrap();
        command.args(["run", "pipeline.toml"]).stdin(input);
        deny(&mut command, &[with(errno, call)]);
        let mut run = Run::of(folder, command);
        assert_eq!(run.wait(), 1, "{name}: {}", run.stderr());
        let said = run.stderr();
        let error = said.lines().find(|line| line.contains("the stage job failed")).unwrap_or_default();
        assert!(error.contains(name) && error.contains("does a sandbox (seccomp) deny it?"), "{said}");
        assert!(!said.contains("starts again"), "{said}");
    }
}

#[test]
fn without_proc_the_start_ends_and_says_what_to_mount() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.number]\nuse = 'count'\nwith = { from = 1 }\n");
    let plain = support::command(&folder);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.args([
        "mount -t tmpfs none /proc && exec \"$@\"",
        "sh",
        &support::binary(),
        "run",
        "pipeline.toml",
    ]);
    command.current_dir(folder.path()).stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut run = Run::of(folder, command);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("is /proc mounted? `mount -t proc proc /proc`"), "{}", run.stderr());
}

/// Its waits end after 50 ms where the kernel does not wait for several words: that costs no processor. So many are
/// looked at, not so much time.
#[test]
fn an_idle_worker_sleeps_though_its_wait_is_denied() {
    for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES, libc::EINVAL] {
        let run = run(
            "[stages.a]\nuse = 'tick'\nwith = { every = '1h' }\noutput = 'q1'\n\
             [stages.b]\nuse = 'tick'\nwith = { every = '1h' }\noutput = 'q2'\n\
             [stages.idle]\nuse = 'discard'\ninput = ['q1', 'q2']\n",
            &[with(errno, libc::SYS_futex_waitv)],
        );
        let worker = run.worker("idle");
        let ticks = || -> u64 {
            [11, 12].iter().filter_map(|&n| process::field(worker, n)?.parse::<u64>().ok()).sum()
        };
        wait_until("it to have begun to wait", || (process::context_switches(worker) > 5).then_some(()));
        let (before, switches) = (ticks(), process::context_switches(worker));
        // One that never sleeps burns 50 ticks in half a second; one that sleeps switches ten times in it.
        wait_until("ten waits, or a burnt half second", || {
            (process::context_switches(worker) > switches + 10 || ticks() > before + 50).then_some(())
        });
        assert!(ticks() < before + 10, "errno {errno}: {} ticks in a few waits", ticks() - before);
        let mut run = run;
        run.signal(libc::SIGTERM);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
}

/// A descriptor that whoever started mprun has left open is neither a worker's nor a program's.
#[test]
fn descriptors_of_strangers_stay_out_without_close_range() {
    let refusals = REFUSALS.map(|errno| with(errno, libc::SYS_close_range));
    for denied in refusals.into_iter().chain([OLD_CLOSE_RANGE]) {
        let folder = Folder::new();
        folder.file(
            "pipeline.toml",
            "[stages.job]\ncommand = \"for fd in /proc/$PPID/fd/* /proc/self/fd/*; do readlink $fd; done; true\"\noutput = 'a'\n\
             [stages.show]\ncommand = 'cat'\ninput = 'a'\n\
             [stages.service]\ncommand = 'for fd in /proc/self/fd/*; do readlink $fd; done; true'\n",
        );
        let strange = fs::File::create(folder.path().join("strange")).unwrap();
        let fd = strange.as_raw_fd();
        let mut command = support::command(&folder);
        command.args(["run", "pipeline.toml"]);
        deny(&mut command, &[denied]);
        // SAFETY: two system calls.
        unsafe {
            command.pre_exec(move || {
                // One low and one high number, neither closed on exec.
                match libc::dup2(fd, 40) == 40 && libc::dup2(fd, 700) == 700 {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let mut run = Run::of(folder, command);
        let lines = run.finish();
        assert!(lines.len() > 5, "{lines:?}");
        assert!(!lines.iter().any(|line| line.ends_with("/strange")), "{denied:?}: {lines:?}");
    }
}

/// The supervisor can replace what is killed for lack of memory; nothing replaces the supervisor.
#[test]
fn workers_and_programs_are_killed_for_memory_before_the_supervisor() {
    for (own, theirs) in [("0", "200"), ("900", "1000")] {
        let folder = Folder::new();
        folder.file(
            "pipeline.toml",
            "[stages.job]\ncommand = \"cat /proc/$PPID/oom_score_adj /proc/self/oom_score_adj\"\noutput = 'a'\n\
             [stages.show]\ncommand = 'cat'\ninput = 'a'\n\
             [stages.service]\ncommand = 'cat /proc/self/oom_score_adj'\n",
        );
        // It can only be raised without privileges; the tests may have been started with a raised one.
        let command = support::command(&folder);
        let mut raised = Command::new("sh");
        let script = "echo $1 > /proc/self/oom_score_adj || exit 9; shift; exec \"$@\"";
        raised.args(["-c", script, "sh", own, &support::binary(), "run", "pipeline.toml"]);
        raised.current_dir(folder.path()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => raised.env(name, value),
                None => raised.env_remove(name),
            };
        }
        let mut run = Run::of(folder, raised);
        assert_eq!(run.finish(), [theirs; 3], "{}", run.stderr());
    }
}

#[test]
fn a_state_folder_that_all_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.number]\nuse = 'count'\nwith = { from = 1 }\n");
    let state = folder.path().join("state/mprun/pipeline");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o1777)).unwrap();
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 1);
    let said = run.stderr();
    assert!(said.contains("is not safe: others may write there (mode 1777)"), "{said}");
    assert!(said.contains("chmod go-w"), "{said}");
}
