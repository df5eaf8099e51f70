//! `mprun do` beside xargs and GNU parallel: the same small jobs run by both, with the same output, order and meaning of the exit
//! code. Lines that differ on purpose are in docs/do.md.

mod support;

use std::process::{Command, Stdio};
use support::{Folder, command};

/// How two outputs are compared.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Bytes,
    /// Several at once: the lines in any order.
    Lines,
}
use By::{Bytes, Lines};

/// The line of xargs or parallel, that of `mprun do`, standard input.
type Row = (By, &'static str, &'static str, &'static str);

const XARGS: [Row; 24] = [
    (Bytes, "xargs -d '\\n' -n1 echo", "echo", "a\nb c\n'd'\n"),
    (Bytes, "xargs -0 -n1 echo", "-0 echo", "a\0b\nc\0"),
    (Bytes, "xargs -0 -n1 echo x", "-0 echo x", "a\0b"),
    (Bytes, "xargs -d '\\n' -n2 echo", "-n2 echo", "1\n2\n3\n4\n5\n"),
    (Bytes, "xargs -d '\\n' -n3 echo -", "-n3 -- echo -", "1\n2\n3\n4\n5\n6\n"),
    (Bytes, "xargs -d '\\n' --max-args=2 echo", "--max-args=2 echo", "1\n2\n3\n"),
    (Bytes, "xargs -d '\\n' -I{} echo {} and {}", "echo {} and {}", "a\nb c\n"),
    (Bytes, "xargs -d '\\n' -I{} echo pre{}post", "echo pre{}post", "a\nb\n"),
    (Bytes, "xargs -d '\\n' -I{} printf '%s|%s\\n' {} -n", "-- printf '%s|%s\\n' {} -n", "-e\n--\n"),
    (Bytes, "xargs -0 -a names -n1 echo", "-0 -a names echo", ""),
    (Bytes, "xargs -d '\\n' -a list -n1 echo", "-a list echo", ""),
    (Bytes, "xargs -d '\\n' -r -n1 echo", "echo", ""),
    (Lines, "xargs -d '\\n' -P4 -n1 echo", "-j4 echo", "1\n2\n3\n4\n5\n6\n7\n8\n"),
    (Lines, "xargs -d '\\n' -P4 -n2 echo", "-j4 -n2 echo", "1\n2\n3\n4\n5\n6\n7\n"),
    (Bytes, "xargs -d '\\n' -n1 sh -c 'echo \"<$1>\"' sh", "-- sh -c 'echo \"<$1>\"' sh", "a b\n$(id)\n"),
    (Bytes, "xargs -d '\\n' -n1 cat", "cat", "list\nlist\n"),
    (Bytes, "xargs -d '\\n' -n1 false", "false", "a\n"),
    (
        Bytes,
        "xargs -d '\\n' -n1 sh -c 'echo $1; exit $1' sh",
        "-- sh -c 'echo $1; exit $1' sh",
        "0\n3\n1\n0\n",
    ),
    (Bytes, "xargs -d '\\n' -n1 test -e", "-- test -e", "list\nnames\n"),
    (Bytes, "xargs -d '\\n' -n1 sh -c 'cat; echo $1' sh", "-- sh -c 'cat; echo $1' sh", "1\n2\n"),
    (Bytes, "xargs -d '\\n' -n1 nonesuch", "nonesuch", "a\n"),
    (Bytes, "xargs -d '\\n' -n1 echo '{.}' {}", "echo '{{.}}' '{{}}' {}", "a.b\n"),
    (Bytes, "xargs -d '\\n' -n1 printf %s", "printf %s", "a\nb\n"),
    (
        Bytes,
        "xargs -d '\\n' -n1 sh -c 'test $1 = 2 || echo $1' sh",
        "-- sh -c 'test $1 = 2 || echo $1' sh",
        "1\n2\n3\n",
    ),
];

const PARALLEL: [Row; 62] = [
    (
        Bytes,
        "parallel -k -n2 printf '\"<%s>\"' {2.} x{2} e {-1} ::: a b.c ''",
        "-k -n2 -- printf '<%s>' {2.} x{2} e {-1} ::: a b.c ''",
        "",
    ),
    (
        Bytes,
        "parallel -k -n3 'printf \"<%s>\" {3} {1} x{2} {2}' ::: a b 'c d' '' e",
        "-k -n3 'printf \"<%s>\" {3} {1} x{2} {2}' ::: a b 'c d' '' e",
        "",
    ),
    (
        Bytes,
        "parallel -k --dry-run -n2 echo {2} {1} x{2} ::: a b c | sh",
        "-k --dry-run -n2 echo {2} {1} x{2} ::: a b c | sh",
        "",
    ),
    (
        Bytes,
        "parallel -j1 --halt soon,fail=1 'echo {}; test {} != 2' ::: 1 2 3 4",
        "--halt soon,fail=1 'echo {}; test {} != 2' ::: 1 2 3 4",
        "",
    ),
    (
        Bytes,
        "parallel -j1 --halt now,fail=2 'echo {}; test {} -lt 2' ::: 1 2 3 4",
        "--halt now,fail=2 'echo {}; test {} -lt 2' ::: 1 2 3 4",
        "",
    ),
    (
        Bytes,
        "parallel -j1 --halt soon,fail=50% 'echo {}; false' ::: 1 2 3 4 5 6",
        "--halt soon,fail=50% 'echo {}; false' ::: 1 2 3 4 5 6",
        "",
    ),
    (
        Bytes,
        "parallel -j1 --halt 50% 'echo {}; false' ::: 1 2 3 4 5 6",
        "--halt 50% 'echo {}; false' ::: 1 2 3 4 5 6",
        "",
    ),
    (Bytes, "parallel -j1 --halt 1 'echo {}; false' ::: 1 2", "--halt 1 'echo {}; false' ::: 1 2", ""),
    (
        Bytes,
        "parallel -j1 --halt never 'echo {}; false' ::: 1 2",
        "--halt never 'echo {}; false' ::: 1 2",
        "",
    ),
    (
        Bytes,
        "parallel -j1 --halt soon,success=1 'echo {}; test {} = 2' ::: 1 2 3",
        "--halt soon,success=1 'echo {}; test {} = 2' ::: 1 2 3",
        "",
    ),
    (
        Bytes,
        "parallel -j3 --halt now,success=1 'sleep {}; echo {}' ::: 20 0.3 21",
        "-j3 --halt now,success=1 'sleep {}; echo {}' ::: 20 0.3 21",
        "",
    ),
    (
        Bytes,
        "parallel -j2 --halt now,fail=1 'sleep {}; test {} != 0.3; exit' ::: 20 0.3 21",
        "-j2 --halt now,fail=1 'sleep {}; test {} != 0.3; exit' ::: 20 0.3 21",
        "",
    ),
    (Bytes, "parallel -k --dry-run echo ::: a 'b c' '$x'", "-k --dry-run echo ::: a 'b c' '$x'", ""),
    (Bytes, "parallel -k --dry-run echo {#} {.} {}", "-k --dry-run echo {#} {.} {}", "a.b\nc d.e\n"),
    (
        Bytes,
        "parallel -k --dryrun -n2 echo {2} {1} ::: a b c d",
        "-k --dryrun -n2 echo {2} {1} ::: a b c d",
        "",
    ),
    (
        Bytes,
        "parallel -k --dry-run 'echo {}; echo {} | wc -c' ::: a 'b  c' \"it's\" '$(id)' | sh",
        "-k --dry-run 'echo {}; echo {} | wc -c' ::: a 'b  c' \"it's\" '$(id)' | sh",
        "",
    ),
    (
        Bytes,
        "parallel -k --dry-run 'echo {} > made' ::: a > l; ls made",
        "--dry-run 'echo {} > made' ::: a > l; ls made",
        "",
    ),
    (Bytes, "parallel -k echo ::: a 'b c' '$x' \"it's\"", "-k -jcpus echo ::: a 'b c' '$x' \"it's\"", ""),
    (Bytes, "parallel -k echo", "-k echo", "a\nb c\n\nd\n"),
    (Bytes, "parallel -0 -k echo", "-0 -k echo", "a\0b\nc\0"),
    (Bytes, "parallel --null -k echo", "--null -k echo", "a\0b"),
    (Bytes, "parallel -k -a list echo", "-k -a list echo", ""),
    (Bytes, "parallel -k --arg-file list echo", "-k --arg-file list echo", ""),
    (
        Bytes,
        "parallel -k echo {} {.} {/} {//} {/.} ::: a/b.c d.e f /g/h.tar.gz",
        "-k echo {} {.} {/} {//} {/.} ::: a/b.c d.e f /g/h.tar.gz",
        "",
    ),
    (Bytes, "parallel -k echo {#} {} ::: a b c", "-k echo {#} {} ::: a b c", ""),
    (Bytes, "parallel -j1 echo {%} {} ::: a b c", "-j1 echo {%} {} ::: a b c", ""),
    (Bytes, "parallel -k -n2 echo {2} {1} ::: a b c d", "-k -n2 echo {2} {1} ::: a b c d", ""),
    (Bytes, "parallel -k -N2 echo {1.}-{2/} ::: a.x b/y c.z", "-k -N2 echo {1.}-{2/} ::: a.x b/y c.z", ""),
    (Bytes, "parallel -k -n3 echo ::: a b c d", "-k -n3 echo ::: a b c d", ""),
    (Bytes, "parallel -k -n2 echo {#} ::: a b c", "-k -n2 echo {#} ::: a b c", ""),
    (Bytes, "parallel -k --max-args 2 echo {} x ::: a b c", "-k --max-args 2 echo {} x ::: a b c", ""),
    (
        Bytes,
        "parallel -k 'echo {} | tr a-z A-Z' ::: abc 'd e'",
        "-k 'echo {} | tr a-z A-Z' ::: abc 'd e'",
        "",
    ),
    (
        Bytes,
        "parallel -k 'echo {.}.new > {/}.out; cat {/}.out' ::: a.x b.y",
        "-k 'echo {.}.new > {/}.out; cat {/}.out' ::: a.x b.y",
        "",
    ),
    (
        Bytes,
        "parallel -k 'x={}; echo \"$x\"' ::: '$(id)' '`id`' '\";id'",
        "-k 'x={}; echo \"$x\"' ::: '$(id)' '`id`' '\";id'",
        "",
    ),
    (Bytes, "parallel -k 'echo a && echo {}' ::: 1 2", "-k 'echo a && echo {}' ::: 1 2", ""),
    (
        Bytes,
        "parallel -k 'for i in 1 2; do echo $i {}; done' ::: x y",
        "-k 'for i in 1 2; do echo $i {}; done' ::: x y",
        "",
    ),
    (Bytes, "parallel -k 'printf %s {}' ::: a b c", "-k 'printf %s {}' ::: a b c", ""),
    (Bytes, "parallel -k 'wc -c <' ::: list names", "-k 'wc -c <' ::: list names", ""),
    (Bytes, "parallel -k -j3 'sleep 0.{}; echo {}' ::: 3 2 1", "-k -j3 'sleep 0.{}; echo {}' ::: 3 2 1", ""),
    (Lines, "parallel -j3 'echo {}' ::: 3 2 1", "-j3 'echo {}' ::: 3 2 1", ""),
    (Lines, "parallel --jobs 2 'echo {}' ::: 3 2 1", "--jobs 2 'echo {}' ::: 3 2 1", ""),
    (Lines, "parallel -j200% echo ::: 3 2 1", "-j200% echo ::: 3 2 1", ""),
    (
        Lines,
        "parallel -j2 'echo {}; sleep 0.1; echo {}' ::: a b c | uniq -c",
        "-j2 'echo {}; sleep 0.1; echo {}' ::: a b c | uniq -c",
        "",
    ),
    (
        Bytes,
        "parallel -k --timeout 1 'sleep {}; echo {}' ::: 0 9",
        "-k --timeout 1 'sleep {}; echo {}' ::: 0 9",
        "",
    ),
    (
        Bytes,
        "parallel --retries 3 'echo x >> n; test $(wc -l < n) = 3 || exit 1; cat n; :' ::: a",
        "--retries 3 'echo x >> n; test $(wc -l < n) = 3 || exit 1; cat n; :' ::: a",
        "",
    ),
    (
        Bytes,
        "parallel --retries 2 'echo x >> n; false' ::: a; cat n",
        "--retries 2 'echo x >> n; false' ::: a; cat n",
        "",
    ),
    (Bytes, "parallel -k 'echo {}; exit {}' ::: 0 1 2", "-k 'echo {}; exit {}' ::: 0 1 2", ""),
    (Bytes, "parallel -k 'echo {}; exit 0' ::: 0 1 2", "-k 'echo {}; exit 0' ::: 0 1 2", ""),
    (Bytes, "parallel -k 'cat; echo {}' ::: 1 2", "-k 'cat; echo {}' ::: 1 2", ""),
    (
        Bytes,
        "parallel -k 'echo {} >&2; echo {}' ::: 1 2 2>/dev/null",
        "-k 'echo {} >&2; echo {}' ::: 1 2 2>/dev/null",
        "",
    ),
    (Bytes, "parallel -k 'exit 75; :' ::: 1", "-k 'exit 75; :' ::: 1", ""),
    (Bytes, "parallel -k 'kill -9 $$; :' ::: 1", "-k 'kill -9 $$; :' ::: 1", ""),
    (Bytes, "parallel -k 'awk \"{print 1}\" {}' ::: list", "-k 'awk \"{print 1}\" {}' ::: list", ""),
    (
        Bytes,
        "parallel -k 'mkdir -p {//}; echo {/} > {}; cat {}' ::: p/q r/s/t",
        "-k 'mkdir -p {//}; echo {/} > {}; cat {}' ::: p/q r/s/t",
        "",
    ),
    (Bytes, "parallel -k 'seq {}' :::: list", "-k -a list 'seq {}'", ""),
    (
        Bytes,
        "parallel -k --tag 'echo {}; echo x{}' ::: a 'b c'",
        "-k --tag 'echo {}; echo x{}' ::: a 'b c'",
        "",
    ),
    (Bytes, "parallel -k --tag 'printf \"1\n2\"' ::: a b", "-k --tag 'printf \"1\n2\"' ::: a b", ""),
    (Bytes, "parallel -k --tag -n2 echo ::: a b c", "-k --tag -n2 echo ::: a b c", ""),
    (
        Bytes,
        "parallel --joblog l 'exit {}' ::: 0 3 1; cut -f1,2,5-8 l | sort",
        "--joblog l 'exit {}' ::: 0 3 1; cut -f1,2,5-8 l | sort",
        "",
    ),
    (
        Bytes,
        "parallel --jl l 'kill -9 $$; {}' ::: 0; cut -f1,7,8 l",
        "--jl l 'kill -9 $$; : {}' ::: 0; cut -f1,7,8 l",
        "",
    ),
    (
        Bytes,
        "parallel -k --joblog l 'echo {}; exit {}' ::: 0 1 2; parallel -k --resume --joblog l 'echo {}; exit {}' ::: 0 1 2 3",
        "-k --joblog l 'echo {}; exit {}' ::: 0 1 2; \"$MPRUN\" do -k --resume --joblog l 'echo {}; exit {}' ::: 0 1 2 3",
        "",
    ),
    (
        Bytes,
        "parallel -k --joblog l 'echo {}; exit {}' ::: 0 1 2; parallel -k --resume-failed --joblog l 'echo {}' ::: 0 1 2 3",
        "-k --joblog l 'echo {}; exit {}' ::: 0 1 2; \"$MPRUN\" do -k --resume-failed --joblog l 'echo {}' ::: 0 1 2 3",
        "",
    ),
];

/// What a line printed, and whether it went well.
fn run(line: &str, input: &str) -> (Vec<u8>, bool) {
    let folder = Folder::new();
    folder.file("list", "1\n2\n3\n");
    folder.file("names", "a b\0c\nd\0");
    folder.file("input", input);
    let environment = command(&folder);
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("set -o pipefail; {line}")]).current_dir(folder.path());
    for (name, value) in environment.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("MPRUN", support::binary()).stderr(Stdio::null());
    shell.stdin(std::fs::File::open(folder.path().join("input")).unwrap());
    let output = shell.output().unwrap();
    (output.stdout, output.status.success())
}

fn compare(tool: &str, rows: &[Row]) {
    let is_there = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(is_there.is_ok_and(|status| status.success()), "{tool} is not there: tests/run installs it");
    let mut different = Vec::new();
    for (by, theirs, ours, input) in rows {
        let theirs_quiet = theirs.replace("parallel ", "parallel --will-cite ");
        let theirs_quiet = if tool == "parallel" { &theirs_quiet } else { *theirs };
        let mut results = [run(theirs_quiet, input), run(&format!("\"$MPRUN\" do {ours}"), input)];
        if *by == Lines {
            for (stdout, _) in &mut results {
                let mut lines: Vec<Vec<u8>> =
                    stdout.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                lines.sort();
                *stdout = lines.join(&b'\n');
            }
        }
        let shown = results.clone().map(|(stdout, is_good)| format!("{} ({is_good})", stdout.escape_ascii()));
        if results[0] != results[1] {
            different.push(format!("{theirs}\n    {}\n  mprun do {ours}\n    {}", shown[0], shown[1]));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), rows.len(), different.join("\n"));
}

#[test]
fn jobs_of_xargs_come_to_the_same() {
    compare("xargs", &XARGS);
}

#[test]
fn jobs_of_parallel_come_to_the_same() {
    compare("parallel", &PARALLEL);
}
