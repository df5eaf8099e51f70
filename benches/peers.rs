//! mprun in turns with what people use today where things go wrong, and as a filter in a shell pipe:
//! `cargo bench --bench peers [-- PART]`.

#[path = "peers/crash.rs"]
mod crash;
#[path = "peers/first.rs"]
mod first;
#[path = "pairs/mod.rs"]
mod pairs;
#[path = "peers/restart.rs"]
mod restart;
#[path = "stamps/mod.rs"]
mod stamps;
#[path = "../tests/support/mod.rs"]
mod support;

use pairs::{Goal, PAIRS, Pairs, row};
use restart::Kept;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{Folder, command};

type Part = fn();

fn main() {
    stamps::serve();
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    println!("| what | mprun | beside it | ratio | goal |\n|---|---|---|---|---|");
    let parts: [(&str, Part); 5] = [
        ("restart", restarts),
        ("filter", filters),
        ("line", lines),
        ("first", first::rows),
        ("crash", crash::rows),
    ];
    for (name, part) in parts {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
            part();
        }
    }
}

fn restarts() {
    let (stage, bare) = (Kept::by_stage(), Kept::by_loop());
    let pairs = Pairs::take(25, || stage.kill(), || bare.kill());
    let what = "SIGKILL of a stage's program -> the next one's main()";
    row(what, "bare loop", "ms", 2, &pairs, Goal::AtMost(3.0));
}

/// Short lines from a pipe through a filter to a pipe.
fn filters() {
    let n = 2_000_000;
    let folder = Folder::new();
    let through = |filter: &str| {
        let start = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("seq {n} | {filter} | wc -l")]).current_dir(folder.path());
        for (name, value) in command(&folder).get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), n.to_string(), "{filter}");
        f64::from(n) / start.elapsed().as_secs_f64() / 1e6
    };
    let ours = |name: &str, program: &str, processes: u32| {
        let text = format!(
            "[stages.in]\nuse = 'stdin'\noutput = 'a'\n\
             [stages.f]\ncommand = {program}\nprocesses = {processes}\ninput = 'a'\n"
        );
        folder.file(name, &text);
        format!("{} -q {name} --no-watch", support::binary())
    };
    folder.file("pass.py", "import sys\nfor line in sys.stdin: sys.stdout.write(line)\n");
    let grep = ours("grep.toml", "['grep', '.']", 1);
    let [one, two] = [1, 2].map(|n| ours(&format!("python{n}.toml"), "['python3', 'pass.py']", n));
    let mut rows = vec![
        ("short lines through grep", grep, "grep", "grep .", Goal::None),
        ("short lines through a Python filter", one.clone(), "in the shell", "python3 pass.py", Goal::None),
        ("the same, 2 workers", two.clone(), "1 worker", one.as_str(), Goal::None),
    ];
    let found = Command::new("parallel").arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        let line = "parallel --will-cite --pipe --round-robin -j2 python3 pass.py";
        rows.push(("the same, 2 workers", two, "parallel --pipe -j2", line, Goal::AtLeast(1.5)));
    }
    for (what, mprun, peer, line, goal) in rows {
        row(what, peer, "M/s", 2, &Pairs::take(PAIRS, || through(&mprun), || through(line)), goal);
    }
}

/// A command for each of many items.
fn lines() {
    let (n, folder) = (2000, Folder::new());
    folder.file("items", &(1..=n).map(|i| format!("{i}\n")).collect::<String>());
    let rate = |program: &str, arguments: &[&str]| {
        let mut tool = Command::new(program);
        tool.args(arguments).current_dir(folder.path()).stdout(Stdio::null());
        for (name, value) in command(&folder).get_envs() {
            match value {
                Some(value) => tool.env(name, value),
                None => tool.env_remove(name),
            };
        }
        tool.stdin(std::fs::File::open(folder.path().join("items")).unwrap());
        let start = Instant::now();
        assert!(tool.status().unwrap().success(), "{program}");
        f64::from(n) / start.elapsed().as_secs_f64()
    };
    let binary = support::binary();
    let ours = || rate(&binary, &["do", "-j2", "--", "/bin/true"]);
    let what = "2,000 x /bin/true, 2 at once";
    let xargs = || rate("xargs", &["-P2", "-n1", "/bin/true"]);
    row(what, "xargs -P2 -n1", "/s", 0, &Pairs::take(PAIRS, ours, xargs), Goal::AtLeast(1.2));
    let found = Command::new("parallel").arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        let parallel = || rate("parallel", &["--will-cite", "-j2", "/bin/true"]);
        row(what, "parallel -j2", "/s", 0, &Pairs::take(5, ours, parallel), Goal::AtLeast(5.0));
    }
}
