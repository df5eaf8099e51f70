//! `mprun do`: what it prints runs the same, items are never code, and a run without a file lives and dies as one with.

mod support;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use support::{Folder, Run, command, wait_until};

/// What `mprun do` of these words makes of this standard input.
fn line_of<S: AsRef<OsStr>>(folder: &Folder, words: &[S], input: &[u8]) -> Output {
    let mut command = command(folder);
    command.arg("do").args(words);
    fed(command, folder, input)
}

fn fed(mut command: Command, folder: &Folder, input: &[u8]) -> Output {
    let path = folder.path().join("input");
    std::fs::write(&path, input).unwrap();
    command.stdin(std::fs::File::open(path).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.output().unwrap()
}

fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap()
}

#[track_caller]
fn prints(line: &str, input: &[u8], stdout: &[u8], code: i32) {
    let folder = Folder::new();
    let output = line_of(&folder, &words(line), input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout.as_bstr(), stdout.as_bstr(), "{line}: {stderr}");
    assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
}

/// Bytes as a failed assertion shows them best.
trait AsText {
    fn as_bstr(&self) -> String;
}

impl AsText for [u8] {
    fn as_bstr(&self) -> String {
        self.escape_ascii().to_string()
    }
}

#[test]
fn an_item_is_one_argument_whatever_is_in_it() {
    let long = "x".repeat(100_000);
    let items: [&[u8]; 14] = [
        b"a b",
        b"$(reboot)",
        b"`reboot`",
        b"\"; exit 9; \"",
        b"'",
        b"-n",
        b"--",
        b"\\",
        b"*",
        b"{}",
        b"{.} ${HOME} $$",
        b"\xff\xfe \xc3",
        b"line\nline",
        long.as_bytes(),
    ];
    let input = items.map(|item| [item, b"\0"].concat()).concat();
    let expected = items.map(|item| [b"<", item, b">\n"].concat()).concat();
    prints("-0 -- printf '<%s>\\n' {}", &input, &expected, 0);
    prints("-0 'printf \"<%s>\\n\"'", &input, &expected, 0);
    prints("-0 -j3 -k 'x={}; printf \"<%s>\\n\" \"$x\"'", &input, &expected, 0);
    prints("-0 -n3 'printf \"<%s>\\n\" {}'", &input, &expected, 0);
}

#[test]
fn an_item_stays_what_it_is_where_the_line_has_other_arguments() {
    for (line, printed) in [
        ("'f() { echo f {}; }; f q'", "f a b"),
        ("'f() for i in 1; do echo {} $1; done; f q'", "a b q"),
        ("'f() if true; then echo {}; fi; f q'", "a b"),
        ("'set -- q; echo {} $1'", "a b q"),
        ("'IFS=, set -- q; echo {} $1'", "a b q"),
        ("'command set -- q; echo {} $1'", "a b q"),
        ("'\\set -- q; echo {} $1'", "a b q"),
        ("'\"set\" -- q; echo {} $1'", "a b q"),
        ("'eval \"set -- q\"; echo {} $1'", "a b q"),
        ("'echo set -- q > s; . ./s; echo {} $1'", "a b q"),
        ("'x=$(set -- q; echo {}); echo $x'", "a b"),
        ("'shift; echo {}'", "a b"),
        ("'set -- q; echo'", "a b"),
        ("'set -euo pipefail; echo {}'", "a b"),
        ("'set -o errexit; echo {}'", "a b"),
    ] {
        prints(line, b"a b\n", format!("{printed}\n").as_bytes(), 0);
    }
    prints("-n2 'shift; echo {2} {1}'", b"a\nb\nc\n", b"b a\nc\n", 0);
}

#[test]
fn what_sh_reads_in_another_way_is_read_by_bash() {
    prints("'[[ -n {} ]] || echo gone'", b"a b\n", b"", 0);
    prints("-k 'echo {} &> {}; cat {}'", b"a\nb\n", b"a\nb\n", 0);
    prints("'echo -e \"a\\tb\" {1..2} {}'", b"c\n", b"a\tb 1 2 c\n", 0);
}

#[test]
fn arguments_of_the_command_line_are_no_code_either() {
    let folder = Folder::new();
    let items: [&[u8]; 8] =
        [b"a b", b"$(reboot)", b"${HOME}", b"$${x}", b"\xff", b"-n", b"", b"'''\"\\\n\t\x1b"];
    let line = [&b"--"[..], b"printf", b"<%s>\\n", b"{}", b":::"].into_iter().chain(items);
    let line: Vec<&OsStr> = line.map(OsStr::from_bytes).collect();
    let output = line_of(&folder, &line, b"");
    let expected = items.map(|item| [b"<", item, b">\n"].concat()).concat();
    assert_eq!(output.stdout.as_bstr(), expected.as_bstr(), "{}", output.stderr.as_bstr());
}

#[test]
fn an_item_that_can_be_no_argument_fails_alone() {
    let long = "y".repeat(200_000);
    prints("echo", format!("a\n{long}\nb\n").as_bytes(), b"a\nb\n", 3);
    prints("echo", b"a\nx\0y\nb\n", b"a\nb\n", 3);
    prints("-n2 echo", b"a\nx\0y\nb\n", b"a b\n", 3);
}

/// All options, each with a line that it changes.
const LINES: [&str; 20] = [
    "echo",
    "-j2 -k -- sh -c 'sleep 0.0$((4 - $1)); echo $1' sh",
    "-j cpus -k echo {}{}",
    "-j200% -k echo",
    "-0 echo",
    "-a list echo",
    "-0 -a list echo {/}",
    "-n3 echo {2} {1} {-1}",
    "-n2 -k 'echo {} | cat'",
    "--timeout 0.2 -- sh -c 'test $1 != 2 || sleep 9; echo $1' sh",
    "--retries 3 ': {}; echo $MPRUN_ATTEMPT; test $MPRUN_ATTEMPT = 2'",
    "--name named echo",
    "--tag --joblog 'my jobs' -k -- sh -c 'echo $1; exit $1' sh",
    "--joblog rows --resume-failed echo",
    "'echo {#} {.} {/} {//} {/.} > /dev/stdout; exit 4'",
    "'echo {} {{}} {{-1}}; exit 75'",
    "--retries 2 'echo $MPRUN_ATTEMPT; exit 75; : {}'",
    "echo {} {%} {worker} '{{}}' '{{.}}' '{{1}}' x{2} ::: a.b 'c d' '$HOME' '${HOME}' '$$' '{}'",
    "-j2 -k -- echo a{} :: -n2 echo :: -k --retries 2 'cat /dev/null; echo {}'",
    "-j3 -k 'echo {}; exit {}'",
];

#[test]
fn what_is_printed_runs_the_same() {
    for line in LINES {
        let folder = Folder::new();
        folder.file("list", "d/a.b\n\0c.d\n");
        let log =
            || folder.file("rows", "1\t:\t1.0\t1.0\t0\t0\t0\t0\techo\n2\t:\t1.0\t1.0\t0\t0\t1\t0\techo\n");
        log();
        let input = if line.contains("-0") { &b"1\x002\x003\0"[..] } else { b"1\n2\n3\n" };
        let printed = line_of(&folder, &words(&format!("--print {line}")), b"");
        assert!(printed.status.success(), "{line}: {}", printed.stderr.as_bstr());
        std::fs::write(folder.path().join("pipeline.toml"), &printed.stdout).unwrap();
        let mut run = command(&folder);
        run.args(["-q", "run", "pipeline.toml"]);
        let by_file = fed(run, &folder, input);
        log();
        let by_line = line_of(&folder, &words(line), input);
        let sorted = |output: &Output| {
            let mut lines: Vec<_> = output.stdout.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&by_file), sorted(&by_line), "{line}: {}", by_file.stderr.as_bstr());
        assert_eq!(by_file.status.code(), by_line.status.code(), "{line}: {}", by_file.stderr.as_bstr());
        assert!(by_line.stdout.len() > 3, "{line} printed nothing: {}", by_line.stderr.as_bstr());
    }
}

#[test]
fn bad_lines_are_refused_with_what_to_write_instead() {
    for (line, word) in [
        ("-P4 echo", "-j N"),
        ("-I {} echo", "placeholder"),
        ("--pipe cat", "pipeline file"),
        ("-d , echo", "an item is a line"),
        ("--halt later,fail=1 echo", "soon,fail=1 or now,fail=30%"),
        ("--halt soon,fail=0 echo", "a number or a share"),
        ("--halt soon,done=1 --joblog x --resume echo", "counts failures only"),
        ("--resume echo", "--joblog"),
        ("--joblog x echo :: cat", "goes with one command"),
        ("echo :: --joblog x cat", "goes with one command"),
        ("-j2 -k --joblog x echo", "with -j1 only"),
        ("-j+2 echo", "from 1"),
        ("'echo {= s/a/b/ =}'", "no {= perl =}"),
        ("-- echo {1} {}", "which -n N makes"),
        ("echo :: -P3 cat", "-j N"),
        ("echo ::: a ::: b", "no combinations"),
        ("echo :::: f", "-a FILE"),
        ("-a f echo ::: a", "not both"),
        ("-j0 echo", "from 1"),
        ("--timeout x echo", "a time is seconds"),
        ("'echo \"{}\"'", "inside of quotes"),
        ("-- sh -c 'echo {}'", "a piece of the program that `sh` runs"),
        ("-- sh -c -- 'echo {}'", "a piece of the program"),
        ("-- bash -oc errexit 'echo {}'", "a piece of the program"),
        ("-- env A=b sudo su me -c'echo {}'", "a piece of the program"),
        ("-- su --command='echo {}'", "a piece of the program"),
        ("-- python3 -c'print({})'", "a piece of the program"),
        ("-- awk '/{}/' f", "[\"awk\", \"-v\", \"x={}\""),
        ("'sh -c {}'", "a piece of the program"),
        ("'trap {} EXIT'", "`trap` of the shell evaluates the item"),
        ("'[[ {} -eq 1 ]]'", "could be code"),
        ("'(( {} ))'", "could be code"),
        ("'x=$(eval {})'", "a piece of the program"),
        ("-- echo {-1}", "which -n N makes"),
        ("./{}", "an item is no program"),
        ("-- bin/{.} x", "an item is no program"),
        ("-- {} x", "an item is no program"),
        ("'{} x'", "`env {}` runs one"),
        ("'cd / && ./{.}'", "`env ./{.}` runs one"),
        ("-n2 'true | {}'", "an item is no program"),
        ("'exec {}'", "an item is no program"),
        ("'echo hi;'", "write `{}` where it belongs"),
        ("'X=5'", "write `{}` where it belongs"),
        ("echo :: 'echo hi && '", "write `{}` where it belongs"),
        ("'cd / && eval'", "a piece of the program that `eval` runs"),
        ("'$NOVAR'", "'\"${NOVAR:?}\" {}'"),
        ("'echo hi # keep'", "a comment would hide it"),
        ("-- sh -c {}", "a piece of the program that `sh` runs"),
        ("-- find . -exec sh -c 'echo {}' \\;", "a piece of the program"),
        ("-- flock lock -c {}", "a piece of the program"),
        ("-- script -qc {}", "a piece of the program"),
        ("-- env -S {}", "a piece of the program"),
        ("-- python3 -Bc {}", "a piece of the program"),
        ("-- xargs -n1 sh -c {}", "a piece of the program"),
        ("'echo {1}'", "which -n N makes"),
        ("-- bash -c 'echo {}'", "error: the item is a piece of the program"),
        ("-a /dev/fd/63 echo", "COMMAND | mprun"),
        ("'cat <<E\n{}\nE'", "here-document"),
        ("echo ::", "after `::`"),
        ("", "required"),
    ] {
        let folder = Folder::new();
        folder.file("names", "a\n");
        for more in ["", "--print ", "--dry-run "] {
            let output = line_of(&folder, &words(&format!("{more}{line}")), b"a\n");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(word), "{more}{line}: {said}");
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{more}{line}: {said}");
        }
    }
}

#[test]
fn what_this_machine_lacks_is_said_by_a_run_and_keeps_no_file_from_being_printed() {
    for (line, word) in [
        ("nonesuch", "no program `nonesuch`"),
        ("-a nofile echo", "no file `nofile`"),
        ("--joblog no/folder echo", "no folder `no`"),
        ("-a names --joblog names echo", "give --joblog a file of its own"),
    ] {
        let folder = Folder::new();
        folder.file("names", "a\n");
        let output = line_of(&folder, &words(line), b"a\n");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(word), "{line}: {said}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {said}");
        let printed = line_of(&folder, &words(&format!("--print {line}")), b"");
        assert!(
            printed.status.success() && !printed.stdout.is_empty(),
            "{line}: {}",
            printed.stderr.as_bstr()
        );
    }
}

#[test]
fn an_item_is_run_where_the_line_says_so() {
    prints("-- env {} x", b"echo\n", b"x\n", 0);
    prints("'true && env {} x'", b"echo\n", b"x\n", 0);
    prints("'X=5 env'", b"echo\n", b"\n", 0);
    prints("-- sh -c 'eval \"$1\"' sh", b"echo a; echo b\n", b"a\nb\n", 0);
}

#[test]
fn its_version_is_that_of_mprun() {
    let of = |words: &[&str]| command(&Folder::new()).args(words).output().unwrap();
    let (own, all) = (of(&["do", "--version"]), of(&["--version"]));
    assert_eq!((own.stdout.as_bstr(), own.status.code()), (all.stdout.as_bstr(), Some(0)));
    prints("echo --version", b"a\n", b"--version a\n", 0);
}

#[test]
fn braces_in_braces_are_text_and_so_is_what_only_a_file_has() {
    prints("echo {{}} {{.}} {{1}} {worker} {}", b"a.b\n", b"{} {.} {1} {worker} a.b\n", 0);
    prints("'echo {{}} \"{{.}}\" {{1}} {worker} {}'", b"a.b\n", b"{} {.} {1} {worker} a.b\n", 0);
    prints("-n2 'echo {{-1}} {-1} {1}'", b"a\nb\n", b"{-1} b a\n", 0);
}

#[test]
fn an_argument_that_is_missing_is_nothing() {
    prints("-n2 echo {1} x{2}", b"a\nb\nc\n", b"a xb\nc x\n", 0);
    prints("-n2 'echo {2}'", b"a\nb\nc\n", b"b\n\n", 0);
    prints("-n2 -- printf <%s> {2} {2.} x{2} e", b"a\nb.c\nd\n", b"<b.c><b><xb.c><e><x><e>", 0);
    prints("-n2 'printf \"<%s>\" {2} {1} {-2}'", b"a\nb\nc\n", b"<b><a><a><c>", 0);
    prints("-n2 echo {} {-1}", b"a\nb\nc\n", b"a b b\nc c\n", 0);
}

#[test]
fn each_exit_code_but_zero_is_a_failure_that_counts() {
    for code in [1, 75, 126] {
        let line = format!("--retries 2 -- sh -c 'echo $MPRUN_ATTEMPT; exit {code}' sh");
        prints(&line, b"a\n", b"2\n", 3);
    }
}

#[test]
fn what_a_command_has_written_before_its_time_was_over_comes_out() {
    for options in ["", "-k ", "--tag "] {
        let line = format!("{options}--timeout 0.3 'printf \"%s\\nx\" {{}}; sleep 60'");
        let expected = if options == "--tag " { "a\ta\na\tx" } else { "a\nx" };
        prints(&line, b"a\n", expected.as_bytes(), 3);
    }
    prints("--retries 2 --timeout 0.3 'echo $MPRUN_ATTEMPT; sleep 60; : {}'", b"a\n", b"2\n", 3);
}

#[test]
fn an_output_in_order_may_be_long() {
    let long = 20 << 20;
    let line = format!("-k -j2 -- sh -c 'head -c {long} /dev/zero; echo $1' sh");
    let output = line_of(&Folder::new(), &words(&line), b"1\n2\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 2 * (long + 2)));
    assert!(output.stdout.ends_with(b"\x002\n"));
}

#[test]
fn progress_is_shown_where_bars_have_no_place() {
    let folder = Folder::new();
    let output = line_of(&folder, &words("--bar -- sh -c 'sleep 1.3' sh"), b"a\nb\n");
    let said = output.stderr.as_bstr();
    assert!(output.status.success() && said.contains("progress: "), "{said}");
}

#[test]
fn messages_name_no_file_that_is_not_there() {
    for line in ["nonesuch", "-a nofile echo", "-- sh -c 'echo {}'"] {
        let said = line_of(&Folder::new(), &words(line), b"a\n").stderr.as_bstr();
        assert!(!said.contains("do-") && !said.contains(".toml"), "{line}: {said}");
    }
}

#[test]
fn a_hangup_ends_it_at_once() {
    let mut run = waiting(&["-j2"]);
    wait_until("both commands to run", || (run.workers("sh").len() >= 2).then_some(()));
    run.signal(libc::SIGHUP);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("before all items were tried"), "{}", run.stderr());
}

#[test]
fn a_hangup_that_its_starter_ignores_ends_nothing() {
    let folder = Folder::new();
    let line = "-- sh -c 'kill -HUP $(cat pid); sleep 0.3; echo $1' sh ::: a";
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; echo $$ > pid; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mprun"), "do"]);
    command.args(words(line)).current_dir(folder.path());
    command.envs(support::command(&folder).get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = fed(command, &folder, b"");
    assert_eq!(
        (&output.stdout[..], output.status.code()),
        (&b"a\n"[..], Some(0)),
        "{}",
        output.stderr.as_bstr()
    );
}

#[test]
fn after_a_failure_no_further_item_is_tried_and_what_was_done_comes_out() {
    let folder = Folder::new();
    let numbers: String = (1..=600).map(|n| format!("{n}\n")).collect();
    let line = "-j4 --halt soon,fail=1 'echo {} >> tried; echo {}; test {} != 100' :: -j2 -- sh -c 'sleep 0.01; echo $1' sh";
    let output = line_of(&folder, &words(line), numbers.as_bytes());
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr.as_bstr());
    let tried = std::fs::read_to_string(folder.path().join("tried")).unwrap();
    let sorted = |text: &str| {
        let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    let (tried, printed) = (sorted(&tried), sorted(str::from_utf8(&output.stdout).unwrap()));
    assert_eq!(tried, printed, "what was tried has not come out");
    // Of 600: those before it, and those that others had begun before it was counted.
    assert!((100..=150).contains(&tried.len()) && tried.contains(&100), "{tried:?}");
    assert!(output.stderr.as_bstr().contains("not tried, of what had come: "), "{}", output.stderr.as_bstr());
}

#[test]
fn a_worker_that_is_killed_makes_no_difference_to_a_halt() {
    // The item's command kills its worker at the first attempt; the failures are counted in the queue.
    let line = "-j1 --retries 2 --halt soon,fail=2 -- sh -c 'echo $1; test $MPRUN_ATTEMPT = 2 || kill -9 $PPID; exit 1' sh";
    let folder = Folder::new();
    let output = line_of(&folder, &words(line), b"a\nb\nc\nd\n");
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr.as_bstr());
    let failed = str::from_utf8(&output.stdout).unwrap().lines().collect::<std::collections::BTreeSet<_>>();
    assert_eq!((failed.len(), output.stdout.len()), (2, 4), "{failed:?}");
}

#[test]
fn a_dry_run_prints_what_a_run_would_do_and_does_nothing() {
    let folder = Folder::new();
    let print = |line: &str, input: &[u8]| line_of(&folder, &words(line), input);
    let all = print("--dry-run -j2 touch {} :: cat", b"a\nb c\n\nd");
    assert_eq!(String::from_utf8_lossy(&all.stdout), "touch a\ntouch 'b c'\ntouch ''\ntouch d\n");
    assert!(String::from_utf8_lossy(&all.stderr).contains("the first stage"));
    assert!(!folder.path().join("a").exists() && !folder.path().join("log").exists());
    assert_eq!(print("--joblog log -j2 echo", b"a\nb c\n\nd").status.code(), Some(0));
    let rest = print("--dry-run --joblog log --resume echo", b"a\nb c\n\nd\ne\n");
    assert_eq!(String::from_utf8_lossy(&rest.stdout), "echo e\n");
    let bad = print("--dry-run -- echo {}", b"a\0b\n");
    assert_eq!((bad.status.code(), bad.stdout.len()), (Some(3), 0));
}

/// Rows are known by their numbers, and those of two lines would be taken for one's.
#[test]
fn a_job_log_is_of_one_run_at_a_time() {
    let folder = Folder::new();
    let line = words("--joblog log echo");
    let mut first = command(&folder);
    first.arg("do").args(&line).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut first = first.spawn().unwrap();
    first.stdin.as_mut().unwrap().write_all(b"a\n").unwrap();
    let log = folder.path().join("log");
    wait_until("a row", || (std::fs::read_to_string(&log).ok()?.lines().count() == 2).then_some(()));
    let second = line_of(&folder, &line, b"a\n");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another run writes into the job log `log`"), "{said}");
    assert_eq!(second.status.code(), Some(2));
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    assert_eq!(line_of(&folder, &line, b"a\n").status.code(), Some(0));
}

#[test]
fn a_command_reads_no_item_from_standard_input() {
    prints("-- sh -c 'cat; echo $1' sh", b"1\n2\n", b"1\n2\n", 0);
}

#[test]
fn a_group_is_never_shared_by_two_processes() {
    let numbers: String = (0..600).map(|n| format!("{n}\n")).collect();
    let folder = Folder::new();
    let output = line_of(
        &folder,
        &words("-j4 -n3 --retries 3 'echo {}; test $MPRUN_ATTEMPT = 2'"),
        numbers.as_bytes(),
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable_by_key(|line| line.split(' ').next().and_then(|first| first.parse::<u32>().ok()));
    let expected: Vec<String> = (0..200).map(|n| format!("{} {} {}", 3 * n, 3 * n + 1, 3 * n + 2)).collect();
    assert_eq!(lines, expected);
}

/// A run of a line that goes on until the file `go` is there.
fn waiting(options: &[&str]) -> Run {
    let folder = Folder::new();
    let mut command = command(&folder);
    let line =
        ["--", "sh", "-c", "echo $1; until [ -e go ]; do sleep 0.02; done", "sh", "{}", ":::", "a", "b"];
    command.arg("do").args(options).args(line);
    // Whoever runs the tests may ignore it.
    // SAFETY: between fork and exec, and it sets the child's own signal alone.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    Run::of(folder, command)
}

#[test]
fn a_run_without_a_file_is_seen_asked_upgraded_and_not_reloaded() {
    let mut run = waiting(&[]);
    let name = format!("do-{}", run.pid());
    let is_up = |run: &Run| run.ask(&["status", &name]).code == Some(0);
    wait_until("the run to answer", || is_up(&run).then_some(()));
    let listed = run.tell(&["ps"]);
    assert!(
        listed.contains(&name) && listed.contains("(a command line)") && !listed.contains(".toml"),
        "{listed}"
    );
    assert!(run.tell(&["ps", "--json"]).contains("\"file\": null"));
    let status = run.tell(&["status", &name]);
    assert!(
        status.contains("sh") && status.contains("a command line)") && !status.contains(".toml"),
        "{status}"
    );
    let plan = run.ask(&["plan", &name]);
    assert!(plan.code != Some(0) && plan.stderr.contains("of a command line"), "{plan:?}");
    let reload = run.ask(&["reload", &name]);
    assert!(reload.code != Some(0) && reload.stderr.contains("of a command line"), "{reload:?}");
    run.tell(&["upgrade", &name]);
    run.tell(&["scale", &name, "sh=2"]);
    wait_until("the second worker", || (run.workers("sh").len() >= 2).then_some(()));
    std::fs::write(run.folder.path().join("go"), "").unwrap();
    let mut lines = run.finish();
    lines.sort();
    assert_eq!(lines, ["a", "b"]);
    assert!(!run.folder.path().join("state").exists(), "a run without --name keeps nothing");
}

#[test]
fn a_killed_run_leaves_nothing_behind_once_another_has_started() {
    let mut run = waiting(&[]);
    let logs = run.folder.path().join(format!("run/mprun/do-{}.logs", run.pid()));
    wait_until("the log folder", || logs.exists().then_some(()));
    run.signal(9);
    // Its lock is free once its last thread is gone, which is after its workers have heard of its death.
    run.wait();
    let output = line_of(&run.folder, &["echo", ":::", "x"], b"");
    assert_eq!(output.stdout, b"x\n");
    let left: Vec<_> = std::fs::read_dir(run.folder.path().join("run/mprun")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn failed_items_are_kept_under_a_name() {
    let folder = Folder::new();
    let output = line_of(&folder, &words("--name kept 'echo oops >&2; exit 7' ::: a b"), b"");
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stderr.as_bstr().contains("oops"));
    let listed = command(&folder).args(["dead", "list", "kept"]).output().unwrap();
    assert!(listed.stdout.as_bstr().contains("exit-code: 7: oops"), "{}", listed.stdout.as_bstr());
    let retried = command(&folder).args(["dead", "retry", "kept", "--all"]).output().unwrap();
    let why = retried.stderr.as_bstr();
    assert!(retried.status.code() == Some(2) && why.contains("mprun do --name NAME --print"), "{why}");
}

#[test]
fn a_second_run_of_a_name_is_told_of_the_first() {
    let run = waiting(&["--name", "one"]);
    wait_until("the run to answer", || (run.ask(&["status", "one"]).code == Some(0)).then_some(()));
    let said = line_of(&run.folder, &words("--name one echo ::: x"), b"").stderr.as_bstr();
    assert!(said.contains(&format!("runs already: it is process {}", run.pid())), "{said}");
}

#[test]
fn a_stop_ends_it_at_once_and_says_that_items_are_left() {
    let mut run = waiting(&["-j2"]);
    wait_until("both commands to run", || (run.workers("sh").len() >= 2).then_some(()));
    run.signal(libc::SIGINT);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("before all items were tried"), "{}", run.stderr());
}

#[test]
fn files_that_can_not_be_what_the_line_wants_are_refused_before_anything_runs() {
    let folder = Folder::new();
    let list = folder.file("list", "a\n");
    std::fs::create_dir(folder.path().join("box")).unwrap();
    let denied = folder.file("denied", "a\n");
    std::fs::set_permissions(&denied, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let is_denied = std::fs::File::open(&denied).is_err();
    let log = |path, said: &'static str| (vec!["--joblog", path, "echo", "{}", ":::", "a"], said);
    let rows = [
        (vec!["-a", "denied", "echo"], "the items can't be read from `denied`: permission denied"),
        log("denied", "the job log `denied` can't be written: permission denied"),
        (vec!["-a", "nowhere", "echo"], "there is no file `nowhere` for the items"),
        (vec!["-a", "list/x", "echo"], "the items can't be read from `list/x`: not a directory"),
        (
            vec!["-a", "box", "echo"],
            "`box` is a folder, and -a takes a file with an item a line; its files are the items of",
        ),
        (vec!["-a", "box", "echo"], "`mprun do … ::: box/*`"),
        log("box", "`box` is a folder, and --joblog takes a file, such as `box/jobs.log`"),
        log("nowhere/x", "there is no folder `nowhere` for the job log"),
        log("list/x", "`list` is no folder, so the job log can't be in it"),
        log("list", "`list` is no job log: its first line is `a`; give --joblog a file of its own"),
    ];
    for (words, why) in rows.iter().skip(if is_denied { 0 } else { 2 }) {
        for more in [&[][..], &["--dry-run"]] {
            let output = line_of(&folder, &[more, words].concat(), b"");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
            assert!(said.starts_with("error: ") && said.contains(why), "{words:?}: {said}");
        }
    }
    assert_eq!(std::fs::read(list).unwrap(), b"a\n");
    let mut command = command(&folder);
    let here = std::fs::File::open(folder.path()).unwrap();
    let output = command.args(["do", "echo"]).stdin(here).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standard input is a folder"), "{said}");
}

#[test]
fn a_line_that_is_too_long_for_the_next_command_fails_with_what_to_do() {
    let folder = Folder::new();
    let line = ["printf '%017000000d\\n' {}", "::", "echo", "{}", ":::", "1"];
    let output = line_of(&folder, &line, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for part in [
        "`1` is a dead letter",
        "max_item is 16777216 bytes: raise it",
        "mprun do --print",
        "the name of a file",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
