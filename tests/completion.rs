//! Completion while a person types: what a shell is told, and what bash makes of it.

mod support;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, socket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use support::pty::Pty;
use support::{Run, command, wait_until};

const PIPELINE: &str = "\
[queues.lines]
[queues.hits]
[stages.read]
use = 'repeat'
with = { text = '2' }
output = 'lines'
sleep = '1s'
[stages.parse]
use = 'filter'
with = { keep = 'even' }
input = 'lines'
output = 'hits'
[stages.keep]
use = 'discard'
input = 'hits'
processes = 2
";

fn start() -> Run {
    let run = Run::start(PIPELINE);
    run.wait_for_log("up after");
    run
}

/// What a shell is told at TAB behind these words; the last one may be empty.
fn ask(run: &Run, words: &[&str]) -> Output {
    ask_as("bash", run, words)
}

fn ask_as(shell: &str, run: &Run, words: &[&str]) -> Output {
    let mut command = command(&run.folder);
    command.env("MPRUN_COMPLETE", shell).env("_CLAP_IFS", " ");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    command.args(["--", "mprun"]).args(words).output().unwrap()
}

#[track_caller]
fn completed(run: &Run, words: &[&str]) -> String {
    let output = ask(run, words);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pipelines_stages_and_queues_are_completed() {
    let run = start();
    run.folder.file("other/shop.toml", "");
    run.folder.file("notes.txt", "");
    run.folder
        .file("more/a.toml", "include = 'b.toml'\n[stages.one]\nuse = 'count'\n[stages.one_more]\nuse =");
    run.folder.file("more/b.toml", "[stages.two]\nuse = 'discard'\n");
    for (words, candidates) in [
        (&["status", ""][..], "pipeline pipeline.toml more/ other/ run/ state/"),
        (&["stop", "pi"], "pipeline pipeline.toml"),
        (&["stop", "pipeline", ""], "read parse keep"),
        (&["restart", "--wait", "pipeline", "p"], "parse"),
        (&["restart", "pa"], "parse"),
        (&["tap", "pipeline.toml", ""], "lines hits"),
        (&["tap", "h"], "hits"),
        (&["scale", "pipeline", "k"], "keep="),
        (&["dead", "list", "--stage", ""], "read parse keep"),
        (&["dead", "retry", "pipe"], "pipeline pipeline.toml"),
        (&["check", "other/"], "other/shop.toml"),
        (&["oth"], "other/"),
        (&["run", "pipeline.toml", "--stages", ""], "read parse keep"),
        (&["run", "pipeline.toml", "--stages", "pa"], "parse"),
        (&["run", "pipeline.toml", "--stages", "read,"], "read,parse read,keep"),
        (&["run", "more/a.toml", "--stages=t"], "--stages=two"),
        (&["pipeline.toml", "--stages", "k"], "keep"),
        (&["run", "--stages", ""], ""),
        (&["status", "other"], "other/"),
        (&["grap"], "graph"),
        (&["graph", "--format", "m"], "mermaid"),
        (&["status", "--che"], "--check"),
        (&["help", "dead", "re"], "retry"),
        (&["stop", "nobody", "zz"], ""),
    ] {
        // A pipeline that is slow to answer, on a busy machine, is left out: the next TAB asks again.
        let what = format!("{words:?} to become {candidates:?}; now: {:?}", completed(&run, words));
        wait_until(&what, || (completed(&run, words) == candidates).then_some(()));
    }
}

#[test]
fn each_shell_gets_the_stages_of_a_file() {
    let run = start();
    for shell in ["bash", "zsh", "fish"] {
        let output = ask_as(shell, &run, &["run", "pipeline.toml", "--stages", "parse,"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let stages: Vec<&str> = text.split_whitespace().map(|word| word.split(':').next().unwrap()).collect();
        assert_eq!(stages, ["parse,read", "parse,keep"], "{shell}: {text:?}");
    }
}

#[test]
fn a_pipeline_that_hangs_or_was_killed_holds_up_no_shell() {
    let mut run = start();
    run.signal(libc::SIGSTOP);
    let begun = Instant::now();
    assert_eq!(completed(&run, &["stop", "pipeline", "p"]), "");
    // The verbs wait 15 s.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // As many as the kernel lets wait for a server that accepts nobody.
    let waiting = connections(&run);
    assert!(waiting.len() > 50, "{}", waiting.len());
    let begun = Instant::now();
    assert_eq!(completed(&run, &["stop", "pipeline", "p"]), "");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    drop(waiting);
    run.signal(libc::SIGCONT);
    wait_until("it to answer again", || {
        (completed(&run, &["stop", "pipeline", "p"]) == "parse").then_some(())
    });
    run.signal(libc::SIGKILL);
    run.wait();
    assert_eq!(completed(&run, &["stop", "pipeline", "p"]), "");
    assert_eq!(completed(&run, &["logs", "pi"]), "pipeline", "its last lines are there");
}

/// To the control socket, until it takes no more.
fn connections(run: &Run) -> Vec<OwnedFd> {
    let address = UnixAddr::new(&run.socket()).unwrap();
    let connect = |_| {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        socket::connect(socket.as_raw_fd(), &address).is_ok().then_some(socket)
    };
    (0..10_000).map_while(connect).collect()
}

#[test]
fn a_question_that_is_none_gets_an_exit_code_and_no_words() {
    let run = start();
    let output =
        command(&run.folder).env("MPRUN_COMPLETE", "tcsh").args(["--", "mprun", ""]).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let output = ask(&run, &[]);
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// A person at a terminal: TAB puts in what is the only thing that fits.
fn is_completed_at_the_prompt(shell: &str, options: &[&str], setup: &str) {
    let run = start();
    let mut pty = Pty::open();
    let path = std::env::var("PATH").unwrap();
    std::fs::create_dir(run.folder.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(support::binary(), run.folder.path().join("bin/mprun")).unwrap();
    let mut command = Command::new(shell);
    command.args(options).env_clear().current_dir(run.folder.path());
    command.env("PATH", format!("{}/bin:{path}", run.folder.path().display()));
    command.env("TERM", "dumb").env("PS1", "$ ").env("HOME", run.folder.path());
    command.env("XDG_RUNTIME_DIR", run.folder.path().join("run")).env("HISTFILE", "/dev/null");
    pty.take(&mut command);
    let mut child = command.spawn().unwrap();
    pty.press(&format!("{setup} <(mprun completions {shell}); echo read\"\"y\n"));
    wait_until("the shell to be ready", || pty.text().contains("\nready").then_some(()));
    pty.press("mprun stop pipeline par");
    press_tab_until(&pty, "mprun stop pipeline parse");
    pty.press("--wait\n");
    wait_until("the stage to be stopped", || {
        run.tell(&["status"])
            .lines()
            .any(|line| line.contains("parse") && line.contains("stopped"))
            .then_some(())
    });
    match shell {
        "bash" => bash_quotes_names_and_knows_whole_words(&run, &pty),
        _ => zsh_knows_the_home(&run, &pty),
    }
    pty.press("mprun scale pipeline ke");
    press_tab_until(&pty, "mprun scale pipeline keep=");
    // Where a space stood behind it, this would be two words.
    pty.press("3 --wait; echo do\"\"ne\n");
    wait_until("a third process", || (run.workers("keep").len() == 3).then_some(()));
    wait_until("the prompt", || pty.text().contains("\ndone").then_some(()));
    support::process::kill(child.id(), libc::SIGKILL);
    child.wait().unwrap();
}

/// The line at the prompt draws a graph with this word.
fn is_drawn(run: &Run, pty: &Pty, word: &str) {
    pty.press(">graph.out; echo dr\"\"awn\n");
    wait_until("the graph", || pty.text().contains("\ndrawn").then_some(()));
    let drawn = std::fs::read_to_string(run.folder.path().join("graph.out")).unwrap();
    assert!(drawn.contains(word), "{drawn}; at the prompt: {}", pty.text());
}

/// What a line with such a name gets at TAB is one word, and what stands before `=` is no word of its own.
fn bash_quotes_names_and_knows_whole_words(run: &Run, pty: &Pty) {
    run.folder.file("sp ace/a$b.toml", PIPELINE);
    pty.press("mprun graph sp");
    press_tab_until(pty, "mprun graph sp\\ ace/");
    press_tab_until(pty, "a\\$b.toml");
    pty.press("--format=mer");
    press_tab_until(pty, "--format=mermaid");
    is_drawn(run, pty, "flowchart");
}

/// A `~` at the beginning stays one.
fn zsh_knows_the_home(run: &Run, pty: &Pty) {
    run.folder.file("orders/a.toml", PIPELINE);
    pty.press("mprun graph ~/ord");
    press_tab_until(pty, "mprun graph ~/orders/");
    press_tab_until(pty, "mprun graph ~/orders/a.toml");
    is_drawn(run, pty, "parse");
}

#[test]
fn bash_completes_a_stage_at_the_prompt() {
    is_completed_at_the_prompt("bash", &["--norc", "--noprofile", "-i"], "source");
}

#[test]
fn zsh_completes_a_stage_at_the_prompt() {
    is_completed_at_the_prompt("zsh", &["-f", "-i"], "autoload -U compinit; compinit -D -u; source");
}

/// A person whose TAB was in vain presses it again.
fn press_tab_until(pty: &Pty, line: &str) {
    wait_until(line, || {
        pty.press("\t");
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end && !pty.text().contains(line) {
            std::thread::sleep(Duration::from_millis(2));
        }
        pty.text().contains(line).then_some(())
    });
}
