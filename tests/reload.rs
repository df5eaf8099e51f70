//! An edited file is applied without stopping: nothing is lost, nothing is doubled, a bad file changes nothing.

mod support;

use std::fs;
use support::{Folder, Run, command, process, wait_until};

fn numbers(processes: u32, template: &str) -> String {
    format!(
        "[queues.a]\ncapacity = 50\n[queues.b]\ncapacity = 20\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1 }}\noutput = 'a'\n\
         [stages.pass]\nuse = 'format'\nwith = {{ template = '{template}' }}\ninput = 'a'\noutput = 'b'\nprocesses = {processes}\n\
         [stages.total]\nuse = 'sum'\ninput = 'b'\n"
    )
}

const TICKS: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = 'a'\n\
                     [stages.show]\nuse = 'format'\nwith = { template = 'old' }\ninput = 'a'\n";

fn ticking() -> Run {
    let run = Run::start(TICKS);
    wait_until("output", || (!run.stdout().is_empty()).then_some(()));
    run
}

fn wait_for_workers(run: &Run, stage: &str, n: usize) -> Vec<u32> {
    wait_until(&format!("{n} workers of {stage}; log:\n{}", run.stderr()), || {
        Some(run.workers(stage)).filter(|w| w.len() == n)
    })
}

fn wait_for_line(run: &Run, line: &str) {
    wait_until(&format!("{line:?} in the output; log:\n{}", run.stderr()), || {
        run.lines().iter().any(|l| l == line).then_some(())
    });
}

#[test]
fn more_processes_join_and_nobody_else_notices() {
    let run = ticking();
    let before = (run.workers("tick"), run.workers("show"));
    run.edit(&format!("{TICKS}processes = 4\n"));
    let after = wait_for_workers(&run, "show", 4);
    assert!(after.contains(&before.1[0]), "the old worker is still there");
    assert_eq!(run.workers("tick"), before.0);
    run.edit(TICKS);
    assert_eq!(wait_for_workers(&run, "show", 1), before.1, "the newest leave first");
}

#[test]
fn a_changed_stage_is_replaced_and_the_others_run_on() {
    let run = ticking();
    let tick = run.workers("tick");
    run.edit(&TICKS.replace("'old'", "'new'"));
    wait_for_line(&run, "new");
    assert_eq!(run.workers("tick"), tick);
}

#[test]
fn pauses_are_taken_over_live() {
    let mut text = format!("{TICKS}sleep = '1h'\n");
    let run = Run::start(&text);
    wait_until("one line", || (run.lines().len() == 1).then_some(()));
    let worker = run.workers("show");
    text = text.replace("'1h'", "'1ms'");
    run.edit(&text);
    wait_until("more lines", || (run.lines().len() > 10).then_some(()));
    assert_eq!(run.workers("show"), worker, "no restart");
}

#[test]
fn a_stage_and_its_queue_can_be_added_and_removed() {
    let run = ticking();
    run.edit(
        "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = ['a', 'b']\n\
         [stages.show]\nuse = 'format'\nwith = { template = 'old' }\ninput = 'a'\n\
         [stages.more]\nuse = 'format'\nwith = { template = 'more' }\ninput = 'b'\n",
    );
    wait_for_line(&run, "more");
    run.edit(TICKS);
    wait_for_workers(&run, "more", 0);
    let lines = run.lines().len();
    wait_until("the rest to run on", || (run.lines().len() > lines + 20).then_some(()));
}

/// So many pairs of stages, the first of which has so many readers: each pair has its queue, and a hidden one.
fn pairs(count: usize, readers: u32) -> String {
    let pair = |n: usize| {
        let processes = if n == 0 { readers } else { 1 };
        format!(
            "[stages.tick{n}]\nuse = 'tick'\nwith = {{ every = '1h' }}\noutput = 'q{n}'\n\
             [stages.end{n}]\nuse = 'discard'\ninput = 'q{n}'\nprocesses = {processes}\n"
        )
    };
    (0..count).map(pair).collect()
}

#[test]
fn many_queues_that_stay_leave_room_for_a_reload() {
    let run = Run::start(&pairs(75, 1));
    run.wait_for_log("up after");
    let before = run.workers("tick74");
    run.edit(&pairs(75, 2));
    wait_for_workers(&run, "end0", 2);
    run.wait_for_log("reloaded after");
    assert_eq!(run.workers("tick74"), before);
}

/// 16 queues for each pair of stages, 1,008 in all: their default `max_bytes` add up to 63 GiB.
fn wide(readers: u32) -> String {
    let pair = |n: usize| {
        let queues: Vec<String> = (0..16).map(|q| format!("'q{n}-{q}'")).collect();
        let (queues, processes) = (queues.join(", "), if n == 0 { readers } else { 1 });
        format!(
            "[stages.tick{n}]\nuse = 'tick'\nwith = {{ every = '1h' }}\noutput = [{queues}]\n\
             [stages.end{n}]\nuse = 'discard'\ninput = [{queues}]\nprocesses = {processes}\n"
        )
    };
    (0..63).map(pair).collect()
}

#[test]
fn a_thousand_queues_start_reload_one_count_and_stop() {
    let mut run = Run::start(&wide(1));
    run.wait_for_log("up after");
    run.edit(&wide(2));
    wait_for_workers(&run, "end0", 2);
    run.wait_for_log("reloaded after");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let log = run.stderr();
    assert_eq!(log.matches("  queue q").count(), 1008, "{log}");
    assert!(log.matches("the queues may grow to").count() <= 1, "warned twice: {log}");
}

#[test]
fn a_bad_file_is_refused_and_the_old_one_runs_on() {
    let run = ticking();
    let workers = run.workers("show");
    run.edit(&TICKS.replace("template", "tempalte"));
    run.wait_for_log("tempalte");
    run.edit("this is not TOML");
    run.wait_for_log("this is not TOML");
    let lines = run.lines().len();
    wait_until("more output", || (run.lines().len() > lines + 20).then_some(()));
    assert_eq!(run.workers("show"), workers);
    run.edit(&TICKS.replace("'old'", "'good again'"));
    wait_for_line(&run, "good again");
}

#[test]
fn a_change_that_can_not_be_started_is_rolled_back() {
    let run = ticking();
    run.edit(
        "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = 'a'\n\
         [stages.show]\nuse = 'file'\nwith = { path = 'no/such/folder/out' }\ninput = 'a'\n",
    );
    run.wait_for_log("no/such/folder/out");
    wait_for_workers(&run, "show", 1);
    let lines = run.lines().len();
    wait_until(&format!("the old stage to run on; log:\n{}", run.stderr()), || {
        (run.lines().len() > lines + 20).then_some(())
    });
    run.edit(&TICKS.replace("'old'", "'new'"));
    wait_for_line(&run, "new");
}

#[test]
fn a_new_name_needs_a_restart() {
    let run = ticking();
    run.edit(&format!("name = 'other'\n{TICKS}"));
    run.wait_for_log("restart");
    let lines = run.lines().len();
    wait_until("more output", || (run.lines().len() > lines + 20).then_some(()));
}

#[test]
fn a_file_written_in_place_or_swapped_by_symlink_or_reread_on_sighup_counts_too() {
    let run = ticking();
    fs::write(run.folder.path().join("pipeline.toml"), TICKS.replace("'old'", "'in place'")).unwrap();
    wait_for_line(&run, "in place");

    let folder = Folder::new();
    folder.file("one/pipeline.toml", &TICKS.replace("'old'", "'one'"));
    folder.file("two/pipeline.toml", &TICKS.replace("'old'", "'two'"));
    // As Kubernetes does: the file is a link through a link to a folder, and that one is swapped.
    std::os::unix::fs::symlink("one", folder.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/pipeline.toml", folder.path().join("pipeline.toml")).unwrap();
    let run = Run::in_folder(folder, &[]);
    wait_for_line(&run, "one");
    std::os::unix::fs::symlink("two", run.folder.path().join("..new")).unwrap();
    fs::rename(run.folder.path().join("..new"), run.folder.path().join("..data")).unwrap();
    wait_for_line(&run, "two");
    fs::write(run.folder.path().join("two/pipeline.toml"), TICKS.replace("'old'", "'behind the link'"))
        .unwrap();
    wait_for_line(&run, "behind the link");
}

#[test]
fn without_watching_sighup_still_reloads() {
    let run = Run::start_with(TICKS, &["--no-watch"]);
    wait_for_line(&run, "old");
    run.edit(&TICKS.replace("'old'", "'new'"));
    run.signal(libc::SIGHUP);
    wait_for_line(&run, "new");
}

#[test]
fn two_hundred_reloads_under_load_lose_and_double_nothing() {
    let mut run = Run::start(&numbers(1, "{item}"));
    wait_for_workers(&run, "pass", 1);
    for round in 0..200u32 {
        let processes = 1 + (round + 1) % 4; // always another one than before
        // Another template with the same outcome: the stage is rolled, worker by worker.
        let template = if round % 3 == 0 { "{item}" } else { "0{item}" };
        run.edit(&numbers(processes, template));
        let reloads = || run.stderr().matches("reloaded after").count();
        wait_until(&format!("reload {round}; log:\n{}", run.stderr()), || {
            (reloads() > round as usize).then_some(())
        });
    }
    run.edit(&numbers(4, "{item}").replace("from = 1", "from = 1, to = 1"));
    let lines = run.finish();
    let total: u128 = lines[0].parse().unwrap();
    let square = 8 * total + 1;
    let root = square.isqrt();
    assert_eq!(root * root, square, "{total} is no sum of 1..=n: something is lost or doubled");
    assert!(total > 1000);
}

/// The second name comes while the first is still read to its end, with kills in between. The output has the order of the input.
#[test]
fn a_queue_that_gets_one_name_after_the_other_under_load_loses_nothing() {
    let text = |queue: usize| {
        format!(
            "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 9000 }}\noutput = 'a'\nrate = '1500/s'\n\
             [stages.pass]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\noutput = 'q{queue}'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'q{queue}'\nsleep = '600us'\n"
        )
    };
    let mut run = Run::start(&text(0));
    for round in 1..=8 {
        wait_until("items", || (run.lines().len() > round * 50).then_some(()));
        run.edit(&text(round));
        let begun = || run.stderr().matches("reload: queue q").count();
        wait_until(&format!("reload {round}; log:\n{}", run.stderr()), || (begun() >= round).then_some(()));
        if round % 3 == 2 {
            process::kill(run.worker("show"), libc::SIGKILL);
        }
    }
    if run.stderr().matches("reads q").count() < 2 {
        panic!("no edit came in the middle of another:\n{}", run.stderr());
    }
    let lines = run.finish();
    assert_eq!(lines, (1..=9000).map(|n| n.to_string()).collect::<Vec<_>>(), "{}", run.stderr());
}

#[test]
fn a_drain_in_the_middle_of_a_rename_works_off_what_is_under_both_names() {
    let text = |queue: &str| {
        format!(
            "[stages.number]\nuse = 'count'\nwith = {{ from = 1 }}\noutput = '{queue}'\nrate = '300/s'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = '{queue}'\nsleep = '5ms'\n"
        )
    };
    let mut run = Run::start(&text("a"));
    wait_until("items", || (run.lines().len() > 50).then_some(()));
    run.edit(&text("b"));
    wait_until("items under the other name", || {
        let status: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
        let queues = status["queues"].as_array().unwrap().clone();
        queues.iter().any(|queue| queue["name"] == "b" && queue["waiting"].as_u64() > Some(20)).then_some(())
    });
    run.tell(&["drain", "--wait"]);
    let lines = run.finish();
    assert_eq!(lines, (1..=lines.len()).map(|n| n.to_string()).collect::<Vec<_>>(), "{}", run.stderr());
    assert!(!run.stderr().contains("left waiting"), "{}", run.stderr());
}

#[test]
fn capacity_and_policy_change_live() {
    let text = "[queues.a]\ncapacity = 1\n\
                [stages.number]\nuse = 'count'\nwith = { from = 1, to = 100 }\noutput = 'a'\n\
                [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nsleep = '1h'\n";
    let mut run = Run::start(text);
    wait_until("one line", || (run.lines().len() == 1).then_some(()));
    // With room for all of them the source can finish; without pauses the rest follows.
    run.edit(&text.replace("capacity = 1", "capacity = 1000"));
    wait_until(&format!("the source to end; log:\n{}", run.stderr()), || {
        run.workers("number").is_empty().then_some(())
    });
    run.edit(&text.replace("capacity = 1", "capacity = 1000").replace("'1h'", "'0s'"));
    assert_eq!(run.finish().len(), 100);
}

#[test]
fn watching_ends_with_the_folder_but_the_run_goes_on() {
    let run = ticking();
    fs::remove_file(run.folder.path().join("pipeline.toml")).unwrap();
    let lines = run.lines().len();
    wait_until("more output", || (run.lines().len() > lines + 50).then_some(()));
    run.edit(&TICKS.replace("'old'", "'back again'"));
    wait_for_line(&run, "back again");
}

#[test]
fn an_unchanged_file_restarts_nobody() {
    let folder = Folder::new();
    folder.file("pipeline.toml", TICKS);
    let mut arguments = command(&folder);
    arguments.args(["-v", "pipeline.toml"]);
    let run = Run::of(folder, arguments);
    wait_for_line(&run, "old");
    let workers = (run.workers("tick"), run.workers("show"));
    run.edit(TICKS);
    run.signal(libc::SIGHUP);
    let lines = run.lines().len();
    wait_until("more output", || (run.lines().len() > lines + 50).then_some(()));
    assert_eq!((run.workers("tick"), run.workers("show")), workers);
}

/// The file is a FIFO, so that the run is not up before it is read.
#[test]
fn a_hangup_before_the_run_is_up_is_a_reload_and_not_the_end() {
    let folder = Folder::new();
    let path = folder.path().join("pipeline.toml");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut run = Run::in_folder(folder, &["--no-watch"]);
    // Opens as soon as it is opened to be read.
    let mut writer = std::fs::File::options().write(true).open(&path).unwrap();
    run.signal(libc::SIGHUP);
    std::fs::remove_file(&path).unwrap();
    run.folder.file("pipeline.toml", "[stages.a]\nuse = 'count'\nwith = { to = 2 }\n");
    std::io::Write::write_all(&mut writer, b"[stages.a]\ncommand = ['sleep', '1000']\n").unwrap();
    drop(writer);
    assert_eq!(run.finish(), ["1", "2"]);
}

#[test]
fn a_named_pipe_in_the_files_place_is_refused_and_not_waited_for() {
    let run = ticking();
    let pipe = run.folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::rename(pipe, run.folder.path().join("pipeline.toml")).unwrap();
    run.wait_for_log("no regular file");
    fs::remove_file(run.folder.path().join("pipeline.toml")).unwrap();
    run.edit(&TICKS.replace("'old'", "'new'"));
    wait_for_line(&run, "new");
}

#[test]
fn an_edited_environment_file_is_a_change_of_its_stage() {
    let folder = Folder::new();
    folder.file("e.env", "V=one\n");
    folder.file(
        "pipeline.toml",
        "[stages.s]\ncommand = 'echo $V; exec sleep 1000'\nenv_file = 'e.env'\n\
         [stages.other]\ncommand = ['sleep', '1001']\n",
    );
    let run = Run::in_folder(folder, &["--no-watch"]);
    wait_for_line(&run, "one");
    let other = wait_for_workers(&run, "other", 1);
    run.folder.file("e.env", "V=two\n");
    let step = "stage s: replace processes one by one (env_file changed: V)";
    assert_eq!(run.tell(&["plan"]), format!("{step}\n"));
    assert!(run.tell(&["reload", "--wait"]).contains(step));
    wait_for_line(&run, "two");
    assert_eq!(run.workers("other"), other);
    assert_eq!(run.tell(&["plan"]), "nothing to do: the pipeline runs as the file says\n");
    // A broken one is refused with its place, and what it said before holds on.
    run.folder.file("e.env", "V=three\nrubbish\n");
    let refused = run.ask(&["reload"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("e.env:2: expected NAME=value"), "{}", refused.stderr);
    let (worker, lines) = (run.workers("s"), run.lines());
    support::process::kill(worker[0], libc::SIGKILL);
    wait_until("the next worker's line", || (run.lines().len() > lines.len()).then_some(()));
    assert_eq!(run.lines().last().map(String::as_str), Some("two"));
}

#[test]
fn a_change_that_this_machine_has_no_program_for_is_refused() {
    let run = ticking();
    run.edit(&format!("{TICKS}[stages.new]\ncommand = ['no-such-program']\n"));
    run.wait_for_log("there is no program `no-such-program`");
    assert_eq!(run.workers("show").len(), 1);
    run.edit(&TICKS.replace("'old'", "'new'"));
    wait_for_line(&run, "new");
}

#[test]
fn a_run_from_a_pipe_says_that_there_is_no_reload() {
    let folder = Folder::new();
    let text = "[stages.end]\nuse = 'count'\nwith = { to = 3 }\n";
    folder.file("text", text);
    let mut command = std::process::Command::new("bash");
    command.args(["-c", "exec \"$MPRUN\" run <(cat text)"]).env("MPRUN", support::binary());
    for (name, value) in support::command(&folder).get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.current_dir(folder.path()).stdin(std::process::Stdio::null());
    let mut run = Run::of(folder, command);
    assert_eq!(run.finish(), ["1", "2", "3"]);
    assert!(run.stderr().contains("can't be read again: there is no reload"), "{}", run.stderr());
}
