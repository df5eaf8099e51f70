//! Command stages beside what people use today, in one run: `cargo bench --bench command`.
//!
//! Machines are noisy: compare the ratios of one run, not figures of different days.

#[path = "../tests/support/mod.rs"]
mod support;

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

/// The best of three: the machine only ever adds.
fn best(mut run: impl FnMut() -> Duration) -> f64 {
    (0..3).map(|_| run()).min().unwrap().as_secs_f64()
}

fn each() {
    let n = 6000;
    let ours = best(|| {
        let text = format!(
            "[stages.n]\nuse = 'count'\nwith = {{ to = {n} }}\noutput = 'a'\n\
             [stages.t]\ncommand = ['/bin/true', '{{}}']\nmode = 'each'\nprocesses = 2\ninput = 'a'\n"
        );
        pipeline(Folder::new(), &text).0
    });
    let bare = best(|| bare_spawns(n));
    let rate = |seconds: f64| format!("{:.0}/s", f64::from(n) / seconds);
    row(
        "`each`, /bin/true, 2 workers",
        rate(ours),
        format!("bare spawn loop {}", rate(bare)),
        bare / ours,
        "0.8",
    );
    let folder = Folder::new();
    let xargs = best(|| shell(&folder, &format!("seq {n} | xargs -n 1 -P 2 /bin/true")));
    row("the same", rate(ours), format!("xargs -P2 {}", rate(xargs)), xargs / ours, "1");
    if Command::new("parallel").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let parallel =
            shell(&folder, "seq 1000 | parallel -j2 /bin/true").as_secs_f64() * f64::from(n) / 1000.0;
        row("the same", rate(ours), format!("parallel -j2 {}", rate(parallel)), parallel / ours, "1");
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
    for n in 0..400_000 {
        writeln!(text, "{n} the quick brown fox jumps over the lazy dog and goes home to tell of it all day")
            .unwrap();
    }
    folder.file("in", &text);
    let megabytes = text.len() as f64 / 1e6;
    let bare = best(|| shell(&folder, "cat in | cat | cat > out"));
    for (name, keys) in [("stream", "mode = 'stream'"), ("each, batch", "mode = 'each'\nbatch = 1000")] {
        let ours = best(|| {
            let text = format!(
                "[stages.r]\ncommand = ['cat', 'in']\noutput = 'a'\n\
                 [stages.c]\ncommand = ['cat']\n{keys}\ninput = 'a'\noutput = 'b'\n\
                 [stages.w]\ncommand = \"cat > out\"\ninput = 'b'\n"
            );
            let (took, back) = pipeline(std::mem::replace(&mut folder, Folder::new()), &text);
            folder = back;
            took
        });
        let rate = |seconds: f64| format!("{:.0} MB/s", megabytes / seconds);
        row(
            &format!("lines through cat, `{name}`"),
            rate(ours),
            format!("shell pipe {}", rate(bare)),
            bare / ours,
            "0.7",
        );
    }
}

fn cpu_bound() {
    let text = |processes: u32| {
        format!(
            "[stages.n]\nuse = 'count'\nwith = {{ to = 60 }}\noutput = 'a'\n\
             [stages.f]\ncommand = ['python3', '-c', 'import sys\nfor l in sys.stdin:\n  print(sum(i*i for i in range(300000)), flush=True)']\n\
             mode = 'reply'\nprocesses = {processes}\ninput = 'a'\n"
        )
    };
    let one = best(|| pipeline(Folder::new(), &text(1)).0);
    let two = best(|| pipeline(Folder::new(), &text(2)).0);
    row(
        "a CPU-bound filter, 2 workers",
        format!("{two:.2} s"),
        format!("1 worker {one:.2} s"),
        one / two,
        "1.8",
    );
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
    let bare = best(|| shell(&folder, &format!("seq {n} | python3 echo.py > out")));
    let ours = best(|| {
        let folder = Folder::new();
        folder.file("echo.py", script);
        let text = format!(
            "[stages.n]\nuse = 'count'\nwith = {{ to = {n} }}\noutput = 'a'\n\
             [stages.p]\ncommand = ['python3', 'echo.py']\nmode = 'reply'\ninput = 'a'\noutput = 'b'\n\
             [stages.d]\nuse = 'discard'\ninput = 'b'\n"
        );
        pipeline(folder, &text).0
    });
    let rate = |seconds: f64| format!("{:.0}/s", f64::from(n) / seconds);
    row("`reply` to a Python loop", rate(ours), format!("shell pipe {}", rate(bare)), bare / ours, "0.7");
}

/// One item at a time through a program that echoes, beside the same over bare pipes.
fn hop() {
    let n = 20_000;
    let mut echo = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (echo.stdin.take().unwrap(), BufReader::new(echo.stdout.take().unwrap()));
    let mut line = String::new();
    let mut bare: Vec<Duration> = (0..n).map(|_| round_trip(&mut to, &mut from, &mut line)).collect();
    drop(to);
    echo.wait().unwrap();
    bare.sort();
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "[stages.i]\nuse = 'stdin'\noutput = 'a'\n\
         [stages.r]\ncommand = ['cat']\nmode = 'reply'\ninput = 'a'\n",
    );
    let mut command = support::command(&folder);
    command.args(["-q", "pipeline.toml"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut ours: Vec<Duration> = (0..n).map(|_| round_trip(&mut to, &mut from, &mut line)).collect();
    drop(to);
    child.wait().unwrap();
    ours.sort();
    let (ours, bare) = (ours[ours.len() / 2], bare[bare.len() / 2]);
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    let shown = |time: Duration| format!("{:.1} us", time.as_secs_f64() * 1e6);
    row(
        "p50 round trip: stdin, a queue, `reply`, stdout",
        shown(ours),
        format!("one bare pipe pair {}", shown(bare)),
        ratio,
        "-",
    );
}

fn round_trip(to: &mut impl Write, from: &mut impl BufRead, line: &mut String) -> Duration {
    let start = Instant::now();
    to.write_all(b"an item\n").unwrap();
    line.clear();
    from.read_line(line).unwrap();
    start.elapsed()
}
