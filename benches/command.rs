//! Command stages in turns with what people use today: `cargo bench --bench command`.
//!
//! Machines are noisy: compare the ratios of one run, not figures of different days.

#[path = "pairs/mod.rs"]
mod pairs;
#[path = "../tests/support/mod.rs"]
mod support;

use pairs::{Goal, PAIRS, Pairs};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, Run, process};

fn main() {
    println!("| what | mprun | beside it | ratio | goal |\n|---|---|---|---|---|");
    each();
    lines();
    cpu_bound();
    python();
    reply();
    hop();
    memory();
}

const GNU_PARALLEL: &str = "parallel --will-cite";

fn has_gnu_parallel() -> bool {
    Command::new("parallel").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn row(what: &str, ours: String, theirs: String, ratio: f64, goal: &str) {
    println!("| {what} | {ours} | {theirs} | {ratio:.2} | {goal} |");
    std::io::stdout().flush().unwrap();
}

/// Runs a finite pipeline in a folder to its end.
fn pipeline(folder: Folder, text: &str) -> (Duration, Folder) {
    folder.file("pipeline.toml", text);
    let start = Instant::now();
    let mut run = Run::in_folder(folder, &["-q"]);
    let status = run.child.wait().unwrap();
    let took = start.elapsed();
    assert!(status.success(), "{}", run.stderr());
    let _ = run.finish();
    (took, std::mem::replace(&mut run.folder, Folder::new()))
}

fn shell(folder: &Folder, line: &str) -> Duration {
    let start = Instant::now();
    let status = Command::new("sh").args(["-c", line]).current_dir(folder.path()).status().unwrap();
    assert!(status.success(), "{line}");
    start.elapsed()
}

/// Of so much work a second, in turns.
fn rates(
    (what, work, unit): (&str, f64, &str),
    mut ours: impl FnMut() -> Duration,
    (peer, mut theirs): (&str, impl FnMut() -> Duration),
    goal: Goal,
) {
    let rate = |took: Duration| work / took.as_secs_f64();
    let pairs = Pairs::take(PAIRS, || rate(ours()), || rate(theirs()));
    pairs::row(what, peer, unit, 0, &pairs, goal);
}

fn each() {
    let n = 2000;
    let ours = || {
        let text = format!(
            "[stages.n]\nuse = 'count'\nwith = {{ to = {n} }}\noutput = 'a'\n\
             [stages.t]\ncommand = ['/bin/true', '{{}}']\nmode = 'each'\nprocesses = 2\ninput = 'a'\n"
        );
        pipeline(Folder::new(), &text).0
    };
    let row = ("`each`, /bin/true, 2 workers", f64::from(n), "/s");
    let folder = Folder::new();
    rates(row, ours, ("bare spawn loop", || bare_spawns(n)), Goal::AtLeast(0.8));
    let xargs = || shell(&folder, &format!("seq {n} | xargs -n 1 -P 2 /bin/true"));
    rates(row, ours, ("xargs -P2", xargs), Goal::AtLeast(1.0));
    if has_gnu_parallel() {
        let parallel = || shell(&folder, &format!("seq {n} | {GNU_PARALLEL} -j2 /bin/true"));
        rates(row, ours, ("parallel -j2", parallel), Goal::AtLeast(1.0));
    }
}

/// Two at a time, each waited for.
fn bare_spawns(n: u32) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for i in 0..n / 2 {
                    let mut command = Command::new("/bin/true");
                    command.arg(i.to_string()).stdin(Stdio::null());
                    assert!(command.status().unwrap().success());
                }
            });
        }
    });
    start.elapsed()
}

fn lines() {
    let mut folder = Folder::new();
    let mut text = String::new();
    for n in 0..1_200_000 {
        writeln!(text, "{n} the quick brown fox jumps over the lazy dog and goes home to tell of it all day")
            .unwrap();
    }
    folder.file("in", &text);
    let megabytes = text.len() as f64 / 1e6;
    let beside = Folder::new();
    beside.file("in", &text);
    let modes = [("stream", "mode = 'stream'", 0.40), ("each, batch", "mode = 'each'\nbatch = 1000", 0.7)];
    for (name, keys, goal) in modes {
        let mut ours = || {
            let text = format!(
                "[stages.r]\ncommand = ['cat', 'in']\noutput = 'a'\n\
                 [stages.c]\ncommand = ['cat']\n{keys}\ninput = 'a'\noutput = 'b'\n\
                 [stages.w]\ncommand = \"cat > out\"\ninput = 'b'\n"
            );
            let (took, back) = pipeline(std::mem::replace(&mut folder, Folder::new()), &text);
            folder = back;
            took
        };
        let what = format!("lines through cat, `{name}`");
        let row = (what.as_str(), megabytes, "MB/s");
        let bare = || shell(&beside, "cat in | cat | cat > out");
        rates(row, &mut ours, ("shell pipe", bare), Goal::AtLeast(goal));
        if name != "stream" {
            // What a shell has for it: a program for every thousand lines.
            let split = || shell(&beside, "cat in | split -l 1000 --filter=cat - | cat > out");
            rates(row, &mut ours, ("split --filter=cat", split), Goal::AtLeast(1.0));
        }
    }
}

const SQUARES: &str = "import sys
for line in sys.stdin:
    print(sum(i * i for i in range(300000)), flush=True)
";

fn cpu_bound() {
    let ours = |processes: u32| {
        let folder = Folder::new();
        folder.file("squares.py", SQUARES);
        let text = format!(
            "[stages.n]\nuse = 'count'\nwith = {{ to = 120 }}\noutput = 'a'\n\
             [stages.f]\ncommand = ['python3', 'squares.py']\nmode = 'reply'\nprocesses = {processes}\ninput = 'a'\n"
        );
        pipeline(folder, &text).0
    };
    let row = ("a CPU-bound filter, 2 workers", 120.0, "/s");
    rates(row, || ours(2), ("1 worker", || ours(1)), Goal::AtLeast(1.85));
    if has_gnu_parallel() {
        let folder = Folder::new();
        folder.file("squares.py", SQUARES);
        let line = format!("seq 120 | {GNU_PARALLEL} -j2 --pipe -N 60 python3 squares.py > out");
        rates(row, || ours(2), ("parallel --pipe -j2", || shell(&folder, &line)), Goal::AtLeast(1.5));
    }
}

const POOL: &str = "
import multiprocessing, sys
def upper(text): return text.upper()
if __name__ == '__main__':
    items = [f'hello {i}' for i in range(int(sys.argv[1]))]
    with multiprocessing.Pool(2) as pool:
        for _ in pool.imap_unordered(upper, items, chunksize=int(sys.argv[2])): pass
";

/// A trivial Python function, two processes: by the helper module, and by what Python itself offers.
fn python() {
    let n = 400_000;
    let folder = Folder::new();
    folder.file("pool.py", POOL);
    let pool = |n: u32, chunk: u32| used(|| shell(&folder, &format!("python3 pool.py {n} {chunk}")));
    let (single, _) = pool(n / 10, 1);
    let (_, chunked) = pool(n, 64);
    let path = support::project().join("python");
    let text = format!(
        "[stages.n]\nuse = 'count'\nwith = {{ to = {n}, format = 'hello {{item}}' }}\noutput = 'a'\n\
         [stages.f]\ncommand = ['python3', '-c', 'import mprun; mprun.serve(lambda text: text.upper())']\n\
         framing = 'mprun'\nenv = {{ PYTHONPATH = '{}' }}\nprocesses = 2\ninput = 'a'\noutput = 'b'\n\
         [stages.d]\nuse = 'discard'\ninput = 'b'\n",
        path.display()
    );
    let (took, cpu) = used(|| pipeline(Folder::new(), &text).0);
    let n = f64::from(n);
    let rate = |n: f64, seconds: f64| format!("{:.0}/s", n / seconds);
    row(
        "a Python function, 2 workers",
        rate(n, took),
        format!("Pool, chunk 1: {}", rate(n / 10.0, single)),
        single * 10.0 / took,
        "10",
    );
    row(
        "the same, per CPU second of all processes",
        rate(n, cpu),
        format!("Pool, chunk 64: {}", rate(n, chunked)),
        chunked / cpu,
        "1",
    );
}

/// The seconds of one run, and the CPU seconds of all its processes.
fn used(run: impl FnOnce() -> Duration) -> (f64, f64) {
    let before = children_ticks();
    let took = run();
    (took.as_secs_f64(), (children_ticks() - before) as f64 / 100.0)
}

/// CPU time of all children so far, and theirs, in hundredths of a second.
fn children_ticks() -> u64 {
    let field = |n| process::field(std::process::id(), n).and_then(|text| text.parse::<u64>().ok()).unwrap();
    field(13) + field(14)
}

fn reply() {
    let n = 200_000;
    let script = "import sys\nfor line in sys.stdin:\n    print(line[:-1], flush=True)\n";
    let folder = Folder::new();
    folder.file("echo.py", script);
    let bare = || shell(&folder, &format!("seq {n} | python3 echo.py > out"));
    let ours = || {
        let folder = Folder::new();
        folder.file("echo.py", script);
        let text = format!(
            "[stages.n]\nuse = 'count'\nwith = {{ to = {n} }}\noutput = 'a'\n\
             [stages.p]\ncommand = ['python3', 'echo.py']\nmode = 'reply'\ninput = 'a'\noutput = 'b'\n\
             [stages.d]\nuse = 'discard'\ninput = 'b'\n"
        );
        pipeline(folder, &text).0
    };
    let row = ("`reply` to a Python loop", f64::from(n), "/s");
    rates(row, ours, ("shell pipe", bare), Goal::AtLeast(0.7));
}

/// One item at a time through a program that echoes, beside the same over bare pipes. As many processes are woken as in
/// a row of four programs: the source, the worker, its program, the worker again.
fn hop() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "[stages.i]\nuse = 'stdin'\noutput = 'a'\n\
         [stages.r]\ncommand = ['cat']\nmode = 'reply'\ninput = 'a'\n",
    );
    let mut command = support::command(&folder);
    command.args(["-q", "pipeline.toml"]);
    let ours = p50(command);
    let shown = |time: Duration| format!("{:.1} us", time.as_secs_f64() * 1e6);
    for (name, line, goal) in
        [("one cat", "exec cat", "0.5"), ("four cats in a row", "cat | cat | cat | cat", "-")]
    {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        let bare = p50(command);
        row(
            "p50 round trip: stdin, a queue, `reply`, stdout",
            shown(ours),
            format!("{name} {}", shown(bare)),
            bare.as_secs_f64() / ours.as_secs_f64(),
            goal,
        );
    }
}

/// The usual time from an item's going in to its coming out.
fn p50(mut command: Command) -> Duration {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut line = String::new();
    let mut times: Vec<Duration> = (0..20_000).map(|_| round_trip(&mut to, &mut from, &mut line)).collect();
    drop(to);
    child.wait().unwrap();
    times.sort();
    times[times.len() / 2]
}

/// An endless input and a slow consumer: what all processes have in memory, early and late. And lines of 4 MiB.
fn memory() {
    let folder = Folder::new();
    let text = "[stages.y]\ncommand = ['yes', 'a line of some length that goes on and on']\noutput = 'a'\n\
                [stages.c]\ncommand = ['cat']\nmode = 'stream'\ninput = 'a'\noutput = 'b'\n\
                [stages.slow]\ncommand = ['cat']\nmode = 'reply'\ninput = 'b'\n";
    folder.file("pipeline.toml", text);
    let mut command = support::command(&folder);
    command.args(["-q", "pipeline.toml"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut after = |lines: u32| {
        let mut line = String::new();
        for _ in 0..lines {
            line.clear();
            output.read_line(&mut line).unwrap();
        }
        let all = process::in_folder(folder.path());
        all.into_iter().filter_map(process::proportional_kib).sum::<u64>()
    };
    let (early, late) = (after(20_000), after(400_000));
    process::kill(child.id(), 15);
    child.wait().unwrap();
    let shown = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    let ratio = late as f64 / early as f64;
    row("memory, after 420,000 lines", shown(late), format!("after 20,000 {}", shown(early)), ratio, "1");
    long_lines();
}

fn long_lines() {
    let mut folder = Folder::new();
    let lines = format!("{}\n", "x".repeat(4 << 20)).repeat(50);
    folder.file("in", &lines);
    let beside = Folder::new();
    beside.file("in", &lines);
    let text = "[stages.r]\ncommand = ['cat', 'in']\noutput = 'a'\n\
                [stages.c]\ncommand = ['cat']\nmode = 'stream'\ninput = 'a'\noutput = 'b'\n\
                [stages.w]\ncommand = 'cat > out'\ninput = 'b'\n";
    let ours = || {
        let (took, back) = pipeline(std::mem::replace(&mut folder, Folder::new()), text);
        folder = back;
        took
    };
    let row = ("lines of 4 MiB, `stream`", lines.len() as f64 / 1e6, "MB/s");
    rates(row, ours, ("shell pipe", || shell(&beside, "cat in | cat | cat > out")), Goal::AtLeast(0.45));
}

fn round_trip(to: &mut impl Write, from: &mut impl BufRead, line: &mut String) -> Duration {
    let start = Instant::now();
    to.write_all(b"an item\n").unwrap();
    line.clear();
    from.read_line(line).unwrap();
    start.elapsed()
}
