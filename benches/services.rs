//! Services beside a bare loop around fork, exec and wait, and beside s6, runit and supervisord where they are installed:
//! restart, start, memory, idle. `cargo bench --bench services [-- PART]`.
//!
//! The program that is kept running is this bench itself, which stamps a file with the monotonic time of its main().

#[path = "services/fleet.rs"]
mod fleet;
#[path = "pairs/mod.rs"]
mod pairs;
#[path = "stamps/mod.rs"]
mod stamps;
#[path = "../tests/support/mod.rs"]
mod support;

use fleet::{Fleet, Keeper};
use pairs::{Goal, Pairs, Spread, row};
use std::time::Duration;

/// Services of a fleet.
const MANY: usize = 1000;
/// Of each of start, memory and idle.
const RUNS: usize = 9;
const KILLS: usize = 25;
const IDLE: Duration = Duration::from_secs(5);

type Part = fn();

fn main() {
    stamps::serve();
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    println!("| what | mprun | beside it | ratio | goal |\n|---|---|---|---|---|");
    let parts: [(&str, Part); 3] = [("restart", restarts), ("start", starts), ("memory", memory)];
    for (name, part) in parts {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
            part();
        }
    }
}

fn restarts() {
    for peer in Keeper::peers() {
        let (ours, theirs) = (Fleet::up(Keeper::Mprun, 1), Fleet::up(peer, 1));
        let kills = if peer == Keeper::Loop { KILLS } else { 3 };
        let pairs = Pairs::take(kills, || ours.kill(), || theirs.kill());
        let goal = if peer == Keeper::Loop { Goal::AtMost(2.0) } else { Goal::None };
        row("SIGKILL of a service -> the next one's main()", peer.name(), "ms", 2, &pairs, goal);
    }
}

fn starts() {
    for peer in Keeper::peers() {
        let runs = if peer == Keeper::Loop { RUNS } else { 1 };
        let start = |keeper| Fleet::up(keeper, MANY).took.as_secs_f64();
        let pairs = Pairs::take(runs, || start(Keeper::Mprun), || start(peer));
        let goal = if peer == Keeper::Loop { Goal::AtMost(1.5) } else { Goal::None };
        row("1,000 services, start -> the last main()", peer.name(), "s", 2, &pairs, goal);
    }
}

fn memory() {
    for keeper in [Keeper::Mprun, Keeper::MprunStages].into_iter().chain(Keeper::peers()) {
        let is_ours = matches!(keeper, Keeper::Mprun | Keeper::MprunStages);
        let fleet = Fleet::up(keeper, MANY);
        std::thread::sleep(Duration::from_secs(1));
        let (mib, processes) = (fleet.memory() / 1024.0, fleet.own().len());
        let before = fleet.cpu();
        std::thread::sleep(IDLE);
        let idle = (fleet.cpu() - before) / IDLE.as_secs_f64();
        let verdict = |goal: Goal, value: f64| if is_ours { goal.verdict(value) } else { "-".into() };
        let name = keeper.name();
        println!(
            "| 1,000 services, memory (PSS) | {name} {mib:.1} MiB | | | {} |",
            verdict(Goal::AtMost(16.0), mib)
        );
        let count = processes as f64;
        println!(
            "| processes beside them | {name} {processes} | | | {} |",
            verdict(Goal::AtMost(3.0), count)
        );
        let idle = Spread::of(vec![idle]).median;
        println!("| idle, CPU a second | {name} {idle:.2} ms | | | {} |", verdict(Goal::AtMost(0.1), idle));
    }
}
