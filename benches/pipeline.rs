//! The real binary at work, beside what people use today, in one run: `cargo bench --bench pipeline`.
//!
//! Machines are noisy: compare the ratios of one run, not figures of different days.

mod pairs;
#[path = "../tests/support/mod.rs"]
mod support;

use pairs::{PAIRS, Pairs};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, Run, command, process};

fn main() {
    println!("| what | measured | goal | beside it |\n|---|---|---|---|");
    if std::env::args().any(|argument| argument == "conditions") {
        return conditions();
    }
    throughput();
    conditions();
    ordered();
    replacement();
    scaling();
    memory();
    many_workers();
    idle();
}

fn row(what: &str, measured: String, goal: &str, beside: String) {
    println!("| {what} | {measured} | {goal} | {beside} |");
    std::io::stdout().flush().unwrap();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Runs a finite pipeline to its end.
fn time_to_end(text: &str) -> Duration {
    let start = Instant::now();
    let mut run = Run::start_with(text, &["-q"]);
    let status = run.child.wait().unwrap();
    assert!(status.success(), "{}", run.stderr());
    let _ = run.finish();
    start.elapsed()
}

fn throughput() {
    let python = python_queue();
    for workers in [1, 2, 4] {
        let text = |n: u64| {
            format!(
                "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\nprocesses = {workers}\n\
                 [stages.gone]\nuse = 'discard'\ninput = 'a'\nprocesses = {workers}\n"
            )
        };
        // Start and end cost the same whatever is counted: the difference is the counting.
        let items = 20_000_000;
        let rates = (0..3).map(|_| {
            let busy = time_to_end(&text(items)).saturating_sub(time_to_end(&text(1)));
            items as f64 / busy.as_secs_f64()
        });
        let best = rates.fold(0.0, f64::max);
        let beside =
            python.map_or("no python3".into(), |rate| format!("{:.0}x multiprocessing.Queue", best / rate));
        row(
            &format!("count -> discard, {workers}x{workers}"),
            format!("{:.1} M items/s", best / 1e6),
            "5 M/s at 1x1",
            beside,
        );
    }
}

/// Lines of JSON through one stage that judges them, beside `filter` with a text to find and beside jq.
fn conditions() {
    let folder = Folder::new();
    let n = 1_000_000_u32;
    let line = |n: u32| {
        let level = if n.is_multiple_of(10) { "error" } else { "info" };
        format!(
            "{{\"time\":\"2026-11-29T07:00:{:02}Z\",\"level\":\"{level}\",\"status\":{},\"took_ms\":{},\"path\":\"/api/users/{n}\"}}\n",
            n % 60,
            200 + n % 4 * 100,
            n % 2000,
        )
    };
    let path = folder.file("lines", &(0..n).map(line).collect::<String>());
    let text = |what: &str| {
        format!(
            "[stages.read]\nuse = 'lines'\nwith = {{ path = '{}' }}\noutput = 'a'\n\
             [stages.judge]\ninput = 'a'\n{what}\n[stages.gone]\nuse = 'discard'\ninput = ['b', 'c']\n",
            path.display()
        )
    };
    let rate = |what: &str| f64::from(n) / time_to_end(&text(what)).as_secs_f64() / 1e6;
    let plain = "use = 'filter'\nwith = { contains = '\"level\":\"error\"' }\noutput = ['b', 'c']";
    let jq = |select: &str| {
        let start = Instant::now();
        let mut jq = Command::new("jq");
        let status = jq.args(["-c", select]).arg(&path).stdout(Stdio::null()).status();
        status
            .is_ok_and(|status| status.success())
            .then(|| f64::from(n) / start.elapsed().as_secs_f64() / 1e6)
    };
    for (what, judge, select) in [
        (
            "filter, where = 'level == \"error\" && took_ms > 1000'",
            "use = 'filter'\nwith = { where = 'level == \"error\" && took_ms > 1000' }\noutput = ['b', 'c']",
            "select(.level == \"error\" and .took_ms > 1000)",
        ),
        (
            "route, 3 rules",
            "use = 'route'\nroutes = [{ when = 'level == \"error\" && status >= 500', to = 'b' }, \
             { when = 'took_ms > 1000', to = 'c' }, { to = 'drop' }]",
            "if .level == \"error\" and .status >= 500 then {b: .} elif .took_ms > 1000 then {c: .} else empty end",
        ),
    ] {
        let pairs = Pairs::take(PAIRS, || rate(judge), || rate(plain));
        let (ours, theirs) = (pairs.ours().median, pairs.theirs().median);
        let jq = jq(select).map_or("no jq".into(), |jq| format!("{:.1}x jq", ours / jq));
        row(
            what,
            format!("{ours:.2} M items/s"),
            "at least 4x jq",
            format!("filter, contains: {theirs:.2} M items/s; {jq}"),
        );
    }
}

/// Items per second of Python's queue between two processes.
/// Equal items through four processes that keep their order, beside the same without.
fn ordered() {
    let text = |n: u64, does: &str, order: &str| {
        format!(
            "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\n\
             [stages.work]\n{does}\nprocesses = 4\ninput = 'a'\noutput = 'b'\n{order}\
             [stages.gone]\nuse = 'discard'\ninput = 'b'\n"
        )
    };
    let python =
        "import sys\nfor line in sys.stdin:\n    sum(range(2000))\n    print(line.strip(), flush=True)\n";
    let program = format!("command = ['python3', '-u', '-c', \"\"\"{python}\"\"\"]\nmode = 'reply'");
    let built_in = "use = 'format'\nwith = { template = '{item}' }".to_owned();
    for (what, does, n) in
        [("a built-in", built_in, 3_000_000), ("a program, 20 us an item", program, 60_000)]
    {
        let rate = |order: &str| {
            let busy =
                time_to_end(&text(n, &does, order)).saturating_sub(time_to_end(&text(1, &does, order)));
            n as f64 / busy.as_secs_f64() / 1e6
        };
        let pairs = Pairs::take(PAIRS, || rate("order = 'input'\n"), || rate(""));
        let (ours, theirs) = (pairs.ours().median, pairs.theirs().median);
        row(
            &format!("order = \"input\", {what}, 4 processes"),
            format!("{ours:.3} M/s"),
            "at least 0.8x",
            format!("without an order: {theirs:.3} M/s; {:.2}x", pairs.ratio().median),
        );
    }
}

fn python_queue() -> Option<f64> {
    let script = "import multiprocessing as m,time\ndef p(q):\n  for i in range(50000): q.put(i)\n\
                  if __name__=='__main__':\n  q=m.Queue(1024);w=m.Process(target=p,args=(q,));t=time.time();w.start()\n  \
                  for i in range(50000): q.get()\n  print(50000/(time.time()-t))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A run whose output is read line by line.
fn piped(text: &str) -> (Run, BufReader<ChildStdout>) {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    let mut command = command(&folder);
    command
        .arg("pipeline.toml")
        .stdout(Stdio::piped())
        .stderr(OpenOptions::new().write(true).open("/dev/null").unwrap());
    let mut child: Child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (Run::adopt(folder, child), lines)
}

/// Reads lines until one is another process's; returns that process.
fn next_other(lines: &mut impl BufRead, than: &[u32]) -> u32 {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the run ended");
        if let Ok(pid) = line.trim().parse()
            && !than.contains(&pid)
        {
            return pid;
        }
    }
}

const PIDS: &str = "[defaults]\ngive_up = { restarts = 1000, within = '1m' }\nbackoff = { initial = '100ms', max = '1s', reset_after = '10ms' }\n\
                    [queues.a]\ncapacity = 1\n\
                    [stages.tick]\nuse = 'tick'\nwith = { every = '100us' }\noutput = 'a'\n\
                    [stages.show]\nuse = 'format'\nwith = { template = '{pid}' }\ninput = 'a'\n";

fn replacement() {
    let (_run, mut lines) = piped(PIDS);
    let mut pid = next_other(&mut lines, &[]);
    let times = (0..30).map(|_| {
        std::thread::sleep(Duration::from_millis(30)); // a good run: the next restart is immediate
        let start = Instant::now();
        process::kill(pid, libc::SIGKILL);
        pid = next_other(&mut lines, &[pid]);
        start.elapsed()
    });
    let times = times.collect();
    row(
        "SIGKILL -> the replacement's first item",
        ms(median(times)),
        "10 ms",
        format!("fork + exec of the same program to its output: {}", ms(bare_spawn())),
    );
}

/// What a bare loop around fork and exec pays for the same binary.
fn bare_spawn() -> Duration {
    let times = (0..30).map(|_| {
        let start = Instant::now();
        let output = Command::new(support::binary()).arg("--version").output().unwrap();
        assert!(output.status.success());
        start.elapsed()
    });
    median(times.collect())
}

fn scaling() {
    let times = (0..7).map(|_| {
        let (run, mut lines) = piped(PIDS);
        let first = next_other(&mut lines, &[]);
        let start = Instant::now();
        run.edit(&format!("{PIDS}processes = 2\n"));
        next_other(&mut lines, &[first]);
        start.elapsed()
    });
    row(
        "file saved -> the added worker's first item",
        ms(median(times.collect())),
        "200 ms after the writes settle",
        "settling waits 50 ms of it".into(),
    );
}

const IDLE: &str = "[stages.in]\nuse = 'stdin'\noutput = 'a'\n[stages.out]\nuse = 'filter'\nwith = { contains = 'x' }\ninput = 'a'\nprocesses = 2\n";

const ONE_STAGE: &str = "[stages.time]\nuse = 'tick'\nwith = { every = '1h' }\n";

fn idle_run(text: &str) -> Run {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    let mut command = command(&folder);
    command.arg("pipeline.toml").stdin(Stdio::piped());
    let run = Run::of(folder, command);
    run.wait_for_log("up after");
    std::thread::sleep(Duration::from_secs(1));
    run
}

fn memory() {
    let supervisor = process::resident_kib(idle_run(ONE_STAGE).pid()).unwrap();
    let run = idle_run(IDLE);
    let worker = process::resident_kib(run.workers("out")[0]).unwrap();
    row(
        "supervisor of one stage, resident",
        format!("{:.1} MB", supervisor as f64 / 1e3),
        "8 MB",
        String::new(),
    );
    row("idle worker, resident", format!("{:.1} MB", worker as f64 / 1e3), "-", String::new());
}

fn many_workers() {
    let text = "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 1 }\noutput = 'a'\n\
                [stages.many]\nuse = 'discard'\ninput = 'a'\nprocesses = 1000\n";
    let time = time_to_end(text);
    let beside = format!("1,000 bare spawns one by one: {}", ms(bare_spawn() * 1000));
    row("1,000 workers started and ended", ms(time), "5 s (start)", beside);
}

fn idle() {
    let run = idle_run(IDLE);
    let processes = || process::in_folder(run.folder.path());
    let switches = || processes().into_iter().map(process::context_switches).sum::<u64>();
    let before = switches();
    std::thread::sleep(Duration::from_secs(5));
    row(
        "wake-ups of an idle pipeline in 5 s, all processes",
        format!("{}", switches() - before),
        "0",
        String::new(),
    );
}
