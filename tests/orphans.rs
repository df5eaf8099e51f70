//! Processes that programs leave behind, and workers that are stopped: what it costs the supervisor to look after them.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use support::{Run, process, wait_until};

/// CPU time of a process, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    [11, 12].iter().map(|&n| process::field(pid, n).unwrap().parse::<u64>().unwrap()).sum()
}

const ORPHANS: usize = 400;

/// A program that leaves so many processes in sessions of their own, then does `then`; after a restart it only sleeps.
fn leaving_orphans(keys: &str, then: &str) -> Run {
    let run = Run::start(&format!(
        "[stages.job]\ncommand = '''\n\
         test -e begun && exec sleep 1000\ntouch begun\nn=0\n\
         while test $n -lt {ORPHANS}; do setsid sleep 1000 & echo $!; n=$((n+1)); done\necho up; {then}\n'''\n{keys}"
    ));
    wait_until("the orphans", || run.stdout().contains("up").then_some(()));
    run
}

fn wait_for_end_of_orphans(run: &Run) {
    let pids: Vec<u32> = run.lines().iter().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(pids.len(), ORPHANS);
    wait_until("the end of all orphans", || (!pids.iter().any(|&pid| process::is_alive(pid))).then_some(()));
}

/// All of `/proc` for each of them would be hundreds of ticks, and no answer to anything meanwhile.
#[test]
fn many_orphans_of_a_killed_worker_cost_little() {
    let mut run = leaving_orphans("", "exec sleep 1000");
    let before = ticks(run.pid());
    process::kill(run.worker("job"), libc::SIGKILL);
    wait_for_end_of_orphans(&run);
    run.tell(&["status"]);
    let spent = ticks(run.pid()) - before;
    assert!(spent < 60, "{spent} ticks of CPU time for {ORPHANS} orphans");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn many_orphans_of_a_program_cost_its_worker_little() {
    // The next item is at a program that stays.
    let items =
        "input = 'a'\nmode = 'each'\n[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n";
    let run = leaving_orphans(items, "exit 0");
    let worker = run.worker("job");
    wait_for_end_of_orphans(&run);
    let spent = ticks(worker);
    assert!(spent < 60, "{spent} ticks of CPU time for {ORPHANS} orphans");
}

#[test]
fn a_stop_with_many_orphans_ends_them_all() {
    let mut run = leaving_orphans("", "exec sleep 1000");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(!run.stderr().contains("would not die"), "{}", run.stderr());
    wait_for_end_of_orphans(&run);
}

/// The word of the queues that says "wake all, one sleeper may be stopped".
fn says_that_some_are_stopped(run: &Run) -> bool {
    const STOPPED: u64 = 208; // see `queue/arena/layout/head.rs`
    let fds = fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().flatten();
    let is_arena = |link: &fs::DirEntry| {
        fs::read_link(link.path()).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:mprun-queues"))
    };
    let arena = File::open(fds.into_iter().find(is_arena).unwrap().path()).unwrap();
    let mut word = [0; 8];
    arena.read_exact_at(&mut word, STOPPED).unwrap();
    u64::from_ne_bytes(word) != 0
}

#[test]
fn a_stopped_worker_costs_wake_ups_only_until_it_goes_on_or_ends() {
    // Seldom at the queues' lock: a worker that is stopped there is ended at once, and nobody sees that it was stopped.
    let run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\nsleep = '50ms'\n\
         [stages.end]\nuse = 'discard'\ninput = 'a'\nprocesses = 2\n",
    );
    let workers = wait_until("the workers", || Some(run.workers("end")).filter(|all| all.len() == 2));
    let wait_for = |what, stopped| {
        wait_until(what, || (says_that_some_are_stopped(&run) == stopped).then_some(()));
    };
    wait_for("nobody to be stopped", false);
    process::kill(workers[0], libc::SIGSTOP);
    wait_for("the stop to be told", true);
    process::kill(workers[1], libc::SIGSTOP);
    process::kill(workers[0], libc::SIGCONT);
    wait_until("the second stop", || (process::state(workers[1]) == Some('T')).then_some(()));
    wait_for("the second stop to be told", true);
    process::kill(workers[1], libc::SIGKILL);
    wait_for("nobody to be stopped any more", false);
    process::kill(workers[0], libc::SIGSTOP);
    wait_for("another stop to be told", true);
    process::kill(workers[0], libc::SIGCONT);
    wait_for("it to go on", false);
}

/// Dead children of a process that it has not reaped.
fn zombies_of(pid: u32) -> usize {
    process::children(pid).iter().filter(|&&child| process::state(child) == Some('Z')).count()
}

/// A program that leaves 200 orphans behind, which end at once, then says so and does `then`.
fn shedding(then: &str) -> String {
    format!("for i in $(seq 200); do (true & ); done; touch shed; {then}")
}

/// Each orphan of a program that runs on would else keep a pid until the program ends.
#[test]
fn a_program_that_runs_on_leaves_no_zombies_in_any_mode() {
    let number = "[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n";
    let service = format!("command = '''\n{}\n'''\n", shedding("exec sleep 1000"));
    let items = |mode| format!("mode = '{mode}'\ninput = 'a'\n{number}");
    let cases = [
        ("a service", service.clone()),
        ("each", format!("{service}{}", items("each"))),
        ("reply", format!("command = '''\nread x; {}\n'''\n{}", shedding("exec sleep 1000"), items("reply"))),
        ("stream", format!("{service}{}", items("stream"))),
        // Its worker is never without something to read.
        (
            "a source in full flow",
            format!(
                "command = '''\n{}\n'''\noutput = 'b'\n[stages.end]\nuse = 'discard'\ninput = 'b'\n",
                shedding("exec yes")
            ),
        ),
        // Its worker waits for room in a queue most of the time.
        (
            "a source whose queue is full",
            format!(
                "command = '''\n{}\n'''\noutput = 'b'\n[stages.end]\ncommand = 'sleep 1000'\nmode = 'stream'\ninput = 'b'\n",
                shedding("yes & while :; do (sleep 0.01 & ); sleep 0.01; done")
            ),
        ),
    ];
    for (case, job) in cases {
        let run = Run::start(&format!("[stages.job]\n{job}"));
        let shed = run.folder.path().join("shed");
        wait_until(&format!("200 orphans ({case})"), || shed.exists().then_some(()));
        let worker = run.worker("job");
        wait_until(&format!("no zombie ({case})"), || (zombies_of(worker) < 5).then_some(()));
    }
}
