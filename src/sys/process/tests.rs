use super::*;
use crate::sys::wait::{Exit, SignalNumber};
use nix::fcntl::OFlag;
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;

fn shell() -> ProcessSpec {
    ProcessSpec { file: c"/bin/sh".into(), ..ProcessSpec::default() }
}

fn strings(words: &[&str]) -> Vec<CString> {
    words.iter().map(|word| CString::new(*word).unwrap()).collect()
}

fn args<'a>(arguments: &'a [CString], descriptors: &'a [(BorrowedFd<'a>, RawFd)]) -> ProcessArgs<'a> {
    ProcessArgs { arguments, environment: &[], descriptors, pid_word: None }
}

/// A process that is no program, run to its end: its pid, and what it wrote to descriptor `number`.
fn run_once(spec: ProcessSpec, arguments: &[&str], number: RawFd) -> (u32, String) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let environment = strings(&["PATH=/usr/bin:/bin"]);
    let arguments = strings(arguments);
    let descriptors = [(writer.as_fd(), number)];
    let pid =
        spawn(spec, &ProcessArgs { environment: &environment, ..args(&arguments, &descriptors) }).unwrap();
    drop(writer);
    let mut said = String::new();
    File::from(reader).read_to_string(&mut said).unwrap();
    wait::reap(pid).unwrap();
    (pid, said)
}

/// Runs a shell script to its end: what it said on standard output, and how it ended.
fn run(spec: ProcessSpec, script: &str, environment: &[&str]) -> (String, Exit) {
    let starter = Starter::new(spec).unwrap();
    let null = crate::sys::fd::null().unwrap();
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let running = starter
        .start_program(&ProcessArgs {
            environment: &strings(environment),
            ..args(
                &strings(&["sh", "-c", script]),
                &[(null.as_fd(), 0), (writer.as_fd(), 1), (writer.as_fd(), 2)],
            )
        })
        .unwrap();
    drop(writer);
    let mut said = String::new();
    File::from(reader).read_to_string(&mut said).unwrap();
    (said, finish(&running))
}

fn finish(running: &RunningProgram) -> Exit {
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
    let (said, exit) = run(shell(), script, &["PATH=/usr/bin:/bin", "X=y z"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["y z", "own"]);
    // The shell itself opens the folder, and may keep a copy of a descriptor at 10.
    let strange = |fd: &str| !["0", "1", "2", "3", "10"].contains(&fd);
    assert!(!lines[2].split(' ').any(strange), "{said}");
    assert_eq!(exit, Exit::Code(3));
}

#[test]
fn no_signal_is_blocked_or_ignored() {
    let (said, _) = run(shell(), "exec grep -E '^Sig(Blk|Ign)' /proc/self/status", &["PATH=/usr/bin:/bin"]);
    // Signals 32 and 33 are libc's own: whoever started this test may have left them ignored.
    let bits = |line: &str| u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap() & !(3 << 31);
    assert_eq!(said.lines().map(bits).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_failed_exec_is_told_with_its_errno_and_leaves_no_child() {
    let starter = Starter::new(ProcessSpec { file: c"/no/such/program".into(), ..shell() }).unwrap();
    let word = AtomicU64::new(0);
    let arguments = [c"x".into()];
    let start = ProcessArgs { pid_word: Some(&word), ..args(&arguments, &[]) };
    let error = starter.start_program(&start).unwrap_err();
    assert_eq!(error, SpawnError { step: StartStep::Exec, errno: Errno::ENOENT });
    let cause = "failed to execute the program: No such file or directory (ENOENT)";
    assert_eq!(error.cause(), cause);
    assert_eq!(error.to_string(), format!("{cause}; is /proc mounted?"));
    let pid = word.load(std::sync::atomic::Ordering::Acquire);
    assert!(pid > 1 && !std::fs::exists(format!("/proc/{pid}")).unwrap());
}

#[test]
fn a_child_has_its_own_group_the_named_descriptors_and_no_other() {
    let script =
        "echo $(ps -o pgid= -p $$) $$ >&5; for fd in /proc/self/fd/*; do printf '%s ' ${fd##*/}; done >&5";
    let spec = ProcessSpec { group: ProcessGroupMode::OwnGroup, ..shell() };
    let (pid, said) = run_once(spec, &["sh", "-c", script], 5);
    let (groups, open) = said.split_once('\n').unwrap();
    assert_eq!(groups, format!("{pid} {pid}"));
    let open: Vec<i32> = open.split_whitespace().map(|fd| fd.parse().unwrap()).collect();
    // The shell itself opens the folder that it lists, and keeps its own things at 10 and above.
    let folder = 3;
    assert!(open.iter().all(|fd| [0, 1, 2, folder, 5].contains(fd) || (10..20).contains(fd)), "{open:?}");
}

#[test]
fn descriptors_may_change_places() {
    let ends: [_; 2] = std::array::from_fn(|_| pipe2(OFlag::O_CLOEXEC).unwrap());
    let numbers = ends.each_ref().map(|(_, writer)| writer.as_raw_fd());
    let script = format!("echo a >&{}; echo b >&{}", numbers[0], numbers[1]);
    let arguments = strings(&["bash", "-c", &script]);
    let descriptors = [(ends[0].1.as_fd(), numbers[1]), (ends[1].1.as_fd(), numbers[0])];
    let spec = ProcessSpec { file: c"/bin/bash".into(), ..shell() };
    let pid = spawn(spec, &args(&arguments, &descriptors)).unwrap();
    wait::reap(pid).unwrap();
    let said = ends.map(|(reader, writer)| {
        drop(writer);
        std::io::read_to_string(File::from(reader)).unwrap()
    });
    assert_eq!(said, ["b\n", "a\n"]);
}

#[test]
fn only_the_wanted_signals_are_blocked_or_ignored() {
    let spec = ProcessSpec { file: c"/bin/grep".into(), blocked: vec![Signal::SIGUSR1], ..shell() };
    let (_, said) = run_once(spec, &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], 1);
    let masks = said.lines().filter_map(|line| u64::from_str_radix(line.split_once('\t')?.1, 16).ok());
    // 32 and 33 are the C library's own: it keeps them out of everybody's reach.
    let masks: Vec<u64> = masks.map(|mask| mask & !(0b11 << 31)).collect();
    assert_eq!(masks, [1 << (libc::SIGUSR1 - 1), 0], "{said}");
}

#[test]
fn what_an_earlier_program_does_not_know_is_a_set_up_to_it() {
    let error = SpawnError { step: StartStep::Descriptors, errno: Errno::EMFILE };
    assert_eq!(serde_json::to_string(&error).unwrap(), r#"{"step":"SetUp","errno":24}"#);
    let fork = SpawnError { step: StartStep::Fork, errno: Errno::EAGAIN };
    assert_eq!(serde_json::to_string(&fork).unwrap(), r#"{"step":"Fork","errno":11}"#);
}

#[test]
fn folder_umask_nice_and_limits_hold() {
    let limits = vec![
        Limit { resource: Resource::RLIMIT_NOFILE, most: 77 },
        Limit { resource: Resource::RLIMIT_CPU, most: 1234 },
        Limit { resource: Resource::RLIMIT_AS, most: 1 << 30 },
    ];
    let spec =
        ProcessSpec { folder: Some(c"/usr".into()), umask: Some(0o27), nice: Some(7), limits, ..shell() };
    let (said, _) = run(spec, "pwd; umask; nice; ulimit -n; ulimit -t; ulimit -v", &["PATH=/usr/bin:/bin"]);
    assert_eq!(said, "/usr\n0027\n7\n77\n1234\n1048576\n");
}

#[test]
fn privileges_are_dropped_for_good() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let user_ids = UserIds { user: Some(65534), group: 65533, groups: vec![65533, 12] };
    let script = "id -u; id -g; id -G; grep -E '^(NoNewPrivs|CapEff|CapPrm)' /proc/self/status";
    let (said, _) = run(ProcessSpec { user_ids: Some(user_ids), ..shell() }, script, &["PATH=/usr/bin:/bin"]);
    let expected =
        "65534\n65533\n65533 12\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n";
    assert_eq!(said, expected);
}

#[test]
fn a_group_is_killed_as_a_whole() {
    let starter = Starter::new(shell()).unwrap();
    let null = crate::sys::fd::null().unwrap();
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let running = starter
        .start_program(&ProcessArgs {
            environment: &strings(&["PATH=/usr/bin:/bin"]),
            ..args(
                &strings(&["sh", "-c", "sleep 60 & sleep 60 & wait"]),
                &[(null.as_fd(), 0), (writer.as_fd(), 1), (null.as_fd(), 2)],
            )
        })
        .unwrap();
    drop(writer);
    running.signal(Signal::SIGKILL);
    assert_eq!(finish(&running), Exit::Signal(SignalNumber(libc::SIGKILL)));
    // The end of the pipe comes when the last of them is gone.
    assert_eq!(File::from(reader).read(&mut [0]).unwrap(), 0);
}

/// Held against the kernel: what is said to be too much is, and what is not, is not.
#[test]
fn what_is_too_large_for_an_exec_is_known_before() {
    let starter = Starter::new(ProcessSpec { file: c"/bin/true".into(), ..shell() }).unwrap();
    let variable = |bytes: usize| CString::new(format!("A={}", "x".repeat(bytes))).unwrap();
    let starts = |environment: &[CString]| {
        let arguments = [c"true".into()];
        match starter.start_program(&ProcessArgs { environment, ..args(&arguments, &[]) }) {
            Ok(running) => finish(&running) == Exit::Code(0),
            Err(error) => {
                assert_eq!((error.step, error.errno, error.passes()), (StartStep::Exec, Errno::E2BIG, false));
                false
            }
        }
    };
    let most = most_argument_bytes();
    let many = |sum: usize| vec![variable(100_000); sum / 100_000];
    for environment in [vec![], vec![variable(131_069)], many(most / 2), many(most - 300_000)] {
        assert!(starts(&environment) && !is_too_large(&[c"true".into()], &environment));
    }
    for environment in [vec![variable(131_070)], many(most + 200_000)] {
        assert!(!starts(&environment) && is_too_large(&[c"true".into()], &environment));
    }
}

#[test]
fn a_forked_program_has_all_that_was_ordered_and_says_what_fails() {
    let fork = |spec: ProcessSpec, arguments: &[&str]| {
        let (failures, failure) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let (said, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let (arguments, environment) = (strings(arguments), strings(&["PATH=/usr/bin:/bin", "X=y z"]));
        let descriptors = [(writer.as_fd(), 1)];
        let args = ProcessArgs { environment: &environment, ..args(&arguments, &descriptors) };
        let pid = fork_program(&spec, &args, failure.as_fd()).unwrap();
        drop((failure, writer, arguments, environment));
        let read = |fd: OwnedFd| {
            let mut bytes = Vec::new();
            File::from(fd).read_to_end(&mut bytes).unwrap();
            bytes
        };
        let (failure, said) = (read(failures), String::from_utf8(read(said)).unwrap());
        wait::reap(pid).unwrap();
        (StartFailure::decode(&failure), said)
    };
    let limits = vec![Limit { resource: Resource::RLIMIT_NOFILE, most: 33 }];
    let spec = ProcessSpec {
        file: c"/nowhere/sh".into(),
        other_files: vec![c"/bin/sh".into()],
        folder: Some(c"/usr".into()),
        limits,
        umask: Some(0o27),
        ..ProcessSpec::default()
    };
    let script = "echo $X $0 $(pwd) $(umask) $(ulimit -n)";
    let (failure, said) = fork(spec.clone(), &["sh", "-c", script, "zero"]);
    assert_eq!((failure, said.as_str()), (None, "y z zero /usr 0027 33\n"));
    let (failure, said) = fork(ProcessSpec { folder: Some(c"/nowhere".into()), ..spec }, &["sh"]);
    let error = SpawnError { step: StartStep::Folder, errno: Errno::ENOENT };
    assert_eq!((failure, said.as_str()), (Some(StartFailure { error, is_there: false }), ""));
}
