//! A consumer is killed while it is busy: how often not every item comes through, of so many trials.

use crate::support::{LIMIT, Run, process, wait_until};
use std::process::Command;
use std::time::{Duration, Instant};

const TRIALS: usize = 20;
const ITEMS: u64 = 3000;

pub fn rows() {
    let ours = (0..TRIALS).filter(|&trial| !is_whole(trial as u64)).count();
    for (peer, script) in [("multiprocessing.Queue", QUEUE), ("multiprocessing.Pool", POOL)] {
        let theirs: Option<usize> = (0..TRIALS).map(|_| python(script)).sum();
        let theirs = theirs.map_or("not here".to_owned(), |n| n.to_string());
        let verdict = if ours == 0 { "0" } else { "0, short" };
        println!(
            "| a busy worker is killed: items lost or a hang, of {TRIALS} trials | {ours} | {peer} {theirs} | | {verdict} |"
        );
    }
}

/// One trial: 1 if something was missing; `None`: there is no Python. It kills itself with all its processes.
fn python(script: &str) -> Option<usize> {
    let output = Command::new("python3").args(["-c", &format!("{HEAD}{script}{TAIL}")]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// Two workers between two queues, one of them killed: whether the sum is right, and comes.
fn is_whole(trial: u64) -> bool {
    let mut run = Run::start_with(
        &format!(
            "[defaults]\nattempts = 1000\n[stages.n]\nuse = 'count'\nwith = {{ to = {ITEMS} }}\noutput = 'a'\n\
             [stages.p]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\nprocesses = 2\ninput = 'a'\n\
             output = 'b'\nsleep = '20us'\n[stages.s]\nuse = 'sum'\ninput = 'b'\n"
        ),
        &["-q"],
    );
    let worker = wait_until("a worker", || run.workers("p").first().copied());
    std::thread::sleep(Duration::from_micros(trial * 500));
    process::kill(worker, libc::SIGKILL);
    let start = Instant::now();
    while run.child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    run.wait() == 0 && run.lines() == [(ITEMS * (ITEMS + 1) / 2).to_string()]
}

const HEAD: &str = "
import multiprocessing, os, random, signal, time
os.setpgid(0, 0)
fork = multiprocessing.get_context('fork')
";

const TAIL: &str = "
print(int(not is_whole()), flush=True)
os.killpg(0, signal.SIGKILL)
";

const QUEUE: &str = "
N = 3000
def put(queue):
    for i in range(N): queue.put(i)
def get(queue, seen):
    while True: seen[queue.get()] = 1
def is_whole():
    queue, seen = fork.Queue(1024), fork.RawArray('b', N)
    readers = [fork.Process(target=get, args=(queue, seen)) for _ in range(2)]
    writer = fork.Process(target=put, args=(queue,))
    for each in readers + [writer]: each.start()
    while not any(seen): time.sleep(0.0005)
    time.sleep(random.uniform(0, 0.01))
    os.kill(readers[0].pid, signal.SIGKILL)
    most, since = -1, time.monotonic()
    while sum(seen) < N and time.monotonic() < since + 1:
        if sum(seen) > most: most, since = sum(seen), time.monotonic()
        time.sleep(0.005)
    return sum(seen) == N
";

const POOL: &str = "
def nap(x):
    time.sleep(0.03)
    return x
def is_whole():
    pool = fork.Pool(2)
    results = [pool.apply_async(nap, (x,)) for x in range(20)]
    time.sleep(random.uniform(0.02, 0.2))
    os.kill(pool._pool[0].pid, signal.SIGKILL)
    end = time.monotonic() + 2
    try:
        for result in results: result.get(max(0.01, end - time.monotonic()))
        return True
    except multiprocessing.TimeoutError:
        return False
";
