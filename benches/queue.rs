//! The queue beside what it is measured against, in one run: `cargo bench --bench queue`. Medians of alternating pairs;
//! where there is no peer, the best of several short runs, as other work on the machine only ever makes a run slower.

#[path = "queue/bare.rs"]
mod bare;
#[path = "queue/binary.rs"]
mod binary;
#[path = "queue/ours.rs"]
mod ours;
#[path = "pairs/mod.rs"]
mod pairs;
#[path = "queue/peers.rs"]
mod peers;
#[path = "queue/process.rs"]
mod process;
#[path = "queue/takeover.rs"]
mod takeover;

use ours::Shape;
use pairs::{Goal, PAIRS, Pairs};
use std::time::Duration;

const RUNS: usize = 5;

fn best(run: impl Fn() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().unwrap_or_default()
}

/// Millions a second.
fn rate(items: u64, time: Duration) -> f64 {
    items as f64 / time.as_secs_f64() / 1e6
}

/// One part of the table, chosen by its name on the command line.
type Part = fn(&Table);

struct Table;

impl Table {
    fn head() -> Table {
        println!("| what | ours | beside it | ratio | goal |\n|---|---|---|---|---|");
        Table
    }

    /// Millions of items a second, ours and a peer's, in turns.
    fn row(
        &self,
        what: &str,
        unit: &str,
        ours: impl FnMut() -> f64,
        (peer, theirs): (&str, impl FnMut() -> f64),
        goal: Goal,
    ) {
        pairs::row(what, peer, unit, 2, &Pairs::take(PAIRS, ours, theirs), goal);
    }

    fn at_most(&self, what: &str, unit: &str, ours: f64, goal: f64) {
        println!(
            "| {what} | {ours:.2} {unit} | | | {} |",
            Goal::AtMost((goal * 100.0).round() / 100.0).verdict(ours)
        );
    }
}

const BATCHED: Shape =
    Shape { writers: 1, readers: 1, items: 2_000_000, size: 8, batch: 256, capacity: 1024, in_place: false };

fn small_items(table: &Table) {
    let ours = |shape: Shape| move || rate(shape.items, ours::pass(shape));
    let channel = || rate(BATCHED.items, peers::crossbeam(1024, BATCHED.items, 1));
    let what = "8 B, 1x1, batches of 256";
    table.row(what, "M/s", ours(BATCHED), ("crossbeam(1024)", channel), Goal::AtLeast(3.0));
    let python =
        [("faster-fifo", peers::FASTER_FIFO, 10.0), ("multiprocessing", peers::MULTIPROCESSING, 100.0)];
    for (name, script, goal) in python {
        if peers::python(script).is_none() {
            println!("| the same | | no {name} here to measure beside | | |");
            continue;
        }
        let theirs = || peers::python(script).unwrap_or(f64::NAN) / 1e6;
        table.row("the same", "M/s", ours(BATCHED), (name, theirs), Goal::AtLeast(goal));
    }
    for n in [2, 4] {
        let many = ours(Shape { writers: n, readers: n, ..BATCHED });
        let what = format!("8 B, {n}x{n}, batches of 256");
        table.row(&what, "M/s", many, ("our 1x1", ours(BATCHED)), Goal::AtLeast(0.8));
    }
    let single = Shape { items: 400_000, batch: 1, ..BATCHED };
    let pipe = || rate(single.items, peers::pipe_items(single.items, 8));
    table.row("8 B, one item an operation", "M/s", ours(single), ("pipe", pipe), Goal::AtLeast(1.2));
}

/// Capacity 2: each item is handed over by itself. On one processor nobody can look while the other works: all sleep.
fn tight(table: &Table) {
    let two = Shape { items: 100_000, batch: 1, capacity: 2, ..BATCHED };
    let row = |what, goal| {
        let channel = || rate(two.items, peers::crossbeam(2, two.items, 1));
        table.row(what, "M/s", || rate(two.items, ours::pass(two)), ("crossbeam(2)", channel), goal);
    };
    row("8 B, capacity 2, both awake", Goal::AtLeast(0.25));
    process::on_one_processor(|| row("8 B, capacity 2, on one processor", Goal::AtLeast(1.0)));
}

fn large_items(table: &Table) {
    for (size, items, batch, goal) in [(4096, 200_000, 16, 0.7), (65536, 20_000, 4, 0.5)] {
        let gigabytes = |time| rate(items * size as u64, time) / 1e3;
        let shape = Shape { items, size, batch, capacity: 64, ..BATCHED };
        let copied = || gigabytes(ours::pass(shape));
        let in_place = || gigabytes(ours::pass(Shape { in_place: true, ..shape }));
        let memcpys = |n| move || gigabytes(peers::memcpys(items, size, n));
        let bare = |in_place| move || gigabytes(bare::pass(items, size, in_place));
        let (both, place) = (format!("{size} B, copied in and out"), format!("{size} B, in place"));
        table.row(&both, "GB/s", copied, ("two memcpys", memcpys(2)), Goal::AtLeast(goal));
        table.row(&place, "GB/s", in_place, ("one memcpy", memcpys(1)), Goal::AtLeast(0.9));
        table.row(&both, "GB/s", copied, ("bare shared memory", bare(false)), Goal::None);
        table.row(&place, "GB/s", in_place, ("bare shared memory", bare(true)), Goal::AtLeast(0.9));
        let pipe = || gigabytes(peers::pipe_items(items / 4, size)) / 4.0;
        table.row(&format!("{size} B, copied"), "GB/s", copied, ("pipe", pipe), Goal::AtLeast(1.0));
    }
}

fn program(table: &Table) {
    let items = 20_000_000;
    let through = || rate(items, binary::count_to_discard(items));
    let bare = || rate(BATCHED.items, ours::pass(BATCHED));
    table.row("count -> discard, the real program", "M/s", through, ("our 1x1", bare), Goal::AtLeast(0.7));
}

fn latency(table: &Table) {
    for (name, pause) in [("hot", Duration::ZERO), ("asleep", Duration::from_micros(300))] {
        let at = |mut times: Vec<Duration>, part: f64| {
            times.sort_unstable();
            times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6
        };
        let (ours, pipe) = (ours::ping_pong(3000, pause), peers::pipe_ping_pong(3000, pause));
        for (percent, part) in [("p50", 0.5), ("p99", 0.99)] {
            let (us, them) = (at(ours.clone(), part), at(pipe.clone(), part));
            table.at_most(
                &format!("there and back, {name}, {percent} (pipe {them:.1} us)"),
                "us ",
                us,
                them * 1.3,
            );
        }
    }
}

fn processor(_: &Table) {
    for (size, batch) in [(8, 256), (8, 16), (8, 1), (100, 64), (100, 1)] {
        let time = best(|| ours::processor_time(200_000, size, batch));
        println!("| processor time of {size} B in batches of {batch} | {} ns | | | - |", time.as_nanos());
    }
}

fn memory(table: &Table) {
    let [small, height, after] = ours::memory().map(|bytes| bytes as f64 / 1e6);
    table.at_most("10 items, capacity 1,000,000", "MB ", small, 1.0);
    table.at_most(&format!("after a burst (height {height:.0} MB)"), "MB ", after, height / 10.0);
    table.at_most(
        "release of 512 leases beside 1,000,000",
        "ms ",
        best(ours::recovery).as_secs_f64() * 1e3,
        1.0,
    );
}

/// "At once" is as soon as the kernel has heard of the death: the victim's size must not matter.
fn takeovers(table: &Table) {
    for (what, bytes) in [("small", 1 << 20), ("of 512 MiB", 512 << 20)] {
        let times = takeover::times(41, bytes);
        let micros = |i: usize| times[i].as_secs_f64() * 1e6;
        let (median, worst) = (micros(times.len() / 2), micros(times.len() - 1));
        let what = format!("owner of the lock killed, {what} (worst {worst:.0})");
        table.at_most(&what, "us ", median, 200.0);
    }
}

fn main() {
    let table = Table::head();
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let parts: [(&str, Part); 8] = [
        ("processor", processor),
        ("small", small_items),
        ("tight", tight),
        ("large", large_items),
        ("latency", latency),
        ("memory", memory),
        ("takeover", takeovers),
        ("program", program),
    ];
    for (name, part) in parts {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
            part(&table);
        }
    }
}
