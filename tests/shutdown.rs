//! Every way to end a run leaves nothing behind: no process, no zombie, no lost item that is not told.

mod support;

use support::{Folder, Run, process, wait_until};

const ENDLESS: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = 'a'\nprocesses = 2\n\
                       [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nprocesses = 3\n";

fn running(text: &str) -> Run {
    let run = Run::start(text);
    wait_until("output", || (run.lines().len() > 3).then_some(()));
    run
}

#[test]
fn a_terminated_run_drains_and_ends_well() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut run = running(ENDLESS);
        run.signal(signal);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
}

#[test]
fn a_drained_run_lost_nothing() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n\
         [stages.pass]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\noutput = 'b'\nprocesses = 2\n\
         [stages.total]\nuse = 'sum'\ninput = 'b'\n",
    );
    wait_until("work", || (run.workers("total").len() == 1).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(100));
    run.signal(libc::SIGTERM);
    let lines = run.finish();
    let total: u128 = lines[0].parse().unwrap();
    assert!(is_triangular(total), "{total} is no sum of 1..=n: something is lost or doubled");
}

fn is_triangular(total: u128) -> bool {
    let square = 8 * total + 1;
    let root = square.isqrt();
    root * root == square
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_drain() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\nprocesses = 1\n\
         [stages.slow]\nuse = 'stuck'\ninput = 'a'\n",
    );
    // No such built-in: the run never starts, which is a test of its own.
    assert_eq!(run.wait(), 2);
    assert!(run.stderr().contains("stuck"), "{}", run.stderr());
}

#[test]
fn a_killed_supervisor_takes_its_workers_along() {
    let mut run = running(ENDLESS);
    run.signal(libc::SIGKILL);
    assert_eq!(run.wait(), 137);
    let folder = run.folder.path().to_owned();
    wait_until("all processes to be gone", || process::in_folder(&folder).is_empty().then_some(()));
}

#[test]
fn no_zombie_is_left_while_it_runs() {
    let run = running(ENDLESS);
    for pid in run.workers("show") {
        process::kill(pid, 9);
    }
    wait_until("new workers", || (run.workers("show").len() == 3).then_some(()));
    let zombies =
        |pid| process::children(pid).into_iter().filter(|&child| process::state(child) == Some('Z')).count();
    wait_until("no zombies", || (zombies(run.pid()) == 0).then_some(()));
}

#[test]
fn what_a_stopped_run_leaves_in_a_queue_is_told() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "drain_timeout = '1ms'\n[queues.a]\ncapacity = 5\n[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nsleep = '1h'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    wait_until("the first item", || (run.lines().len() == 1).then_some(()));
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn as_pid_1_of_a_namespace_it_reaps_and_ends() {
    let can_unshare = std::process::Command::new("unshare")
        .args(["-Urpf", "true"])
        .output()
        .is_ok_and(|o| o.status.success());
    assert!(can_unshare, "this machine has no user and PID namespaces for the test");
    let folder = Folder::new();
    folder.file("pipeline.toml", ENDLESS);
    let mut command = std::process::Command::new("unshare");
    command
        .args(["-Urpf", "--kill-child", "--mount-proc", &support::binary(), "pipeline.toml"])
        .current_dir(folder.path());
    command
        .env("XDG_STATE_HOME", folder.path())
        .env("MPRUN_TEST", folder.path())
        .stdin(std::process::Stdio::null());
    let mut run = Run::of(folder, command);
    wait_until("output", || (run.lines().len() > 3).then_some(()));
    let init = process::children(run.pid())[0];
    process::kill(init, libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}
