//! Limits of the system are told by their name, whatever of it they stop.

mod support;

use std::process::{Command, Stdio};
use support::{Folder, Run, command};

const COUNT: &str = "[stages.count]\nuse = 'count'\nwith = { to = 3 }\n\
                     give_up = { restarts = 1, within = '1m' }\nbackoff = { initial = '1ms', max = '1ms' }\n";

/// Runs a pipeline under `ulimit LIMIT`; its exit code and log.
fn limited(limit: &str) -> (i32, String) {
    let (run, code) = limited_run(limit, COUNT);
    (code, run.stderr())
}

fn limited_run(limit: &str, pipeline: &str) -> (Run, i32) {
    let folder = Folder::new();
    folder.file("pipeline.toml", pipeline);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$1\" pipeline.toml"), "sh", &support::binary()]);
    let plain = command(&folder);
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(folder.path()).stdin(Stdio::null());
    let mut run = Run::of(folder, shell);
    let code = run.wait();
    (run, code)
}

const DURABLE: &str = "[queues.q]\ndurable = true\n[stages.count]\nuse = 'count'\nwith = { to = 3 }\noutput = 'q'\n\
                       [stages.limit]\ncommand = 'cat > /dev/null; ulimit -Sn; ulimit -Hn'\ninput = 'q'\n";

#[test]
fn too_few_open_files_end_the_start_with_a_word_of_what_is_needed_and_no_loop() {
    for limit in ["-n 8", "-n 12", "-n 30", "-n 64"] {
        for pipeline in [COUNT, DURABLE] {
            let (run, code) = limited_run(limit, pipeline);
            let log = run.stderr();
            assert_eq!(code, 1, "ulimit {limit}: {log}");
            assert!(log.contains("`ulimit -n 100`") && log.lines().count() == 1, "ulimit {limit}: {log}");
        }
    }
}

#[test]
fn the_limit_of_open_files_is_raised_for_mprun_and_is_its_own_for_programs() {
    let (run, code) = limited_run("-Sn 20; ulimit -Hn 300", DURABLE);
    assert_eq!((code, run.lines()), (0, vec!["20".to_owned(), "300".to_owned()]), "{}", run.stderr());
}

/// Each of its processes starts two more, 300 in all if nothing stops it.
const BOMB: &str = "#!/bin/sh\nbomb() { echo x >> count; test $(wc -l < count) -ge 300 || { bomb & bomb & }; sleep 100; }\nbomb\n";

#[test]
fn a_program_of_too_many_processes_is_ended_and_the_supervisor_answers() {
    let folder = Folder::new();
    folder.file("bomb", BOMB);
    folder.file(
        "pipeline.toml",
        "[stages.bomb]\ncommand = ['sh', 'bomb']\nlimits = { processes = 20 }\non_give_up = 'continue'\n\
         give_up = { restarts = 0, within = '1m' }\n\
         [stages.other]\ncommand = ['sleep', '1000']\nlimits = { processes = 1 }\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("the stage bomb gives up");
    let log = run.stderr();
    assert!(log.contains("processes, more than 20 (limits.processes)"), "{log}");
    assert!(run.tell(&["status"]).contains("gave up"));
    let left = || support::process::in_folder(run.folder.path()).len();
    support::wait_until("the end of all that it has started", || (left() <= 4).then_some(()));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
}

#[test]
fn a_limit_that_is_too_low_is_told_by_its_name() {
    for (limit, name) in [("-f 100", "`ulimit -f`"), ("-n 20", "`ulimit -n`"), ("-v 1000000", "`ulimit -v`")]
    {
        let (code, log) = limited(limit);
        assert_eq!(code, 1, "ulimit {limit}: {log}");
        assert!(log.contains(name), "ulimit {limit}: {log}");
    }
}
