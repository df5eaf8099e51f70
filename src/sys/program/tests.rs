use super::*;
use crate::sys::wait::{Exit, SignalNumber};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

fn blueprint() -> ProcessSpec {
    ProcessSpec { file: c"/bin/sh".into(), folder: c"/".into(), ..ProcessSpec::default() }
}

/// Runs a shell script to its end: what it said on standard output, and how it ended.
fn run(blueprint: ProcessSpec, script: &str, environment: &[&str]) -> (String, Exit) {
    let starter = Starter::new(blueprint).unwrap();
    let null = crate::sys::fd::null().unwrap();
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let strings = |words: &[&str]| words.iter().map(|word| CString::new(*word).unwrap()).collect::<Vec<_>>();
    let start = Start {
        arguments: &strings(&["sh", "-c", script]),
        environment: &strings(environment),
        stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
        note: None,
    };
    let running = starter.start(&start).unwrap();
    drop(writer);
    let mut said = String::new();
    File::from(reader).read_to_string(&mut said).unwrap();
    (said, finish(&running))
}

fn finish(running: &Running) -> Exit {
    loop {
        if let Some(exit) = running.ended().unwrap() {
            running.reap().unwrap();
            return exit;
        }
        let mut fds = [nix::poll::PollFd::new(running.as_fd(), nix::poll::PollFlags::POLLIN)];
        let _ = nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE);
    }
}

#[test]
fn a_program_has_its_environment_its_session_and_three_descriptors() {
    let (_keep, _these) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let script = "echo $X; test $(ps -o sid= -p $$) = $$ && echo own; cd /proc/self/fd && echo *; exit 3";
    let (said, exit) = run(blueprint(), script, &["PATH=/usr/bin:/bin", "X=y z"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["y z", "own"]);
    // The shell itself opens the folder, and may keep a copy of a descriptor at 10.
    let strange = |fd: &str| !["0", "1", "2", "3", "10"].contains(&fd);
    assert!(!lines[2].split(' ').any(strange), "{said}");
    assert_eq!(exit, Exit::Code(3));
}

#[test]
fn no_signal_is_blocked_or_ignored() {
    let (said, _) =
        run(blueprint(), "exec grep -E '^Sig(Blk|Ign)' /proc/self/status", &["PATH=/usr/bin:/bin"]);
    // Signals 32 and 33 are libc's own: whoever started this test may have left them ignored.
    let bits = |line: &str| u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap() & !(3 << 31);
    assert_eq!(said.lines().map(bits).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_failed_exec_is_told_with_its_errno_and_leaves_no_child() {
    let starter = Starter::new(ProcessSpec { file: c"/no/such/program".into(), ..blueprint() }).unwrap();
    let null = crate::sys::fd::null().unwrap();
    let note = AtomicU64::new(0);
    let start = Start {
        arguments: &[c"x".into()],
        environment: &[],
        stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
        note: Some(&note),
    };
    let error = starter.start(&start).unwrap_err();
    assert_eq!(error, StartError { step: Step::Exec, errno: Errno::ENOENT });
    assert_eq!(error.to_string(), "failed to execute it: No such file or directory (ENOENT)");
    let pid = note.load(std::sync::atomic::Ordering::Acquire);
    assert!(pid > 1 && !std::fs::exists(format!("/proc/{pid}")).unwrap());
}

#[test]
fn folder_umask_nice_and_limits_hold() {
    let limits = vec![
        Limit { resource: Resource::OpenFiles, most: 77 },
        Limit { resource: Resource::CpuTime, most: 1234 },
        Limit { resource: Resource::Memory, most: 1 << 30 },
    ];
    let blueprint =
        ProcessSpec { folder: c"/usr".into(), umask: Some(0o27), nice: Some(7), limits, ..blueprint() };
    let (said, _) =
        run(blueprint, "pwd; umask; nice; ulimit -n; ulimit -t; ulimit -v", &["PATH=/usr/bin:/bin"]);
    assert_eq!(said, "/usr\n0027\n7\n77\n1234\n1048576\n");
}

#[test]
fn privileges_are_dropped_for_good() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let identity = Identity { user: Some(65534), group: 65533, groups: vec![65533, 12] };
    let script = "id -u; id -g; id -G; grep -E '^(NoNewPrivs|CapEff|CapPrm)' /proc/self/status";
    let (said, _) =
        run(ProcessSpec { identity: Some(identity), ..blueprint() }, script, &["PATH=/usr/bin:/bin"]);
    let expected =
        "65534\n65533\n65533 12\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n";
    assert_eq!(said, expected);
}

#[test]
fn a_group_is_killed_as_a_whole() {
    let starter = Starter::new(blueprint()).unwrap();
    let null = crate::sys::fd::null().unwrap();
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let start = Start {
        arguments: &[c"sh".into(), c"-c".into(), c"sleep 60 & sleep 60 & wait".into()],
        environment: &[c"PATH=/usr/bin:/bin".into()],
        stdio: [null.as_fd(), writer.as_fd(), null.as_fd()],
        note: None,
    };
    let running = starter.start(&start).unwrap();
    drop(writer);
    running.signal(Signal::SIGKILL);
    assert_eq!(finish(&running), Exit::Signal(SignalNumber(libc::SIGKILL)));
    // The end of the pipe comes when the last of them is gone.
    assert_eq!(File::from(reader).read(&mut [0]).unwrap(), 0);
}

/// Held against the kernel: what is said to be too much is, and what is not, is not.
#[test]
fn what_is_too_much_for_an_exec_is_known_before() {
    let starter = Starter::new(ProcessSpec { file: c"/bin/true".into(), ..blueprint() }).unwrap();
    let null = crate::sys::fd::null().unwrap();
    let variable = |bytes: usize| CString::new(format!("A={}", "x".repeat(bytes))).unwrap();
    let starts = |environment: &[CString]| {
        let stdio = [null.as_fd(), null.as_fd(), null.as_fd()];
        let start = Start { arguments: &[c"true".into()], environment, stdio, note: None };
        match starter.start(&start) {
            Ok(running) => finish(&running) == Exit::Code(0),
            Err(error) => {
                assert_eq!((error.step, error.errno, error.passes()), (Step::Exec, Errno::E2BIG, false));
                false
            }
        }
    };
    let most = most_argument_bytes();
    let many = |sum: usize| vec![variable(100_000); sum / 100_000];
    for environment in [vec![], vec![variable(131_069)], many(most / 2), many(most - 300_000)] {
        assert!(starts(&environment) && !is_too_much(&[c"true".into()], &environment));
    }
    for environment in [vec![variable(131_070)], many(most + 200_000)] {
        assert!(!starts(&environment) && is_too_much(&[c"true".into()], &environment));
    }
}
