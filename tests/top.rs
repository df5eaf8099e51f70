//! `mprun top` on a real terminal: what it shows, what its keys do, and that the terminal is given back in every ending.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use support::pty::{Pty, fresh_modes};
use support::{Run, command, wait_until};

const PIPELINE: &str = "\
[queues.numbers]
capacity = 7
[stages.produce]
use = 'repeat'
with = { text = 'x' }
output = 'numbers'
sleep = '20ms'
[stages.consume]
command = ['sh', '-c', 'while read n; do echo \"saw $n\" >&2; done']
input = 'numbers'
";

/// A `top` with a terminal of its own.
struct Top {
    child: Child,
    pty: Pty,
}

impl Top {
    fn start(run: &Run) -> Top {
        let mut pty = Pty::open();
        let mut command = command(&run.folder);
        command.args(["top", "pipeline"]).env("TERM", "xterm-256color");
        pty.take(&mut command);
        let child = command.spawn().unwrap();
        Top { child, pty }
    }

    /// What can be read on the screen now.
    fn text(&self) -> String {
        self.pty.text()
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        let what = format!("{part:?} on the screen");
        wait_until(&what, || self.text().contains(part).then_some(()));
    }

    fn press(&self, keys: &str) {
        self.pty.press(keys);
    }

    fn signal(&self, signal: i32) {
        support::process::kill(self.child.id(), signal);
    }

    /// How it ended: the exit code, 128 + n for a signal.
    #[track_caller]
    fn wait(&mut self) -> i32 {
        let status = wait_until("the end of top", || self.child.try_wait().unwrap());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// After its end: everything is as it was.
    #[track_caller]
    fn assert_restored(&mut self, modes: [u32; 3]) {
        assert_eq!(self.pty.modes(), modes);
        let text = self.pty.end();
        assert!(self.pty.look(|screen| !screen.alternate_screen() && !screen.hide_cursor()));
        assert!(!text.contains("produce"), "{text}");
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn running() -> Run {
    let run = Run::start(PIPELINE);
    wait_until("both stages at work", || {
        (!run.workers("produce").is_empty() && !run.workers("consume").is_empty()).then_some(())
    });
    wait_until("an answer", || (run.ask(&["status"]).code == Some(0)).then_some(()));
    run
}

/// The number of processes that a stage is to have, as `status` says.
fn wanted(run: &Run, stage: &str) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
    let stages = status["stages"].as_array().unwrap();
    let found = stages.iter().find(|found| found["name"] == stage).unwrap();
    found["processes"].as_u64().unwrap()
}

/// A pipeline, and a `top` that shows it; the terminal's modes before it was started are those of any new terminal.
fn shown(run: &Run) -> (Top, [u32; 3]) {
    let top = Top::start(run);
    let modes = fresh_modes();
    top.wait_for("consume");
    (top, modes)
}

#[test]
fn stages_queues_and_the_log_are_on_the_screen_and_q_gives_it_back() {
    let run = running();
    let (mut top, modes) = shown(&run);
    for part in ["produce", "numbers", "of 7 waiting", "RESTARTS", "saw x", "q quit"] {
        top.wait_for(part);
    }
    assert_ne!(top.pty.modes(), modes, "keys come one by one");
    assert!(top.pty.look(|screen| screen.alternate_screen()));
    top.press("q");
    assert_eq!(top.wait(), 0);
    top.assert_restored(modes);
    run.signal(libc::SIGKILL);
}

#[test]
fn keys_choose_a_stage_and_scale_pause_and_restart_it() {
    let run = running();
    let (mut top, modes) = shown(&run);
    top.press("\x1b[B++");
    wait_until("three processes", || (wanted(&run, "consume") == 3).then_some(()));
    top.press("-");
    wait_until("two processes", || (wanted(&run, "consume") == 2).then_some(()));
    assert_eq!(wanted(&run, "produce"), 1);
    top.press("\x1b[A");
    let before = run.workers("produce");
    top.press("r");
    wait_until("a fresh worker", || {
        let now = run.workers("produce");
        (now.len() == 1 && now != before).then_some(())
    });
    let is_paused = || run.tell(&["status", "--json"]).contains("\"paused\": true");
    top.press("p");
    wait_until("a pause", || is_paused().then_some(()));
    top.press("p");
    wait_until("its end", || (!is_paused()).then_some(()));
    top.press("\x03"); // Ctrl-C
    assert_eq!(top.wait(), 0);
    top.assert_restored(modes);
    run.signal(libc::SIGKILL);
}

#[test]
fn signals_give_the_terminal_back_also_while_the_pipeline_does_not_answer() {
    let run = running();
    for (signal, stopped) in [(libc::SIGTERM, false), (libc::SIGHUP, false), (libc::SIGTERM, true)] {
        let (mut top, modes) = shown(&run);
        if stopped {
            run.signal(libc::SIGSTOP);
            wait_until("the stop", || (support::process::state(run.pid()) == Some('T')).then_some(()));
        }
        top.signal(signal);
        assert_eq!(top.wait(), 128 + signal);
        top.assert_restored(modes);
    }
    run.signal(libc::SIGKILL);
}

#[test]
fn another_size_is_drawn_anew() {
    let run = running();
    let (mut top, modes) = shown(&run);
    top.pty.resize(30, 140);
    let foot = || top.text().lines().nth(29).is_some_and(|line| line.contains("q quit"));
    wait_until("the foot in the last line", || foot().then_some(()));
    top.pty.resize(2, 3);
    top.pty.resize(24, 80);
    top.press("q");
    assert_eq!(top.wait(), 0);
    top.assert_restored(modes);
    run.signal(libc::SIGKILL);
}

#[test]
fn a_size_that_no_terminal_has_is_not_believed() {
    let run = running();
    let (mut top, modes) = shown(&run);
    for (rows, columns) in [(u16::MAX, u16::MAX), (0, 0), (u16::MAX, 1), (1, u16::MAX)] {
        top.pty.show("\x1b[2J");
        top.pty.claim(rows, columns);
        wait_until("another drawing", || (!top.text().trim().is_empty()).then_some(()));
    }
    top.press("q");
    assert_eq!(top.wait(), 0);
    top.assert_restored(modes);
    run.signal(libc::SIGKILL);
}

#[test]
fn a_terminal_that_hangs_up_ends_it_without_a_crash() {
    use std::os::unix::process::CommandExt;
    let run = running();
    // The signal of the hang-up may come at once, or not at all (`nohup`).
    for deaf in [false, true] {
        let mut pty = Pty::unread();
        let mut command = command(&run.folder);
        command.args(["top", "pipeline"]).env("TERM", "xterm-256color");
        pty.take(&mut command);
        if deaf {
            // SAFETY: one plain system call.
            unsafe {
                command.pre_exec(|| {
                    libc::signal(libc::SIGHUP, libc::SIG_IGN);
                    Ok(())
                });
            }
        }
        let mut child = command.spawn().unwrap();
        drop(command); // it has the other end, too
        while !pty.text().contains("consume") {
            pty.read();
        }
        drop(pty);
        let status = wait_until("the end of top", || child.try_wait().unwrap());
        assert_eq!((status.code(), status.signal()), (Some(128 + libc::SIGHUP), None));
    }
    run.signal(libc::SIGKILL);
}

#[test]
fn ctrl_z_gives_the_terminal_to_the_shell_and_fg_draws_it_anew() {
    let run = running();
    let mut pty = Pty::open();
    let mut shell = std::process::Command::new("sh");
    let plain = command(&run.folder);
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.arg("-i").current_dir(run.folder.path()).env("TERM", "xterm-256color").env_remove("ENV");
    pty.take(&mut shell);
    let mut shell = Top { child: shell.spawn().unwrap(), pty };
    shell.press(&format!("{} top pipeline\n", support::binary()));
    shell.wait_for("of 7 waiting");
    let modes = fresh_modes();
    let [top] = support::process::children(shell.child.id())[..] else { panic!("no top") };
    for keys in [true, false] {
        match keys {
            true => shell.press("\x1a"),
            false => assert!(support::process::kill(top, libc::SIGTSTP)),
        }
        wait_until("the stop", || (support::process::state(top) == Some('T')).then_some(()));
        let usual = |screen: &vt100::Screen| !screen.alternate_screen() && !screen.hide_cursor();
        wait_until("the usual screen", || shell.pty.look(usual).then_some(()));
        assert_eq!(shell.pty.modes(), modes);
        shell.press("fg\n");
        shell.wait_for("of 7 waiting");
        let own = |screen: &vt100::Screen| screen.alternate_screen() && screen.hide_cursor();
        wait_until("its own screen", || shell.pty.look(own).then_some(()));
    }
    // Behind its back: the shell has set its own modes by then.
    assert!(support::process::kill(top, libc::SIGSTOP));
    wait_until("the stop", || (support::process::state(top) == Some('T')).then_some(()));
    shell.pty.show("\x1b[2J");
    shell.press("fg\n");
    shell.wait_for("of 7 waiting");
    shell.press("q");
    wait_until("its end", || (!support::process::is_alive(top)).then_some(()));
    shell.press("exit 7\n");
    assert_eq!(shell.wait(), 7);
    run.signal(libc::SIGKILL);
}

#[test]
fn a_terminal_that_can_do_nothing_is_refused() {
    let run = running();
    let mut pty = Pty::open();
    let mut command = command(&run.folder);
    command.args(["top", "pipeline"]).env("TERM", "dumb");
    pty.take(&mut command);
    let mut top = Top { child: command.spawn().unwrap(), pty };
    drop(command); // it has the other end, too
    assert_eq!(top.wait(), 2);
    let text = top.pty.end();
    assert!(text.contains("TERM says") && text.contains("mprun status"), "{text}");
    assert!(!top.pty.all().contains('\x1b'), "{:?}", top.pty.all());
    run.signal(libc::SIGKILL);
}

#[test]
fn the_end_of_the_pipeline_is_its_end() {
    let mut run = running();
    let (mut top, modes) = shown(&run);
    run.signal(libc::SIGINT);
    run.wait();
    assert_eq!(top.wait(), 0);
    top.assert_restored(modes);
    assert!(top.text().contains("the pipeline has ended"), "{}", top.text());
}

#[test]
fn without_a_terminal_it_is_refused_and_the_way_out_is_named() {
    let run = running();
    let said = run.ask(&["top"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.contains("mprun status"), "{}", said.stderr);
    run.signal(libc::SIGKILL);
}
