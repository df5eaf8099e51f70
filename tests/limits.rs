//! Limits of the system are told by their name, whatever of it they stop.

mod support;

use std::process::{Command, Stdio};
use support::{Folder, Run, command};

const COUNT: &str = "[stages.count]\nuse = 'count'\nwith = { to = 3 }\n\
                     give_up = { restarts = 1, within = '1m' }\nbackoff = { initial = '1ms', max = '1ms' }\n";

/// Runs a pipeline under `ulimit LIMIT`; its exit code and log.
fn limited(limit: &str) -> (i32, String) {
    let folder = Folder::new();
    folder.file("pipeline.toml", COUNT);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$1\" pipeline.toml"), "sh", &support::binary()]);
    let plain = command(&folder);
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(folder.path()).stdin(Stdio::null());
    let mut run = Run::of(folder, shell);
    (run.wait(), run.stderr())
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
