//! Machines as processes of their own at a real redis-server and a real nats-server: killed, stopped for longer than a lease, and the server killed under
//! them. In the end every item has passed once, and the ledger adds up.

#[allow(dead_code, reason = "what only the tests of each request use")]
#[path = "broker/server.rs"]
mod server;
mod support;

use mprun::broker::{
    self, Access, AnyBroker, Broker, BrokerKind, Commit, End, Fault, Layout, Lease, Membership, Output,
    SharedQueue, SharedStage, Verdict,
};
use server::{Server, audit, layout, member, on_both};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{process, wait_until};

const A: SharedQueue = SharedQueue(0);
const B: SharedQueue = SharedQueue(1);
const ITEMS: u32 = 20_000;
/// Names the server to a process that is a machine.
const ADDRESS: &str = "MPRUN_STORM_ADDRESS";

fn stage(name: &str) -> SharedStage {
    SharedStage { name: name.to_owned(), machines: broker::Machines::All, is_of_life: false }
}

fn settings() -> Layout {
    let queues = layout(&[u64::from(ITEMS), u64::from(ITEMS)]);
    Layout { ack_wait: Duration::from_millis(200), max_deliveries: 1000, ..queues }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn passes(number: u64, leases: &[Lease]) -> Commit {
    let end = |lease: &Lease| End { queue: A, sequence: lease.sequence, dead: None };
    let output = |lease: &Lease| Output { queue: B, item: lease.item.clone() };
    Commit {
        number,
        ends: leases.iter().map(end).collect(),
        outputs: leases.iter().map(output).collect(),
        ..Commit::default()
    }
}

/// The life of a machine: it passes items from A to B, a few a commit, until it is killed.
async fn live(access: &Access) -> Fault {
    let life = format!("{:x}", fastrand::u64(..));
    let who = Membership { life, ..member(&format!("m{}", std::process::id())) };
    let redis = match AnyBroker::join(access, &settings(), &who).await {
        Ok(redis) => redis,
        Err(fault) => return fault,
    };
    for request in 0.. {
        let leases = match redis.take(A, fastrand::usize(1..40), true).await {
            Ok(leases) if leases.is_empty() => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            Ok(leases) => leases,
            Err(fault) => return fault,
        };
        let commits: Vec<Commit> =
            (request * 40 + 1..).zip(leases.chunks(3)).map(|(number, some)| passes(number, some)).collect();
        // Sent twice, as by a link that has not seen the answer.
        for _ in 0..2 {
            if let Err(fault) = redis.commit(&stage("pass"), &commits).await {
                return fault;
            }
        }
    }
    unreachable!("it lives until it is killed")
}

/// Not a test: what a process does that the storm starts.
#[test]
fn machine() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let access = Access::at(address);
    loop {
        let fault = run(live(&access));
        assert!(matches!(fault, Fault::Away(_)), "{fault}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Machines(Vec<Child>);

impl Machines {
    fn start(server: &Server, count: usize) -> Machines {
        Machines((0..count).map(|_| spawn(server)).collect())
    }

    /// None has ended by itself: a storm over machines that are gone would hang.
    fn all_live(&mut self) {
        for machine in &mut self.0 {
            assert_eq!(
                machine.try_wait().unwrap(),
                None,
                "a machine ended by itself: its reason stands above"
            );
        }
    }

    fn kill(&mut self, which: usize) {
        process::kill(self.0[which].id(), libc::SIGKILL);
        self.0[which].wait().unwrap();
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        (0..self.0.len()).for_each(|which| self.kill(which));
    }
}

fn spawn(server: &Server) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["machine", "--exact"]).env(ADDRESS, server.url());
    command.arg("--nocapture").stdout(Stdio::null()).spawn().unwrap()
}

async fn fill(redis: &AnyBroker) {
    let all: Vec<u32> = (0..ITEMS).collect();
    let commit = |(number, some): (u64, &[u32])| Commit {
        number,
        outputs: some.iter().map(|n| Output { queue: A, item: n.to_le_bytes().to_vec().into() }).collect(),
        ..Commit::default()
    };
    let commits: Vec<Commit> = (1..).zip(all.chunks(100)).map(commit).collect();
    let judged = redis.commit(&stage("read"), &commits).await.unwrap();
    assert_eq!(judged.verdicts, vec![Verdict::Done; commits.len()]);
}

/// Everything has passed once.
async fn settle_accounts(redis: &AnyBroker) {
    audit(redis, &settings()).await;
    let mut seen: Vec<u32> = Vec::new();
    loop {
        let leases = redis.take(B, 1000, false).await.unwrap();
        if leases.is_empty() {
            break;
        }
        seen.extend(leases.iter().map(|lease| u32::from_le_bytes(lease.item[..].try_into().unwrap())));
    }
    assert_eq!(seen.len(), ITEMS as usize);
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..ITEMS), "an item is lost or doubled");
}

fn done(access: &Access) -> u64 {
    let who = Membership { life: "looks".into(), ..member("looks") };
    run(async { server::join(access, &settings(), &who).await.ledger(A).await.unwrap().done })
}

/// `strike` happens again and again until all has passed, after some milliseconds, or more where nothing has passed since the last one: how much a
/// life can do depends on the computer. Returns how often it did.
fn storm(kind: BrokerKind, count: usize, mut strike: impl FnMut(u32, &mut Server, &mut Machines)) -> u32 {
    let mut server = Server::safe(kind);
    run(async { fill(&server.join(&settings(), "source").await).await });
    let mut machines = Machines::start(&server, count);
    let (mut strikes, mut before, mut longest) = (0, 0, 60);
    loop {
        let now = done(&server.access());
        if now == u64::from(ITEMS) {
            break;
        }
        longest = if now > before { 60 } else { 2 * longest };
        assert!(longest < 60_000, "it hangs at {now}");
        before = now;
        std::thread::sleep(Duration::from_millis(fastrand::u64(5..longest)));
        strike(strikes, &mut server, &mut machines);
        strikes += 1;
        machines.all_live();
    }
    drop(machines);
    run(async { settle_accounts(&server.join(&settings(), "source").await).await });
    println!("{ITEMS} items once over {count} machines through {strikes} strikes");
    strikes
}

fn machines_die(kind: BrokerKind, count: usize) {
    let strikes = storm(kind, count, |_, server, machines| {
        for which in 0..count {
            machines.kill(which);
            machines.0[which] = spawn(server);
        }
    });
    assert!(strikes as usize * count > 5, "only {strikes} times {count} deaths");
}

fn machines_that_are_killed_at_any_moment_lose_and_double_nothing(kind: BrokerKind) {
    for count in [1, 2, 5] {
        machines_die(kind, count);
    }
}

fn machines_that_stand_still_for_longer_than_a_lease_double_nothing_when_they_go_on(kind: BrokerKind) {
    let strikes = storm(kind, 3, |n, _, machines| {
        let pid = machines.0[n as usize % 3].id();
        process::kill(pid, libc::SIGSTOP);
        wait_until("the stop", || process::state(pid).filter(|state| *state == 'T'));
        // Longer than a lease, in which the others take what it has.
        std::thread::sleep(Duration::from_millis(250));
        process::kill(pid, libc::SIGCONT);
    });
    assert!(strikes > 1, "only {strikes} stops");
}

fn a_server_that_is_killed_again_and_again_loses_and_doubles_nothing(kind: BrokerKind) {
    let strikes = storm(kind, 3, |_, server, _| {
        server.kill();
        server.start_again();
    });
    assert!(strikes > 2, "only {strikes} deaths of the server");
}

on_both!(
    machines_that_are_killed_at_any_moment_lose_and_double_nothing,
    machines_that_stand_still_for_longer_than_a_lease_double_nothing_when_they_go_on,
    a_server_that_is_killed_again_and_again_loses_and_doubles_nothing,
);

/// As a tool does that tidies up, and with less sense. What was given back and waits is deleted with its consumer, too.
#[test]
fn consumers_and_groups_that_somebody_deletes_from_redis_lose_and_double_nothing() {
    const DELETE: &str = "local key, n = KEYS[1], 0 \
        for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', key, 'mprun')) do \
        n = n + redis.call('XGROUP', 'DELCONSUMER', key, 'mprun', consumer[2]) end return n";
    let (mut taken_away, mut groups) = (0, 0);
    let strikes = storm(BrokerKind::Redis, 3, |n, server, _| match n % 6 {
        // What the server says of its groups is wrong behind this.
        3 => {
            server.write_file_anew();
            std::thread::sleep(Duration::from_millis(fastrand::u64(5..30)));
            server.kill();
            server.start_again();
        }
        5 => {
            assert_eq!(server.ask("XGROUP DESTROY {mprun/test}:1:q:a mprun"), ":1");
            groups += 1;
        }
        _ => {
            let answer = server.ask(&format!("EVAL \"{DELETE}\" 1 {{mprun/test}}:1:q:a"));
            // Without a group there is nothing to delete.
            taken_away += answer.trim_start_matches(':').parse::<u64>().unwrap_or(0);
        }
    });
    println!("{taken_away} items lost their consumers, {groups} times all lost their group");
    assert!(
        strikes > 6 && taken_away > 20 && groups > 0,
        "{strikes} strikes, {taken_away} items, {groups} groups"
    );
}
