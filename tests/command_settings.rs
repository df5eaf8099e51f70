//! What a program finds: its environment, folder, user, limits; and what becomes of what it says on standard error.

mod support;

use support::{Folder, Run, process, wait_until};

/// What a lone program prints.
fn says(keys: &str) -> Vec<String> {
    Run::start(&format!("[stages.job]\n{keys}\n")).finish()
}

#[test]
fn the_environment_is_mpruns_then_the_files_then_the_stages() {
    let folder = Folder::new();
    folder.file("some.env", "\u{feff}; about\nA=file\nexport B='from '\"file\"\nD=two \\\nlines\n");
    folder.file(
        "pipeline.toml",
        "name = 'pipe'\n[stages.job]\ncommand = \"echo $A; echo $B; echo $C; echo $D; echo $MPRUN_STAGE $MPRUN_WORKER $MPRUN_PIPELINE\"\n\
         env_file = 'some.env'\nenv = { A = 'stage', C = '${MPRUN_TEST_NOTHING:-c}' }\n",
    );
    assert_eq!(Run::in_folder(folder, &[]).finish(), ["stage", "from file", "c", "two lines", "job 0 pipe"]);
}

#[test]
fn of_several_env_files_the_later_one_applies_and_an_edit_of_any_is_applied() {
    let folder = Folder::new();
    folder.file("common.env", "A=common\nB=common\n");
    folder.file("own.env", "B=own\n");
    folder.file(
        "pipeline.toml",
        "[stages.job]\ncommand = 'echo $A $B $C; exec sleep 1000'\nenv_file = ['common.env', 'own.env']\nenv = { C = 'c' }\n",
    );
    let run = Run::in_folder(folder, &[]);
    wait_until("the first", || (run.lines() == ["common own c"]).then_some(()));
    let put = |name: &str, text: &str| {
        let fresh = run.folder.file("fresh", text);
        std::fs::rename(fresh, run.folder.path().join(name)).unwrap();
    };
    put("common.env", "A=edited\nB=edited\n");
    wait_until("the next", || (run.lines() == ["common own c", "edited own c"]).then_some(()));
    put("own.env", "oops\n");
    run.wait_for_log("own.env:1: expected NAME=value");
    assert_eq!(run.lines().len(), 2, "{}", run.stderr());
}

#[test]
fn a_wrong_line_of_an_env_file_is_told_with_file_and_line() {
    let folder = Folder::new();
    folder.file("some.env", "A=1\n\nB 2\n");
    folder.file(
        "pipeline.toml",
        "[stages.job]\ncommand = ['true']\nenv_file = 'some.env'\ngive_up = { restarts = 1, within = '1m' }\n\
         backoff = { initial = '1ms', max = '2ms', reset_after = '1m' }\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_ne!(run.wait(), 0);
    assert!(run.stderr().contains("some.env:3: expected NAME=value, or a comment"), "{}", run.stderr());
}

#[test]
fn the_workers_number_stands_in_arguments() {
    let mut lines = says("command = ['echo', 'w{worker}', '{{}}']\nprocesses = 3");
    lines.sort();
    assert_eq!(lines, ["w0 {}", "w1 {}", "w2 {}"]);
}

#[test]
fn an_item_of_several_arguments_is_a_word_for_each_and_no_kill_takes_one_from_its_group() {
    let mut run = Run::start(
        "[stages.names]\nuse = 'list'\nwith = { items = ['a.x', '$(reboot)', '-n', \"it's\", 'd/e.y'] }\noutput = 'names'\n\
         [stages.pairs]\nuse = 'group'\nwith = { size = 2 }\ninput = 'names'\noutput = 'pairs'\n\
         [stages.e]\nmode = 'each'\ninput = 'pairs'\nplaceholders = 'parallel'\nmax_args = 2\nretry = { delay = '1ms' }\n\
         command = ['sh', '-c', 'printf \"<%s>\" \"$@\"; echo; test $MPRUN_ATTEMPT = 2', 'sh', '{}', '{1.}', '{2/}', '{#}']\n",
    );
    assert_eq!(
        run.finish(),
        ["<a.x><$(reboot)><a><$(reboot)><1>", "<-n><it's><-n><it's><2>", "<d/e.y><d/e><3>"]
    );
}

#[test]
fn each_attempt_knows_its_number() {
    let mut run = Run::start(
        "[stages.n]\ncommand = ['echo', 'x']\noutput = 'a'\n\
         [stages.e]\nmode = 'each'\ncommand = \"echo $MPRUN_ATTEMPT; test $MPRUN_ATTEMPT = 3\"\ninput = 'a'\n",
    );
    assert_eq!(run.finish(), ["3"]);
}

#[test]
fn the_folder_is_the_files_or_what_it_says() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let path = folder.path().canonicalize().unwrap();
    folder.file("hello", "#!/bin/sh\npwd\n");
    std::process::Command::new("chmod").arg("+x").arg(folder.path().join("hello")).status().unwrap();
    folder.file(
        "pipeline.toml",
        "[stages.a]\ncommand = ['./hello']\n[stages.b]\ncommand = ['./hello']\ncwd = 'sub'\n",
    );
    let mut lines = Run::in_folder(folder, &[]).finish();
    lines.sort();
    assert_eq!(lines, [path.display().to_string(), path.join("sub").display().to_string()]);
}

#[test]
fn umask_nice_and_limits_hold() {
    let keys = "umask = '027'\nnice = 7\nlimits = { memory = '1GiB', open_files = 99, cpu_time = '1m' }\n\
                command = \"umask; nice; ulimit -n; ulimit -v; ulimit -t\"";
    assert_eq!(says(keys), ["0027", "7", "99", "1048576", "60"]);
}

#[test]
fn a_user_has_its_groups_its_home_and_no_way_back() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can become another user: an ordinary user is refused.
        let mut run = Run::start("[stages.job]\ncommand = ['true']\nuser = 'root'\n");
        assert_eq!(run.wait(), 1);
        assert!(run.stderr().contains("only root"), "{}", run.stderr());
        return;
    }
    let keys = "user = 'nobody'\ncwd = '/'\ncommand = \"id -un; echo $USER; grep NoNewPrivs /proc/self/status; id -G | wc -w\"";
    assert_eq!(says(keys)[..3], ["nobody", "nobody", "NoNewPrivs:\t1"]);
    let keys = "user = '4321'\ngroup = '1234'\ncwd = '/'\ncommand = \"id -u; id -G\"";
    assert_eq!(says(keys), ["4321", "1234"]);
}

#[test]
fn an_unknown_user_is_told_of() {
    let mut run = Run::start("[stages.job]\ncommand = ['true']\nuser = 'no-such-user'\n");
    assert_eq!(run.wait(), 2);
    assert!(run.stderr().contains("there is no user `no-such-user`"), "{}", run.stderr());
}

#[test]
fn a_program_inherits_its_three_descriptors_and_no_other() {
    let lines = says(
        "command = ['python3', '-c', 'import os; print(*sorted(map(int, os.listdir(\"/proc/self/fd\"))))']",
    );
    // The fourth is the listing itself.
    assert_eq!(lines, ["0 1 2 3"]);
}

#[test]
fn standard_error_is_logged_by_whole_lines_under_the_stages_name() {
    let mut run = Run::start(
        "[stages.job]\nprocesses = 2\n\
         command = ['python3', '-uc', '''\nimport os,time\nfor i in range(200):\n  os.write(2,b\"one \")\n  os.write(2,b\"line\\n\")\n\
         os.write(2,b\"bad \\xff\\nno end\")\n''']\n",
    );
    run.finish();
    let log = run.stderr();
    for worker in 0..2 {
        let of =
            |text: &str| log.lines().filter(|line| line.ends_with(&format!("job[{worker}] {text}"))).count();
        assert_eq!((of("one line"), of("bad \\xff"), of("no end")), (200, 1, 1), "{log}");
    }
}

#[test]
fn a_flood_of_standard_error_is_cut_short_and_counted() {
    let mut run = Run::start(
        "[stages.job]\ncommand = ['sh', '-c', 'seq 300000 >&2; echo end >&2; exit 4']\nrestart = 'never'\n",
    );
    assert_eq!(run.wait(), 1);
    let log = run.stderr();
    assert!(log.lines().count() < 20_000, "{} lines", log.lines().count());
    assert!(log.contains("lines are left out of the log"), "{log}");
    assert!(log.contains("its last words: end"), "{log}");
}

#[test]
fn nothing_is_left_of_a_tree_whoever_is_killed() {
    let tree = "command = \"sleep 1001 & setsid sleep 1002 & (setsid sh -c 'sleep 1003; :' &) ; echo up >&2; sleep 1004\"";
    let text = format!("[stages.job]\n{tree}\n[stages.n]\ncommand = ['sleep', '1005']\n");
    // The supervisor, by KILL: `Drop` of the run waits until all are gone.
    let run = Run::start(&text);
    run.wait_for_log("up");
    drop(run);
    // The worker, by KILL: its tree goes, and a new one comes.
    let mut run = Run::start(&text);
    let old = wait_until("the whole tree", || Some(tree_of(&run)).filter(|tree| tree.len() == 5));
    let worker = run.worker("job");
    process::kill(worker, libc::SIGKILL);
    let other =
        wait_until("the lone program", || tree_of(&run).into_iter().find(|&pid| is_sleep(pid, b"1005")));
    let gone = |pid: &u32| *pid == other || !process::is_alive(*pid);
    wait_until("the old tree to be gone", || old.iter().all(gone).then_some(()));
    wait_until("a new tree", || (tree_of(&run).len() == 5).then_some(()));
    // All of it, by a stop.
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

fn tree_of(run: &Run) -> Vec<u32> {
    let of_run = process::in_folder(run.folder.path());
    of_run.into_iter().filter(|&pid| is_sleep(pid, b"100")).collect()
}

fn is_sleep(pid: u32, time: &[u8]) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.strip_prefix(b"sleep\0").is_some_and(|rest| rest.starts_with(time))
}

#[test]
fn a_worker_and_its_program_are_replaced_after_their_share() {
    let mut run = Run::start(
        "[stages.n]\nuse = 'count'\nwith = { from = 1, to = 100 }\noutput = 'a'\n\
         [stages.r]\nmode = 'reply'\ncommand = \"while read n; do echo $$$$; done\"\ninput = 'a'\nrecycle = { items = 10 }\n",
    );
    let mut pids = run.finish();
    assert_eq!(pids.len(), 100, "{}", run.stderr());
    pids.dedup();
    assert!(pids.len() >= 10, "{pids:?}");
}

#[test]
fn a_changed_command_is_taken_over_without_losing_an_item() {
    let text = |word: &str| {
        format!(
            "[stages.n]\nuse = 'count'\nwith = {{ from = 1, to = 3000 }}\noutput = 'a'\n\
             [stages.r]\nmode = 'reply'\ncommand = \"while read n; do echo $n {word}; done\"\ninput = 'a'\noutput = 'b'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\nsleep = '1ms'\n[queues.b]\ncapacity = 5\n"
        )
    };
    let mut run = Run::start(&text("old"));
    wait_until("output", || (run.lines().len() > 10).then_some(()));
    run.edit(&text("new"));
    let lines = run.finish();
    let order: Vec<u64> = lines.iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(order, (1..=3000).collect::<Vec<u64>>());
    assert!(lines[0].ends_with("old") && lines[2999].ends_with("new"));
}
