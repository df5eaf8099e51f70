//! A durable pipeline goes on where it was, whoever is killed: every item has its effect in the queues exactly once.
//!
//! `MPRUN_TEST_LIVES=300 cargo test --test durable storm` kills for longer than the few times that are enough for a
//! change.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;
use support::control_api::request;
use support::trace::Traced;
use support::{Folder, LIMIT, Run, command, process, wait_until};

/// One pipeline in a folder of its own, run again and again.
struct Service {
    folder: Folder,
    lives: u32,
}

/// One run of it.
struct Life {
    child: Child,
    number: u32,
}

impl Service {
    fn new(text: &str) -> Service {
        let folder = Folder::new();
        folder.file("work.toml", text);
        Service { folder, lives: 0 }
    }

    fn start(&mut self) -> Life {
        self.start_with(&[])
    }

    /// From the next start on no item waits.
    fn take_pauses_out(&self) {
        let text = fs::read_to_string(self.path("work.toml")).unwrap();
        self.folder.file("work.toml", &text.replace("sleep = '1ms'\n", ""));
    }

    fn start_with(&mut self, arguments: &[&str]) -> Life {
        self.lives += 1;
        let output = |name: &str| File::create(self.path(&format!("{name}-{}", self.lives))).unwrap();
        let mut command = command(&self.folder);
        command.args(["run", "work.toml", "--no-watch"]).args(arguments).stdin(Stdio::null());
        let child = command.stdout(output("stdout")).stderr(output("stderr")).spawn().unwrap();
        Life { child, number: self.lives }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn queues(&self) -> PathBuf {
        self.path("state/mprun/work/queues")
    }

    /// The first word of the first queue in the file counts what was put into it.
    fn put_into_first_queue(&self) -> u64 {
        let mut word = [0; 8];
        File::open(self.queues()).unwrap().read_exact_at(&mut word, 24576).unwrap();
        u64::from_le_bytes(word)
    }

    fn stdout(&self, life: u32) -> String {
        fs::read_to_string(self.path(&format!("stdout-{life}"))).unwrap()
    }

    fn stderr(&self, life: u32) -> String {
        fs::read_to_string(self.path(&format!("stderr-{life}"))).unwrap()
    }

    /// Runs it to its end; the code, and what it printed.
    #[track_caller]
    fn finish(&mut self, mut life: Life) -> (Option<i32>, String) {
        let status = wait_until("the end", || life.child.try_wait().unwrap());
        (status.code(), self.stdout(life.number))
    }

    #[track_caller]
    fn wait_for_log(&self, life: &Life, text: &str) {
        let what = format!("{text:?} in the log: {}", self.stderr(life.number));
        wait_until(&what, || self.stderr(life.number).contains(text).then_some(()));
    }
}

impl Life {
    /// SIGKILL to the supervisor, and, if `all`, at the same moment to its workers and the guardian.
    fn kill(&mut self, all: bool) {
        let pid = self.child.id();
        let children = if all { process::children(pid) } else { Vec::new() };
        // Half of them before, so that it can't even begin to react.
        let (first, last) = children.split_at(children.len() / 2);
        first.iter().for_each(|&child| _ = process::kill(child, libc::SIGKILL));
        process::kill(pid, libc::SIGKILL);
        last.iter().for_each(|&child| _ = process::kill(child, libc::SIGKILL));
        self.child.wait().unwrap();
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let folder = self.folder.path().to_owned();
            wait_until("all processes to be gone", || process::in_folder(&folder).is_empty().then_some(()));
        }
    }
}

/// A cheap generator: no test needs good randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

/// So many kills of everything are enough, unless somebody asks for more.
fn lives() -> u64 {
    std::env::var("MPRUN_TEST_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(25)
}

const RECOVERS: &str = "continues where an earlier run stopped";

fn counting(to: u64) -> String {
    format!(
        "[defaults]\nattempts = 200\nretry = {{ delay = '1ms', max = '5ms' }}\n[queues.a]\ncapacity = 200\ndurable = true\n[queues.b]\ncapacity = 50\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {to}, format = '{{item}}' }}\noutput = 'a'\n\
         [stages.pass]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\noutput = 'b'\n\
         sleep = '1ms'\nprocesses = 2\n\
         [stages.total]\nuse = 'sum'\ninput = 'b'\n"
    )
}

/// A run of these is not done before the test has looked, however busy the machine is. [`Service::take_pauses_out`] ends that.
const MANY: u64 = 20_000;

/// What the closing summary says of a queue.
fn ledger(log: &str, queue: &str) -> String {
    let mark = format!("queue {queue}: ");
    log.lines().find_map(|line| Some(line.split_once(&mark)?.1.to_owned())).unwrap_or_default()
}

#[test]
fn what_a_program_had_in_hand_when_everything_was_killed_is_counted_by_the_next_run() {
    let mut service = Service::new(
        "[stages.n]\nuse = 'count'\nwith = { to = 100 }\noutput = 'a'\n[queues.a]\ndurable = true\n\
         [stages.hold]\ncommand = ['sh', '-c', 'test -e again && exec cat >/dev/null; exec sleep 1000']\nmode = 'stream'\n\
         input = 'a'\n",
    );
    let done = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).ok()?;
        (status["queues"][0]["done"] == 100).then_some(())
    };
    let mut life = service.start();
    wait_until("the items are in the program's hands", || {
        let status = command(&service.folder).args(["status", "--json"]).output().unwrap();
        done(&String::from_utf8_lossy(&status.stdout))
    });
    life.kill(true);
    service.folder.file("again", "");
    for expected in [1, 0] {
        let life = service.start_with(&["--report", "report.json"]);
        let number = life.number;
        assert_eq!(service.finish(life).0, Some(0));
        let report = fs::read(service.path("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["stages"][1]["perhaps_lost"], 100 * expected, "{report}");
        let log = service.stderr(number);
        let says =
            log.matches("the run before was killed: about 100 items that its program was given may be lost");
        assert_eq!(says.count(), expected, "{log}");
    }
}

#[test]
fn a_storm_of_kills_of_everything_loses_nothing_and_doubles_nothing() {
    let n = 400 * lives();
    let mut service = Service::new(&counting(n));
    let mut dice = Dice(u64::from(std::process::id()));
    for round in 0..lives() {
        let mut life = service.start();
        // Some die before they have even begun, most in the middle of their work.
        if dice.roll(4) > 0 {
            service.wait_for_log(&life, "up after");
        }
        std::thread::sleep(Duration::from_millis(dice.roll(120)));
        if let Some(status) = life.child.try_wait().unwrap() {
            panic!("ended in round {round} with {status}: {}", service.stderr(life.number));
        }
        if dice.roll(3) == 0 {
            let workers = process::children(life.child.id());
            workers.iter().take(1).for_each(|&pid| _ = process::kill(pid, libc::SIGKILL));
        }
        life.kill(dice.roll(2) == 0);
    }
    service.take_pauses_out();
    let life = service.start();
    let number = life.number;
    let (code, printed) = service.finish(life);
    let log = service.stderr(number);
    assert!(log.contains(RECOVERS), "{log}");
    assert_eq!((code, printed), (Some(0), format!("{}\n", n * (n + 1) / 2)), "{log}");
    for queue in ["a", "b"] {
        assert_eq!(ledger(&log, queue), format!("{n} put, {n} done"));
    }
    assert!(!service.queues().exists(), "a run that is done leaves nothing");
}

/// What a power cut leaves: another boot of the machine, and pages of any age.
fn cut_the_power(service: &Service, dice: &mut Dice) {
    wait_until("all processes to be gone", || {
        process::in_folder(service.folder.path()).is_empty().then_some(())
    });
    let file = File::options().write(true).open(service.queues()).unwrap();
    file.write_all_at(&[7; 16], 256).unwrap();
    for _ in 0..dice.roll(20) {
        // In the counters of the queues, the slots of workers, their journals.
        let at = 4096 + dice.roll(400) * 4096;
        file.write_all_at(&[dice.roll(256) as u8; 512], at).unwrap();
    }
}

fn saved_and_cut_again_and_again(sync: &str) {
    // Where each put waits for the disk, a few are enough.
    let n = if sync == "always" { 400 * lives() / 3 } else { 400 * lives() };
    let text = counting(n).replacen("durable = true", &format!("durable = true\nsync = '{sync}'"), 1);
    let mut service = Service::new(&text);
    let mut dice = Dice(u64::from(std::process::id()));
    let saved = service.queues().with_extension("saved");
    for _ in 0..lives() / 3 {
        let mut life = service.start();
        service.wait_for_log(&life, "up after");
        assert!(saved.exists(), "saved before anybody works");
        std::thread::sleep(Duration::from_millis(dice.roll(200)));
        life.kill(dice.roll(2) == 0);
        cut_the_power(&service, &mut dice);
    }
    service.take_pauses_out();
    let life = service.start();
    let number = life.number;
    let (code, printed) = service.finish(life);
    let log = service.stderr(number);
    assert!(
        log.contains("the machine went down while it was in use")
            && log.contains("continues from what was saved at"),
        "{log}"
    );
    assert_eq!((code, printed), (Some(0), format!("{}\n", n * (n + 1) / 2)), "{log}");
    for queue in ["a", "b"] {
        assert_eq!(ledger(&log, queue), format!("{n} put, {n} done"));
    }
    assert!(!service.queues().exists() && !saved.exists(), "a run that is done leaves nothing");
}

#[test]
fn power_cuts_take_saved_queues_back_to_one_moment_and_the_sum_is_right() {
    saved_and_cut_again_and_again("interval");
}

#[test]
fn power_cuts_cost_nothing_that_was_put_where_every_put_is_safe() {
    saved_and_cut_again_and_again("always");
}

#[test]
fn kills_in_the_middle_of_upgrades_lose_nothing_and_double_nothing() {
    let n = 200 * lives();
    let mut service = Service::new(&counting(n));
    let mut dice = Dice(u64::from(std::process::id()));
    let mut upgrades = 0;
    for _ in 0..lives() / 2 {
        let mut life = service.start();
        service.wait_for_log(&life, "up after");
        // The same program takes over from itself; it is killed before, while, or just after it does.
        process::kill(life.child.id(), libc::SIGUSR2);
        std::thread::sleep(Duration::from_millis(dice.roll(90)));
        life.kill(dice.roll(2) == 0);
        upgrades += u64::from(service.stderr(life.number).contains("took over"));
    }
    service.take_pauses_out();
    let life = service.start();
    let number = life.number;
    let (code, printed) = service.finish(life);
    let log = service.stderr(number);
    assert_eq!((code, printed), (Some(0), format!("{}\n", n * (n + 1) / 2)), "{upgrades} upgrades: {log}");
    for queue in ["a", "b"] {
        assert_eq!(ledger(&log, queue), format!("{n} put, {n} done"));
    }
}

#[test]
fn an_idle_pipeline_is_saved_once_and_not_again() {
    let text = "[queues.a]\ndurable = true\nsync = 'interval'\n\
                [stages.number]\nuse = 'count'\nwith = { from = 1, to = 3 }\noutput = 'a'\n\
                [stages.slow]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nsleep = '1h'\n";
    let mut service = Service::new(text);
    let mut life = service.start();
    service.wait_for_log(&life, "up after");
    let saved = service.queues().with_extension("saved");
    let holds_all = || fs::read(&saved).is_ok_and(|bytes| bytes.len() > 300);
    wait_until("the items to be saved", || {
        (service.put_into_first_queue() == 3 && holds_all()).then_some(())
    });
    let stamp = || fs::metadata(&saved).unwrap().modified().unwrap();
    // Once more perhaps, for what came while it was saved. Whoever saves all the time does so in each of these spans.
    let is_quiet = (0..10).any(|_| {
        let before = stamp();
        std::thread::sleep(Duration::from_millis(2500));
        stamp() == before
    });
    assert!(is_quiet, "nothing has changed, and it is saved again and again");
    life.kill(true);
}

#[test]
fn a_stop_keeps_what_waits_and_the_next_start_goes_on() {
    let sum = format!("{}\n", MANY * (MANY + 1) / 2);
    let mut service = Service::new(&counting(MANY));
    let mut life = service.start();
    service.wait_for_log(&life, "up after");
    for round in 0..2 {
        std::thread::sleep(Duration::from_millis(30));
        process::kill(life.child.id(), libc::SIGTERM);
        let number = life.number;
        assert_eq!(service.finish(life), (Some(0), String::new()), "nothing has ended yet: no sum");
        assert!(
            service.stderr(number).contains("the next start continues from"),
            "{}",
            service.stderr(number)
        );
        if round == 1 {
            service.take_pauses_out();
        }
        life = service.start();
        service.wait_for_log(&life, RECOVERS);
    }
    assert_eq!(service.finish(life), (Some(0), sum.clone()));
    let again = service.start();
    let number = again.number;
    assert_eq!(service.finish(again), (Some(0), sum), "done: the next start is a new one");
    assert!(!service.stderr(number).contains(RECOVERS));
}

#[test]
fn nothing_waits_while_the_system_frees_the_room_of_the_queues_and_that_is_said() {
    const QUEUE_MEMORY: u64 = 1 << 40; // nothing else is as large
    let mut run = Run::start(
        "[queues.a]\ndurable = true\n[stages.n]\ncommand = 'until [ -e ready ]; do sleep 0.01; done; echo 7'\noutput = 'a'\n\
         [stages.total]\nuse = 'sum'\ninput = 'a'\n",
    );
    run.wait_for_log("up after");
    let mut client = UnixStream::connect(run.socket()).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(request("GET", "/v1/end", "", "").as_bytes()).unwrap();
    client.read_exact(&mut [0]).unwrap();
    // As on a disk that is slow to free a file, the supervisor stays where the kernel does that.
    let traced = Traced::stop(run.pid());
    run.folder.file("ready", "");
    traced.run_until(|call| call.number == libc::SYS_munmap && call.arguments[1] >= QUEUE_MEMORY);
    let mut end = String::new();
    client.read_to_string(&mut end).unwrap();
    assert!(end.contains("\"exit_code\":0"), "{end}");
    run.wait_for_log("removing the queues of the run");
    let status = run.ask(&["status"]);
    assert!(status.code == Some(1) && status.stderr.contains("no pipeline"), "{status:?}");
    let next = run.ask(&["run", "pipeline.toml"]);
    assert_eq!((next.code, next.stdout.as_str()), (Some(0), "7\n"), "{}", next.stderr);
    drop(traced);
    assert_eq!(run.finish(), ["7"]);
}

#[test]
fn only_one_run_has_the_queues() {
    // Of two files with one name of their own: a second run of the same file would not come so far.
    let text = format!("name = 'work'\n{}", counting(1_000_000));
    let mut service = Service::new(&text);
    let first = service.start();
    service.wait_for_log(&first, "up after");
    service.folder.file("copy.toml", &text);
    let second = command(&service.folder).args(["run", "copy.toml"]).output().unwrap();
    assert_eq!((second.status.code(), second.stdout.as_slice()), (Some(1), &b""[..]));
    let queues = service.queues();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&format!("{} are in use by another run", queues.display())), "{said}");
}

#[test]
fn two_pipelines_of_one_name_do_not_take_each_others_items() {
    let mut service = Service::new(&counting(1_000_000));
    let mut first = service.start();
    service.wait_for_log(&first, "up after");
    first.kill(true);
    let other = service.folder.file("elsewhere/work.toml", &counting(10));
    let mut command = command(&service.folder);
    let output = command.arg("run").arg(&other).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("work.toml: give one of the two pipelines another `name`"), "{said}");
}

type Damage = fn(&File);

/// What may have become of a file of queues, and what is said of it.
const DAMAGES: [(&str, Damage); 7] = [
    ("0 bytes long, not", |file| file.set_len(0).unwrap()),
    ("100000 bytes long, not", |file| file.set_len(100_000).unwrap()),
    ("its first word is 0x0", |file| file.write_all_at(&[0; 4096], 0).unwrap()),
    ("its first word is 0x0", |file| file.write_all_at(&[0; 65536], 0).unwrap()),
    ("its first word is", |file| file.write_all_at(b"garbage", 0).unwrap()),
    ("the checksum of its head is wrong", |file| file.write_all_at(b"?", 400).unwrap()),
    // The words of the queues, of which a worker holds an item at least.
    ("queue memory is damaged", |file| file.write_all_at(&[0; 65536], 24576).unwrap()),
];

/// Kills all of a run that is under way, and spoils its queues.
fn spoil(service: &mut Service, damage: Damage) {
    let mut life = service.start();
    service.wait_for_log(&life, "up after");
    wait_until("items in work", || (service.put_into_first_queue() > 20).then_some(()));
    life.kill(true);
    wait_until("the lock", || process::in_folder(service.folder.path()).is_empty().then_some(()));
    damage(&File::options().write(true).open(service.queues()).unwrap());
    service.take_pauses_out();
}

/// Found with a file that was cut to nothing: a new run began without a word, and emptied what its `file` sink had written.
#[test]
fn queues_that_can_not_be_trusted_are_refused_and_nothing_is_emptied() {
    for (why, damage) in DAMAGES {
        let mut service =
            Service::new(&counting(MANY).replace("use = 'sum'", "use = 'file'\nwith = { path = 'out' }"));
        spoil(&mut service, damage);
        let before = fs::read(service.path("out")).unwrap();
        for _ in 0..2 {
            let life = service.start();
            let number = life.number;
            assert_eq!(service.finish(life).0, Some(1), "{why}");
            let said = service.stderr(number);
            let path = service.queues();
            assert!(
                said.contains(&format!("the durable queues in {} can't be used: ", path.display())),
                "{said}"
            );
            assert!(said.contains(why) && said.contains(&format!("move {} away", path.display())), "{said}");
            assert!(path.exists() && !path.with_extension("refused-1").exists());
            assert_eq!(fs::read(service.path("out")).unwrap(), before, "{why}");
        }
        fs::rename(service.queues(), service.path("away")).unwrap();
        let life = service.start();
        assert_eq!(service.finish(life).0, Some(0));
        assert_eq!(fs::read_to_string(service.path("out")).unwrap().lines().count() as u64, MANY);
    }
}

#[test]
fn what_is_no_file_in_the_place_of_queues_is_refused_and_nothing_is_touched() {
    let mut service =
        Service::new(&counting(9).replace("use = 'sum'", "use = 'file'\nwith = { path = 'out' }"));
    let path = service.queues();
    let away = service.path("disk/queues");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(service.path("out"), "of the run before").unwrap();
    type Put<'a> = &'a dyn Fn();
    let put: [(&str, Put<'_>); 2] = [
        ("is its disk mounted?", &|| std::os::unix::fs::symlink(&away, &path).unwrap()),
        ("something else", &|| fs::create_dir(&path).unwrap()),
    ];
    for (why, put) in put {
        put();
        let before = fs::symlink_metadata(&path).unwrap().file_type();
        let life = service.start();
        let number = life.number;
        assert_eq!(service.finish(life).0, Some(1), "{why}");
        let said = service.stderr(number);
        assert!(said.contains(why) && said.contains(&format!("move {} away", path.display())), "{said}");
        assert_eq!(fs::symlink_metadata(&path).unwrap().file_type(), before);
        assert_eq!(fs::read_to_string(service.path("out")).unwrap(), "of the run before");
        fs::rename(&path, service.path(&format!("away-{number}"))).unwrap();
    }
}

#[test]
fn queues_that_can_not_be_trusted_make_way_for_what_was_saved() {
    for (why, damage) in DAMAGES {
        let mut service =
            Service::new(&counting(MANY).replacen("durable = true", "durable = true\nsync = 'interval'", 1));
        spoil(&mut service, damage);
        let life = service.start();
        let number = life.number;
        assert_eq!(
            service.finish(life),
            (Some(0), format!("{}\n", MANY * (MANY + 1) / 2)),
            "{}",
            service.stderr(number)
        );
        let said = service.stderr(number);
        assert!(said.contains(why) && said.contains("this run continues from what was saved at"), "{said}");
        assert!(service.queues().with_extension("refused-1").exists());
    }
}

#[test]
fn of_a_power_cut_queues_that_are_not_saved_survive_nothing_and_that_is_said() {
    let mut service = Service::new(&counting(MANY));
    // Another boot of the machine (its id stands at 256), and nobody has closed it.
    spoil(&mut service, |file| file.write_all_at(&[7; 16], 256).unwrap());
    let life = service.start();
    let number = life.number;
    assert_eq!(service.finish(life), (Some(0), format!("{}\n", MANY * (MANY + 1) / 2)));
    let said = service.stderr(number);
    assert!(
        said.contains("the machine went down while it was in use") && said.contains("set aside as"),
        "{said}"
    );
    assert!(service.queues().with_extension("refused-1").exists());
}

#[test]
fn another_versions_queues_are_neither_used_nor_touched() {
    let mut service = Service::new(&counting(1_000_000));
    let mut life = service.start();
    service.wait_for_log(&life, "up after");
    life.kill(true);
    File::options().write(true).open(service.queues()).unwrap().write_all_at(&[99], 8).unwrap();
    let life = service.start();
    let number = life.number;
    assert_eq!(service.finish(life), (Some(1), String::new()));
    let said = service.stderr(number);
    assert!(said.contains("its layout is 99") && said.contains("let the version of mprun"), "{said}");
    assert!(service.queues().exists());
}

#[test]
fn a_queue_that_the_file_does_not_name_any_more_keeps_its_items_until_it_does() {
    let stage = |queue: &str| {
        format!(
            "[queues.{queue}]\ndurable = true\ncapacity = 100\n\
             [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 40 }}\noutput = '{queue}'\n\
             [stages.show]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = '{queue}'\n"
        )
    };
    let slow = stage("old") + "sleep = '1h'\n";
    let mut service = Service::new(&slow);
    let mut life = service.start();
    wait_until("the first line", || (service.stdout(life.number).lines().count() == 1).then_some(()));
    wait_until("all of them to be put", || (service.put_into_first_queue() == 40).then_some(()));
    life.kill(true);
    service.folder.file("work.toml", &stage("new"));
    let life = service.start();
    let number = life.number;
    assert_eq!(service.finish(life).0, Some(0));
    let said = service.stderr(number);
    assert!(
        said.contains("the queue old holds") && said.contains("kept until the file names it again"),
        "{said}"
    );
    assert!(service.queues().exists());
    service.folder.file("work.toml", &stage("old"));
    let life = service.start();
    let number = life.number;
    let (code, printed) = service.finish(life);
    assert_eq!(code, Some(0), "{}", service.stderr(number));
    let mut all: Vec<u32> = [1, 2, 3]
        .iter()
        .flat_map(|&life| service.stdout(life).lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| line.parse().unwrap())
        .collect();
    all.sort_unstable();
    all.dedup();
    assert!(!printed.is_empty());
    assert_eq!(all, (1..=40).collect::<Vec<u32>>());
    assert!(!service.queues().exists());
}

#[test]
fn the_state_folder_holds_files_of_these_names() {
    let text = "[defaults]\nattempts = 1\nwhen_failing = 'dead-letter'\n[queues.a]\ndurable = true\nsync = 'interval'\n\
                [stages.number]\nuse = 'count'\nwith = { from = 1, to = 9 }\noutput = 'a'\n\
                [stages.fail]\ncommand = ['false']\nmode = 'each'\ninput = 'a'\nsleep = '10s'\n";
    let mut service = Service::new(text);
    let life = service.start();
    wait_until("a dead letter", || {
        service.path("state/mprun/work/dead.jsonl").metadata().ok().filter(|m| m.len() > 0)
    });
    process::kill(life.child.id(), libc::SIGTERM);
    service.finish(life);
    let folder = service.path("state/mprun/work");
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["dead.jsonl", "dead.of", "queues", "queues.saved"]);
}
