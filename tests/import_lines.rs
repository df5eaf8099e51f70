//! `mprun import parallel|xargs` on lines of the kinds that documentation and questions have: the file does what the line did, or it
//! is told what of it can't be carried over.

mod support;

use std::process::{Command, Stdio};
use support::{Folder, command};

/// Run by bash and by mprun, with the same lines printed. Beside it what the comments say, if anything.
const SAME: [(&str, &str); 76] = [
    ("find . -name '*.txt' | sort | parallel wc -c", ""),
    (
        "find . -name '*.txt' -print0 | parallel -0 -k head -c 3 {} | tr a-z A-Z",
        "mprun run FILE | tr a-z A-Z",
    ),
    ("ls *.txt | parallel -j2 'cat {} | wc -l'", ""),
    ("parallel -k echo {.} {/} {//} ::: sub/*.txt", ""),
    ("parallel -j2 gzip -kc {} '>' {.}.gz ::: *.txt && zcat *.gz", "&& zcat"),
    ("parallel echo {1} {2} ::: a b ::: 1 2 3", ""),
    ("parallel --link echo {1}-{2} ::: a b c ::: 1 2 3", ""),
    ("parallel echo {1}-{2} ::: a b c :::+ 1 2 3", ""),
    ("seq 5 | parallel -j 200% echo job {#} is {}", ""),
    ("parallel -a nums echo", ""),
    ("parallel echo :::: nums", ""),
    ("cat nums | parallel echo n{}", ""),
    ("parallel echo < nums | sort -r", "| sort -r"),
    ("seq 1 5 | parallel -N2 echo {-1} {1}", ""),
    ("seq 1 4 | parallel -N2 echo {2} {1}", ""),
    ("parallel -I ,, echo ,, {} {.} {1} ::: a.b", ""),
    ("parallel echo {-1} {1.} {-1.} ::: a.b", ""),
    ("cat nums | parallel -I% echo %.%", ""),
    ("cd sub && parallel cat ::: *.txt", ""),
    ("cd sub && ls | parallel 'pwd | tail -c 5; cat {}'", ""),
    ("parallel -j4 echo ::: {1..5}", ""),
    ("parallel -j +0 echo ::: 1 2", ""),
    ("parallel -j+2 echo ::: 1 2", "not carried over: -j +2"),
    ("parallel -j-1 echo ::: 1 2", "not carried over: -j -1"),
    ("nice -n 5 parallel 'echo {}' ::: 1", ""),
    ("env GREETING=hi parallel 'echo $GREETING {}' ::: 1 2", ""),
    ("GREETING=hi parallel 'echo $GREETING' ::: 1 2", ""),
    ("export A=x; seq 2 | parallel 'echo $A {}'", ""),
    ("time parallel echo ::: 1 2", "not carried over: time"),
    ("timeout 60 parallel echo ::: 1 2", "not carried over: timeout 60 (put it before `mprun run`)"),
    ("parallel echo '{= s/a/b/g =}' ::: banana", "{= =} is run by perl"),
    ("parallel 'touch {}; rm -f \"{= s/\\.txt$// =}\"; ls *.txt' ::: 'a *.txt'", "{= =} is run by perl"),
    ("parallel 'echo {= $_ .= uc =} {.}' ::: a.b", "{= =} is run by perl"),
    ("parallel -j1 '[[ -s {} ]] || echo rm {}' ::: a.txt none", "bash runs the command"),
    ("parallel 'echo {} &> {}.log; cat {}.log' ::: 1 2", "bash runs the command"),
    ("parallel 'cat <(echo {})' ::: 1", "bash runs the command"),
    ("parallel 'echo -e \"a\\tb\" {}' ::: 1", "bash runs the command"),
    ("parallel 'mkdir -p out/{}/{a,b}; ls out/{}' ::: x", "bash runs the command"),
    ("parallel echo out/{}/{a,b} ::: x", "bash runs the command"),
    ("parallel 'x={}; echo \"${x//a/b}\"' ::: aba", "bash runs the command"),
    ("parallel 'set -euo pipefail; echo {} | cat' ::: 'a b'", "bash runs the command"),
    ("parallel GREETING=hi printenv GREETING ';' : ::: 1", ""),
    ("parallel type ::: cd", ""),
    ("parallel 'f() { echo f {}; }; f q' ::: 'a b'", ""),
    ("parallel 'set -- q; echo {}' ::: 'a b'", ""),
    ("parallel 'echo set -- q > {}; . ./{}; echo {} $1' ::: 's*'", ""),
    ("parallel -N2 'shift; echo {2} {1}' ::: a b c d", ""),
    ("parallel -d ';' echo ::: 'a;b c' 'd'", ""),
    ("parallel echo ::: 'a\nb'", ""),
    ("printf 'a,b' | xargs -r -d '\\x2c' -n1 echo", ""),
    ("printf 'a,b' | xargs -r -d '\\054' -n1 echo", ""),
    ("parallel 'echo \"{}\" \"{.}.png\"' ::: x.jpg y.jpg", "quotes around an item are left out"),
    ("for i in 1 2 3; do echo $i; done | parallel echo n", ""),
    ("(echo a; echo b) | parallel echo", ""),
    ("printf 'echo a; echo b\\n[[ -e a.txt ]] && echo c\\n' | parallel", "bash runs it as code"),
    (
        "mkdir -p out; parallel echo ::: 1 2 2>/dev/null | sort",
        "not carried over: mkdir -p out (run it before)",
    ),
    ("find . -name '*.txt' -print0 | xargs -0 -r -P4 -n1 wc -c", ""),
    ("find . -type f -name '*.txt' -print0 | xargs -0 cat | sort | uniq -c", "| sort | uniq -c"),
    ("cat words | xargs -n1 echo", "without items no command is run here"),
    ("xargs -n 1 -r -P \"$(nproc)\" echo < words", ""),
    ("ls *.txt | xargs -I{} echo file {} is {}", ""),
    ("ls *.txt | xargs -I% -P2 sh -c 'echo \"$1\"; wc -l < \"$1\"' _ %", ""),
    ("cut -d: -f1 /etc/passwd | sort | xargs echo", "up to 1000"),
    ("echo 1,2,3 | tr -d '\\n' | xargs -r -d, -n1 echo", ""),
    ("seq 10 | xargs -P 8 -I {} sh -c 'sleep 0.0$1; echo $1' sh {}", ""),
    ("cat nums | xargs -n2 echo | tr ' ' +", "| tr ' ' +"),
    ("xargs -a words -r -n1 echo", ""),
    ("xargs -rn1 echo <<< 'a \"b c\" d'", ""),
    ("cat blanks | xargs -I{} echo 'rm -rf /data/{}'", ""),
    ("cat blanks | xargs -I% -n1 -P2 printf '[%s]\\n' % {} {.} {1}", ""),
    ("xargs -I% echo hi < blanks", ""),
    ("export A=x; xargs -I% echo '%' $A < nums", "a shell had put its value in"),
    ("xargs -0 -I% echo a%b < nums", ""),
    ("xargs -d '\\n' -I{} echo '[{}]' < blanks", ""),
    ("parallel 'f() { echo \"f $1\"; }; f {}' ::: a b", ""),
    ("{ words=('a b' c); printf '%s\\n' \"${words[@]}\"; } | parallel echo", ""),
];

/// Refused, with what to write instead.
const REFUSED: [(&str, &str); 34] = [
    ("cat big | parallel --pipe wc -l", "mode = \"stream\""),
    ("parallel --colsep , echo {1} {2} :::: table.csv", "a line of each column"),
    ("parallel echo ::: a b :::: nums", "can't be combined"),
    ("ls | parallel 'ssh host \"gzip {}\"'", "inside of quotes"),
    ("ls | xargs -I{} sh -c 'mv {} {}.bak'", "would be obeyed"),
    ("ls | parallel gzip | parallel gunzip", "2 times"),
    ("while read x; do echo $x | parallel echo; done", "no command `parallel`"),
    ("xargs echo <<END\na\nEND", "here-document"),
    ("parallel 'echo {", ""),
    ("parallel echo {{}} ::: a", "an item in braces"),
    ("ls | parallel sh -c {}", "would be obeyed"),
    ("ls | xargs -I% su me --command=%", "would be obeyed"),
    ("ls | xarg -n1 echo", "no command `xargs`"),
    ("parallel -k --tagstring x{} echo ::: a b", "`--tag` puts the item before each line"),
    ("parallel -k -v echo ::: a b", "leave it out"),
    ("parallel --dry-run echo ::: a", "mprun do --dry-run"),
    // What only the script has that such a line stands in.
    ("parallel ping -c1 {} ::: \"${HOSTS[@]}\"", "printf '%s\\n' \"${HOSTS[@]}\" | mprun run FILE"),
    ("parallel ls ::: \"$@\"", "`$@` is an argument of the script"),
    ("parallel cp {} $1 ::: a b", "in a stage the arguments are the item"),
    ("parallel 'echo $1 {}' ::: a", "in a stage the arguments are the item"),
    ("parallel rsync \"${OPTS[@]}\" {} ::: a", "write its words in its place"),
    ("parallel \"$(dirname \"$0\")/x.sh\" ::: a", "`$0` in the command"),
    ("find \"$1\" -type f | parallel gzip", "find \"$1\" -type f | mprun run FILE"),
    ("parallel --joblog \"$LOG\" echo ::: a", "only the shell that the line stands in knows this value"),
    ("xargs -I% cp % \"$1\"", "`export NAME=…` before the run"),
    ("xargs -r -a \"$1\" rm", "cat \"$1\" | mprun run FILE"),
    ("xargs -n \"$N\" echo", "write it in its place"),
    ("parallel -q echo \"$HOME\" {} ::: a", "-q \"$HOME\": only the shell"),
    ("parallel 'rm \"x {= s/a/b/ =}\"' ::: a", "inside of quotes"),
    ("parallel \"echo '{= s/a/b/ =} x'\" ::: a", "inside of quotes"),
    ("parallel sh -c {= s/a/b/ =} ::: a", "would be obeyed"),
    ("parallel trap {} EXIT ::: a", "evaluates the item"),
    ("parallel 'rm -rf out/{= $_=Q($_) =}' ::: a", "can't be carried over"),
    ("parallel '[[ {} -eq 1 ]]' ::: a", "could be code"),
];

fn folder() -> Folder {
    let folder = Folder::new();
    for (name, text) in [
        ("a.txt", "one\ntwo\n"),
        ("b c.txt", "three\n"),
        ("nums", "1\n2\n3\n"),
        ("words", "a b\n'c d'  e\n"),
        ("blanks", "  a b \n\n \t\n'c \"d\" 'e\\ f\n"),
        ("table.csv", "a,b\n"),
    ] {
        folder.file(name, text);
    }
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    folder.file("sub/d.txt", "four\n");
    folder
}

fn tool(line: &str) -> &'static str {
    if line.contains("parallel") { "parallel" } else { "xargs" }
}

/// Lines that were printed, in any order, and what was said beside them.
fn printed(mut command: Command) -> (Vec<String>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    (lines, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn imported(folder: &Folder, line: &str) -> (Vec<String>, String, String) {
    let file = command(folder).args(["import", tool(line), line]).output().unwrap();
    let said = String::from_utf8(file.stderr).unwrap();
    assert_eq!((file.status.code(), said.as_str()), (Some(0), ""), "{line}");
    let text = String::from_utf8(file.stdout).unwrap();
    folder.file("pipeline.toml", &text);
    let rest = text.lines().find_map(|line| line.split_once("behind the run: mprun run FILE"));
    let rest = rest.map_or("", |(_, rest)| rest);
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("\"$0\" run pipeline.toml {rest}"), env!("CARGO_BIN_EXE_mprun")]);
    bash.current_dir(folder.path()).envs(command(folder).get_envs().filter_map(|(k, v)| Some((k, v?))));
    let (lines, said) = printed(bash);
    (lines, said, text)
}

#[test]
fn a_line_of_another_tool_becomes_a_file_that_does_the_same() {
    if Command::new("parallel").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "GNU parallel is not installed");
        return;
    }
    for (line, note) in SAME {
        let theirs = folder();
        let mut bash = Command::new("bash");
        bash.args(["-c", line])
            .current_dir(theirs.path())
            .env("HOME", theirs.path())
            .env("SHELL", "/bin/bash");
        let (wanted, _) = printed(bash);
        assert!(!wanted.is_empty(), "{line}");
        let (lines, said, text) = imported(&folder(), line);
        assert_eq!(lines, wanted, "{line}\n{text}\n{said}");
        assert!(text.contains(note), "{line}: no {note:?} in\n{text}");
        // Two are of each such line: what prints the items may fail, and 255.
        let is_of_each =
            |line: &&str| line.contains("what prints the items ends") || line.contains("with 255");
        let head = text.lines().take_while(|line| line.starts_with('#'));
        let notes = head.filter(|line| !is_of_each(line)).count();
        assert!(!note.is_empty() || notes == 1, "{line} is carried over with other comments:\n{text}");
    }
}

#[test]
fn what_would_be_another_job_is_refused_with_what_to_write() {
    for (line, why) in REFUSED {
        let output = command(&folder()).args(["import", tool(line), line]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(output.stdout.is_empty() && said.contains(why), "{line}: {said}");
    }
}
