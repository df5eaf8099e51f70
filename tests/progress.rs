//! `mprun run --progress`: bars on a real terminal, lines elsewhere, and never a word on standard output.

mod support;

use std::fs::File;
use support::pty::Pty;
use support::{Folder, Run, command, wait_until};

/// Two sources with an end; programs and mprun itself talk while there are bars.
const FINITE: &str = "\
[stages.number]
use = 'count'
with = { to = 400 }
output = 'numbers'
sleep = '10ms'
[stages.talk]
command = ['sh', '-c', 'while read n; do echo \"saw $n\" >&2; echo \"$n\"; done']
mode = 'reply'
input = 'numbers'
output = 'said'
[stages.print]
use = 'format'
with = { template = 'item {item}' }
input = 'said'
";

/// The mprun of `text` with standard error on a terminal and standard output in a file.
fn on_terminal(text: &str, arguments: &[&str]) -> (Run, Pty) {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml"]).args(arguments).env("TERM", "xterm").env_remove("NO_COLOR");
    let mut pty = Pty::open();
    pty.take(&mut command);
    command.stdout(File::create(folder.path().join("stdout")).unwrap());
    let child = command.spawn().unwrap();
    drop(command); // it has the other end, too
    (Run::adopt(folder, child), pty)
}

#[test]
fn progress_without_a_word_is_shown_of_all_runs() {
    let mut run = Run::start_with(FINITE, &["--progress"]);
    run.wait();
    assert!(run.stderr().contains("progress: "), "{}", run.stderr());
}

#[test]
fn a_terminal_that_can_do_nothing_gets_plain_lines() {
    for (name, value) in [("TERM", "dumb"), ("TERM", ""), ("NO_COLOR", "1")] {
        let folder = Folder::new();
        folder.file("pipeline.toml", "[stages.a]\nuse = 'count'\nwith = { to = 3 }\n");
        let mut command = command(&folder);
        command.args(["run", "pipeline.toml"]).env("TERM", "xterm").env_remove("NO_COLOR").env(name, value);
        let mut pty = Pty::open();
        pty.take(&mut command);
        let mut run = Run::adopt(folder, command.spawn().unwrap());
        drop(command); // it has the other end, too
        assert_eq!(run.wait(), 0);
        pty.end();
        let all = pty.all();
        assert!(all.contains("done") && !all.contains('\x1b'), "{name}={value}: {all:?}");
    }
}

#[test]
fn a_bar_for_each_stage_is_on_the_terminal_and_gone_at_the_end() {
    let (mut run, mut pty) = on_terminal(FINITE, &[]);
    // With the time that is left once there is a speed; below it the lines that programs say, whole.
    wait_until("bars", || {
        let text = pty.text();
        let bar = |stage: &str| {
            let line = text.lines().find(|line| line.starts_with(stage) && line.contains(" % "))?;
            (line.contains("█") && line.contains("left")).then_some(())
        };
        bar("number ").and(bar("talk ")).and(bar("print "))
    });
    assert_eq!(run.wait(), 0);
    let text = pty.end();
    let all = pty.all();
    let said: Vec<u32> = all
        .lines()
        .filter_map(|line| line.rsplit_once("talk[0]")?.1.rsplit_once("saw ")?.1.trim().parse().ok())
        .collect();
    assert_eq!(said, (1..=400).collect::<Vec<_>>(), "{text}");
    assert!(!text.contains('█') && !text.contains('░'), "{text}");
    let lines = run.lines();
    let expected: Vec<String> = (1..=400).map(|n| format!("item {n}")).collect();
    assert_eq!(lines, expected, "standard output is the pipeline's own");
}

#[test]
fn an_interrupt_and_a_kill_leave_the_terminal_as_it_was() {
    let endless = FINITE.replace("with = { to = 400 }", "with = { to = 1000000 }");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        let (mut run, mut pty) = on_terminal(&endless, &[]);
        let modes = pty.modes();
        wait_until("bars", || pty.text().contains('░').then_some(()));
        assert_eq!(pty.modes(), modes, "no mode of the terminal is changed");
        match signal {
            libc::SIGINT => pty.press("\x03"),
            _ => run.signal(signal),
        }
        run.wait();
        let text = pty.end();
        assert!(pty.look(|screen| !screen.hide_cursor() && !screen.alternate_screen()), "{text}");
        if signal == libc::SIGKILL {
            // What is written next does not begin in the middle of a bar.
            pty.show("PROMPT");
            let text = pty.text();
            assert!(text.lines().any(|line| line.starts_with("PROMPT")), "{text}");
        } else {
            assert!(!text.contains('░') && text.contains("stopped ("), "{text}");
        }
    }
}

#[test]
fn without_a_terminal_lines_tell_the_same_and_only_where_it_is_wanted() {
    let mut run = Run::start_with(FINITE, &["--progress", "always"]);
    run.wait_for_log("progress: number ");
    run.wait_for_log("left");
    run.signal(libc::SIGTERM);
    run.wait();
    let stderr = run.stderr();
    let line = stderr.lines().find(|line| line.contains("progress: ")).unwrap();
    assert!(line.contains(" INFO  mprun progress: number ") && line.contains(" % ("), "{line}");
    assert!(!stderr.contains('\x1b') && !stderr.contains('█'), "{stderr}");
    assert!(run.lines().iter().all(|line| line.starts_with("item ")));

    let mut quick = Run::start_with(&FINITE.replace("400", "4"), &[]);
    quick.finish();
    assert!(!quick.stderr().contains("progress"), "a short run goes without");
    let said = quick.ask(&["run", "--progress", "sometimes", "p.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("it is auto, always or never"), "{said:?}");
}

#[test]
fn never_is_never_and_endless_runs_have_no_bars_by_themselves() {
    for (text, arguments) in [
        (FINITE.to_owned(), &["--progress", "never"][..]),
        (FINITE.replace("with = { to = 400 }\n", ""), &[][..]),
    ] {
        let (mut run, mut pty) = on_terminal(&text, arguments);
        wait_until("items", || (run.lines().len() > 100).then_some(()));
        run.signal(libc::SIGTERM);
        run.wait();
        pty.end();
        assert!(!pty.all().contains('█') && !pty.all().contains('░'), "{}", pty.all());
    }
}

#[test]
fn a_run_without_an_end_has_bars_where_they_are_asked_for() {
    let (mut run, pty) = on_terminal(&FINITE.replace("with = { to = 400 }\n", ""), &["--progress", "always"]);
    wait_until("rates", || {
        let text = pty.text();
        let line = text.lines().find(|line| line.starts_with("number "))?.to_owned();
        (line.contains("items") && !line.contains('%')).then_some(())
    });
    run.signal(libc::SIGTERM);
    run.wait();
}

/// `mprun do` of these words with all three streams on one terminal.
fn line_on_terminal(words: &[&str]) -> (Run, Pty) {
    let folder = Folder::new();
    let mut command = command(&folder);
    command.args(["do", "--bar"]).args(words).env("TERM", "xterm");
    let mut pty = Pty::open();
    pty.take(&mut command);
    let child = command.spawn().unwrap();
    drop(command); // it has the other end, too
    (Run::adopt(folder, child), pty)
}

/// As cat does; but cat needs no word of it.
#[test]
fn a_line_that_waits_for_items_from_the_terminal_says_so_and_ends_with_them() {
    let (mut run, mut pty) = line_on_terminal(&["echo", "out"]);
    wait_until("a word", || {
        pty.text().contains("from this terminal, a line each: Ctrl-D ends them").then_some(())
    });
    pty.press("a\n\x04");
    assert_eq!(run.wait(), 0);
    assert!(pty.end().contains("out a"), "{}", pty.text());
}

/// What is typed there as a zero byte, and Ctrl-D in the middle of a line: once passes on what stands there, once more is the end.
#[test]
fn a_line_whose_items_a_zero_byte_ends_takes_them_from_the_terminal_too() {
    let (mut run, mut pty) = line_on_terminal(&["-0", "echo", "out"]);
    wait_until("a word", || {
        pty.text()
            .contains("from this terminal, a zero byte behind each (Ctrl-@): Ctrl-D ends them")
            .then_some(())
    });
    pty.press("a b\0c\0\x04\x04");
    assert_eq!(run.wait(), 0);
    let text = pty.end();
    assert!(text.contains("out a b") && text.contains("out c"), "{text}");
}

/// The row at the bottom.
fn last_row(pty: &Pty) -> String {
    pty.look(|screen| {
        let columns = screen.size().1.get();
        screen.rows(0, columns).last().unwrap_or_default()
    })
}

/// Whether all rows scroll: what is written at the bottom moves the first row.
fn scrolls_whole(pty: &Pty) -> bool {
    let rows = pty.look(|screen| screen.size().0);
    pty.show(&format!("\x1b[{rows};1Hend\r\nof all"));
    pty.look(|screen| screen.rows(0, 80).last().is_some_and(|row| row.starts_with("of all")))
}

#[test]
fn a_line_of_mprun_do_stays_at_the_bottom_while_commands_print_above_it() {
    let items: Vec<String> = (1..=40).map(|n| n.to_string()).collect();
    let mut words = vec!["-j2", "sleep 0.15; echo out {}; test {} != 3", ":::"];
    words.extend(items.iter().map(String::as_str));
    let start = std::time::Instant::now();
    let (mut run, mut pty) = line_on_terminal(&words);
    let line = wait_until("a bar with the time that is left", || {
        let row = last_row(&pty);
        (row.contains(" % ") && row.contains("/40, ") && row.contains("left, 1 failed, ")).then_some(row)
    });
    assert!(line.starts_with("[█") && line.contains("░] "), "{line}");
    assert!(pty.text().contains("out 2\n"), "{}", pty.text());
    // A smaller terminal gets a shorter line, in its own last row.
    pty.resize(10, 40);
    wait_until("a line of the new size", || {
        let row = last_row(&pty);
        (row.contains(" % ") && !row.contains("[█") && row.chars().count() < 40).then_some(())
    });
    assert_eq!(run.wait(), 3);
    let (text, took) = (pty.end(), start.elapsed());
    assert!(!text.contains('█') && !text.contains(" % ") && text.contains("out 40"), "{text}");
    let all = pty.all();
    for item in &items {
        assert!(all.contains(&format!("out {item}\r\n")), "{item}: {all}");
    }
    let drawn = all.matches("\x1b[2K").count();
    assert!(drawn as f64 <= 10.0 * took.as_secs_f64() + 1.0, "{drawn} in {took:?}");
    assert!(scrolls_whole(&pty), "{}", pty.text());
}

#[test]
fn a_kill_gives_the_rows_of_the_terminal_back() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        let (mut run, mut pty) = line_on_terminal(&["sleep 60; echo {}", ":::", "1", "2"]);
        wait_until("a bar", || last_row(&pty).contains("0/2").then_some(()));
        run.signal(signal);
        run.wait();
        pty.end();
        assert!(!last_row(&pty).contains("0/2") && scrolls_whole(&pty), "{signal}: {}", pty.text());
    }
}
