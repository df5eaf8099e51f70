//! Services: programs with neither input nor output, which run without a worker beside them.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Folder, Run, process, wait_until};

/// mprun's own processes below the supervisor.
fn helpers(run: &Run) -> Vec<u32> {
    let is_own = |pid: &u32| process::command_line(*pid).starts_with("mprun __");
    process::children(run.pid()).into_iter().filter(is_own).collect()
}

fn helper(run: &Run, verb: &str) -> u32 {
    let is_it = |pid: &u32| process::command_line(*pid).contains(verb);
    wait_until(verb, || helpers(run).into_iter().find(is_it))
}

/// A process of the stage other than this one, past its exec.
fn next_of(run: &Run, stage: &str, before: u32) -> u32 {
    wait_until(&format!("another process of {stage}: {}", run.stderr()), || {
        run.workers(stage).into_iter().find(|pid| *pid != before)
    })
}

fn counts(run: &Run, line: &str) -> usize {
    run.lines().iter().filter(|said| *said == line).count()
}

#[test]
fn a_service_is_the_supervisors_own_child_and_has_no_worker() {
    let run = Run::start(
        "[stages.a]\ncommand = ['sleep', '1000']\nprocesses = 3\n[stages.b]\ncommand = 'exec sleep 1000'\n",
    );
    run.wait_for_log("up after");
    assert_eq!((run.workers("a").len(), run.workers("b").len()), (3, 1));
    for pid in run.workers("a") {
        assert_eq!(process::command_line(pid), "sleep 1000 ");
    }
    wait_until("two helpers and nothing else", || (helpers(&run).len() == 2).then_some(()));
    assert_eq!(process::children(run.pid()).len(), 6);
    let status = run.tell(&["status"]);
    assert!(status.contains("a") && !status.contains("NaN"), "{status}");
    // Nothing about items is said of them, and the verbs read it all the same.
    let json = run.tell(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    let service = &status["stages"][0];
    for name in ["inputs", "outputs", "totals", "rate", "times", "item_seconds"] {
        assert!(service.get(name).is_none() && service["workers"][0].get(name).is_none(), "{name}: {json}");
    }
    assert_eq!((service["running"].as_u64(), service["workers"][0]["index"].as_u64()), (Some(3), Some(0)));
    assert_eq!(run.tell(&["audit"]), "there are no queues, and no items\n");
    assert!(run.tell(&["pause", "pipeline.toml", "b"]).contains("stand still"));
}

#[test]
fn what_it_prints_and_says_comes_out_under_its_name() {
    let mut run = Run::start(
        "[stages.say]\ncommand = ['sh', '-c', 'echo out {worker} {{worker}}; echo err {worker} >&2; printf last']\nprocesses = 2\n",
    );
    let mut lines = run.finish();
    lines.sort();
    assert_eq!(lines, ["last", "last", "out 0 {worker}", "out 1 {worker}"]);
    let log = run.stderr();
    assert!(log.contains("INFO  say[0] err 0\n") && log.contains("INFO  say[1] err 1\n"), "{log}");
}

#[test]
fn a_piece_of_a_line_that_is_too_long_holds_up_no_restart() {
    let run = Run::start(
        "[stages.a]\ncommand = 'dd if=/dev/zero bs=5000 count=3360 2>/dev/null; sleep 0.2; kill -9 $$$$'\n[stages.b]\ncommand = 'sleep 1000'\n",
    );
    run.wait_for_log("a[0] was ended in the middle of a line");
    run.wait_for_log("it starts again at once");
}

#[test]
fn one_that_is_killed_comes_back_at_once_and_why_tells_of_its_last_words() {
    let run = Run::start("[stages.web]\ncommand = 'echo up >&2; echo up; exec sleep 1000'\n");
    run.wait_for_log("up after");
    wait_until("its line", || (counts(&run, "up") == 1).then_some(()));
    let first = run.worker("web");
    assert!(process::kill(first, libc::SIGKILL));
    let second = next_of(&run, "web", first);
    wait_until("its line again", || (counts(&run, "up") == 2).then_some(()));
    assert!(process::is_alive(second));
    run.wait_for_log("it starts again at once");
    let why = run.tell(&["why", "pipeline.toml", "web"]);
    assert!(why.contains("killed by SIGKILL") && why.contains("up"), "{why}");
}

#[test]
fn the_helper_may_be_killed_and_no_program_notices() {
    let run = Run::start(
        "[stages.tick]\ncommand = 'n=0; while :; do n=$((n+1)); echo $n; echo said $n >&2; sleep 0.05; done'\n",
    );
    run.wait_for_log("said 3");
    let tick = run.worker("tick");
    for _ in 0..3 {
        let log = helper(&run, "__log");
        assert!(process::kill(log, libc::SIGKILL));
        wait_until("another helper", || (helper(&run, "__log") != log).then_some(()));
        let (lines, log) = (run.lines().len(), run.stderr().len());
        wait_until("more lines", || {
            (run.lines().len() > lines + 3 && run.stderr().len() > log).then_some(())
        });
    }
    assert_eq!(run.workers("tick"), [tick], "{}", run.stderr());
    // A packet may be lost with the helper, but nothing comes twice, and nothing is half.
    let numbers: Vec<u64> = run.lines().iter().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn kill_9_of_the_supervisor_ends_it_and_what_it_has_started() {
    let mut run = Run::start("[stages.web]\ncommand = 'setsid sleep 1000 & sleep 1000'\nprocesses = 3\n");
    run.wait_for_log("up after");
    wait_until("their children", || (process::in_folder(run.folder.path()).len() >= 7).then_some(()));
    run.signal(libc::SIGKILL);
    run.wait();
    let folder = run.folder.path().to_owned();
    wait_until("all of it to be gone", || process::in_folder(&folder).is_empty().then_some(()));
}

/// A line for the shell that starts a daemon: in a session of its own, without a parent, without an environment. It prints
/// its pid.
const DAEMON: &str =
    r#"env -i /usr/bin/setsid /bin/sh -c '/bin/sh -c "echo \$$\$$; exec /bin/sleep 1000" & exit 0'"#;

/// The pid that the `n`th daemon has printed.
fn daemon(run: &Run, n: usize) -> u32 {
    let pid = |line: &String| line.parse().ok();
    wait_until("a daemon", || run.lines().iter().filter_map(pid).nth(n))
}

fn wait_for_end_of(pid: u32, run: &Run) {
    wait_until(&format!("the end of {pid}: {}", run.stderr()), || (!process::is_alive(pid)).then_some(()));
}

#[test]
fn a_daemon_without_environment_ends_with_its_own_service_and_with_no_other() {
    let run = Run::start(&format!(
        "[stages.a]\ncommand = '''\n{DAEMON}; exec sleep 1000\n'''\n[stages.b]\ncommand = 'echo b; exec sleep 1000'\n"
    ));
    run.wait_for_log("up after");
    let (first, b) = (daemon(&run, 0), run.worker("b"));
    process::kill(b, libc::SIGKILL);
    next_of(&run, "b", b);
    assert!(process::is_alive(first), "{}", run.stderr());
    run.tell(&["restart", "pipeline.toml", "a", "--wait"]);
    wait_for_end_of(first, &run);
    let second = daemon(&run, 1);
    assert!(process::is_alive(second));
    run.tell(&["stop", "pipeline.toml", "a", "--wait"]);
    wait_for_end_of(second, &run);
}

#[test]
fn a_daemon_without_environment_ends_with_a_supervisor_that_is_killed() {
    let mut run = Run::start(&format!("[stages.a]\ncommand = '''\n{DAEMON}; exec sleep 1000\n'''\n"));
    run.wait_for_log("up after");
    let daemon = daemon(&run, 0);
    run.signal(libc::SIGKILL);
    run.wait();
    wait_for_end_of(daemon, &run);
}

/// Each ends once its daemon has said its pid, or the process that it has started is over.
#[test]
fn a_program_that_becomes_a_daemon_is_ended_and_told_how_to_stay() {
    let run = Run::start(&format!(
        "[stages.a]\ncommand = '''\n{DAEMON} | {{ read pid; echo $pid; }}\n'''\n[stages.b]\ncommand = 'exec sleep 1000'\n\
         [stages.c]\ncommand = '(exit 0 &) | cat; exit 0'\n"
    ));
    let daemon = daemon(&run, 0);
    wait_for_end_of(daemon, &run);
    run.wait_for_log("behind, which is killed: a program that mprun runs must stay in the foreground");
    let said = |stage: &str| run.stderr().contains(&format!("{stage}[0]: its program has ended and left"));
    assert!(said("a") && !said("c"), "{}", run.stderr());
}

#[test]
fn a_stop_asks_it_first_and_kills_it_after_stop_timeout() {
    let mut run = Run::start(
        "[stages.good]\ncommand = \"trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.05; done\"\n\
         [stages.bad]\ncommand = \"trap '' TERM; echo up; while :; do sleep 0.05; done\"\nstop_timeout = '300ms'\n",
    );
    wait_until("both", || (counts(&run, "up") == 2).then_some(()));
    run.signal(libc::SIGINT);
    assert_eq!(run.finish(), ["up", "up", "bye"]);
    assert!(run.stderr().contains("bad[0] is killed: the pipeline stops"), "{}", run.stderr());
}

#[test]
fn a_flood_on_standard_error_costs_lines_and_holds_up_nobody() {
    let run = Run::start(
        "[stages.noisy]\ncommand = 'yes noise | head -c 1000000000 >&2; echo through; exec sleep 1000'\n\
         [stages.calm]\ncommand = 'while :; do echo calm >&2; sleep 0.05; done'\n",
    );
    run.wait_for_log("calm");
    while counts(&run, "through") == 0 {
        run.tell(&["status"]);
    }
    run.wait_for_log("lines are left out of the log: it writes too fast");
    let calm = run.stderr().matches("calm[0] calm").count();
    wait_until("more of the calm one", || {
        (run.stderr().matches("calm[0] calm").count() > calm + 2).then_some(())
    });
    assert!(run.stderr().len() < 2_000_000, "{}", run.stderr().len());
}

#[test]
fn a_reader_that_does_not_read_makes_it_wait_and_costs_no_line() {
    const LINES: usize = 100_000;
    let folder = Folder::new();
    let text =
        format!("[stages.seq]\ncommand = ['seq', '{LINES}']\n[stages.web]\ncommand = 'exec sleep 1000'\n");
    folder.file("pipeline.toml", &text);
    let mut command = support::command(&folder);
    command.args(["run", "pipeline.toml"]).stdout(Stdio::piped());
    command.stderr(File::create(folder.path().join("stderr")).unwrap());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let run = Run::adopt(folder, child);
    run.wait_for_log("up after");
    // It can't end before its lines are out; meanwhile the others are looked after.
    let web = run.worker("web");
    process::kill(web, libc::SIGKILL);
    next_of(&run, "web", web);
    assert!(run.tell(&["status", "--json"]).contains("\"seq\""));
    let lines: Vec<String> = out.lines().take(LINES).map(Result::unwrap).collect();
    assert_eq!((lines.len(), lines[LINES - 1].as_str()), (LINES, LINES.to_string().as_str()));
    wait_until("its end", || run.tell(&["status"]).contains("finished").then_some(()));
}

#[test]
fn one_whose_reader_goes_ends_well() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.yes]\ncommand = 'yes'\n");
    let mut command = support::command(&folder);
    command.args(["run", "pipeline.toml"]).stdout(Stdio::piped());
    command.stderr(File::create(folder.path().join("stderr")).unwrap());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"y\n");
    let mut run = Run::adopt(folder, child);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_program_that_is_not_there_ends_the_run_at_once_and_a_reload_goes_back() {
    let folder = Folder::new();
    let program = folder.file("program", "#!/bin/sh\necho up\nexec sleep 1000\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.file("pipeline.toml", "[stages.web]\ncommand = ['./program']\n");
    let run = Run::in_folder(folder, &[]);
    wait_until("its line", || (counts(&run, "up") == 1).then_some(()));
    let before = run.worker("web");
    // A look at the file goes no further than the one that it names.
    let inner = run.folder.file("inner", "#!/no/such/interpreter\n");
    let broken = run.folder.file("broken", &format!("#!{}\n", inner.display()));
    for script in [inner, broken] {
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    run.edit("[stages.web]\ncommand = ['./broken']\n");
    run.wait_for_log("going back to the pipeline as it was");
    assert!(run.stderr().contains("what its `#!` line names must be missing"), "{}", run.stderr());
    wait_until("the old program", || (counts(&run, "up") == 2).then_some(()));
    assert_ne!(run.worker("web"), before);
    let mut bad = Run::start("[stages.web]\ncommand = ['sh', '-c', 'exit 0']\ncwd = 'nowhere'\n");
    assert_ne!(bad.wait(), 0);
}

#[test]
fn a_changed_one_is_replaced_and_the_others_are_left_alone() {
    let text = |n: u32| {
        format!(
            "[stages.a]\ncommand = 'echo {n}; exec sleep 1000'\nprocesses = 2\n[stages.b]\ncommand = 'exec sleep 1000'\n"
        )
    };
    let run = Run::start(&text(1));
    run.wait_for_log("up after");
    let other = run.worker("b");
    run.edit(&text(2));
    run.wait_for_log("reloaded after");
    wait_until("the new lines", || (counts(&run, "2") == 2).then_some(()));
    assert_eq!((run.workers("a").len(), run.workers("b")), (2, vec![other]));
    run.tell(&["scale", "pipeline.toml", "a=4", "--wait"]);
    assert_eq!(run.workers("a").len(), 4);
    run.tell(&["scale", "pipeline.toml", "a=1", "--wait"]);
    assert_eq!(run.workers("a").len(), 1);
    run.tell(&["restart", "pipeline.toml", "b", "--wait"]);
    assert_ne!(run.workers("b"), [other]);
}

#[test]
fn a_paused_one_stands_still_until_it_is_resumed() {
    let run = Run::start("[stages.tick]\ncommand = 'while :; do echo tick; sleep 0.02; done'\n");
    wait_until("ticks", || (counts(&run, "tick") > 2).then_some(()));
    run.tell(&["pause", "pipeline.toml", "tick", "--wait"]);
    let pid = run.worker("tick");
    wait_until("it to be stopped", || (process::state(pid) == Some('T')).then_some(()));
    assert!(!run.stderr().contains("was stopped by a signal"), "{}", run.stderr());
    run.tell(&["resume", "pipeline.toml", "tick"]);
    let ticks = counts(&run, "tick");
    wait_until("more ticks", || (counts(&run, "tick") > ticks + 2).then_some(()));
    run.tell(&["pause", "pipeline.toml", "tick"]);
    run.tell(&["stop", "pipeline.toml"]);
    let mut run = run;
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn one_that_is_too_old_or_too_large_makes_room_for_a_fresh_one() {
    let run = Run::start(
        "[stages.old]\ncommand = 'echo old; exec sleep 1000'\nrecycle = { age = '100ms' }\n\
         [stages.bomb]\ncommand = 'for i in 1 2 3 4 5 6; do sleep 1000 & done; wait'\nlimits = { processes = 4 }\n\
         give_up = { restarts = 1, within = '1h' }\non_give_up = 'continue'\n",
    );
    wait_until("some of the old ones", || (counts(&run, "old") > 3).then_some(()));
    run.wait_for_log("more than 4 (limits.processes)");
    run.wait_for_log("the stage bomb gives up");
}

#[test]
fn what_has_left_a_living_one_is_not_taken_for_another_ones() {
    let run = Run::start(
        "[stages.a]\ncommand = '(setsid sleep 1000 &) ; echo up; exec sleep 1000'\n\
         [stages.b]\ncommand = '(setsid sleep 1000 &) ; echo up; exec sleep 1000'\n",
    );
    wait_until("both", || (counts(&run, "up") == 2).then_some(()));
    // Its main process, and what has left it.
    wait_until("the orphans", || (run.workers("a").len() == 2 && run.workers("b").len() == 2).then_some(()));
    let (a, b) = (run.workers("a"), run.workers("b"));
    let main = |of: &[u32]| *of.iter().find(|pid| process::field(**pid, 2) == Some(pid.to_string())).unwrap();
    let leader = b.iter().copied().min().unwrap();
    assert!(main(&b) > 0);
    process::kill(leader, libc::SIGKILL);
    wait_until("another b", || (counts(&run, "up") == 3).then_some(()));
    wait_until("both old ones of b to be gone", || {
        b.iter().all(|pid| !process::is_alive(*pid)).then_some(())
    });
    assert!(a.iter().all(|pid| process::is_alive(*pid)), "{}", run.stderr());
}

#[test]
fn it_goes_on_under_the_next_program() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "[stages.tick]\ncommand = 'n=0; while :; do n=$((n+1)); echo $n; echo said $n >&2; sleep 0.01; done'\n\
         [stages.half]\ncommand = 'printf half; sleep 1; echo way; exec sleep 1000'\n",
    );
    let copy = folder.path().join("mprun");
    assert!(Command::new("cp").arg(support::binary()).arg(&copy).status().unwrap().success());
    let plain = support::command(&folder);
    let mut command = Command::new(&copy);
    command.current_dir(folder.path()).stdin(Stdio::null()).args(["run", "pipeline.toml"]);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let run = Run::of(folder, command);
    run.wait_for_log("said 3");
    let (tick, half) = (run.worker("tick"), run.worker("half"));
    for round in 1..=3 {
        upgrade(&copy);
        run.signal(libc::SIGUSR2);
        wait_until(&format!("takeover {round}: {}", run.stderr()), || {
            (run.stderr().matches("took over, with 2 processes").count() == round).then_some(())
        });
    }
    let lines = run.lines().len();
    wait_until("more lines", || (run.lines().len() > lines + 20).then_some(()));
    wait_until("the whole line", || (counts(&run, "halfway") == 1).then_some(()));
    assert_eq!((run.workers("tick"), run.workers("half")), (vec![tick], vec![half]));
    let numbers: Vec<u64> = run.lines().iter().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "none is lost, none comes twice");
    process::kill(tick, libc::SIGKILL);
    next_of(&run, "tick", tick);
}

fn upgrade(program: &Path) {
    let new = program.with_extension("new");
    assert!(Command::new("cp").arg(support::binary()).arg(&new).status().unwrap().success());
    std::fs::rename(new, program).unwrap();
}

#[test]
fn keys_about_items_are_faults_where_the_stage_itself_says_them() {
    let folder = Folder::new();
    let check = |text: &str| {
        folder.file("pipeline.toml", text);
        let output = support::command(&folder).args(["check", "pipeline.toml"]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = check("[stages.web]\ncommand = 'sleep 1'\nrate = '5/s'\ndead_codes = [65]\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`rate` is about items") && said.contains("`dead_codes` is about items"), "{said}");
    let (code, said) = check("[stages.web]\ncommand = 'sleep 1'\nattempts = 5\nrecycle = { items = 5 }\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("`attempts` is about items") && said.contains("`items` is about items"), "{said}");
    let (code, said) = check("[defaults]\nrate = '5/s'\nattempts = 5\n[stages.web]\ncommand = 'sleep 1'\n");
    assert_eq!((code, said.contains("about items")), (Some(0), false), "{said}");
}
