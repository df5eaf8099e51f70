//! A random life of a log folder, against a model of what was written: no line is doubled, torn or taken from a file that
//! was never followed, and one is missing only if its file was cut or removed while it was unread, which the log says
//! with file and byte.
//!
//! `MPRUN_TEST_STEPS=10000 cargo test --test follow_life` lives for longer; `MPRUN_TEST_SEED` repeats a life.

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::{Folder, LIMIT, command, process, wait_until};

fn steps(usual: u64) -> u64 {
    std::env::var("MPRUN_TEST_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(usual)
}

/// A cheap generator: no test needs good randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

/// What was written into one file, from its birth to its end or the next time it was cut.
struct Story {
    name: String,
    /// Each whole line with the byte at which it ends.
    lines: Vec<(String, u64)>,
    length: u64,
    /// What is missing of a line that was begun.
    unfinished: Option<(String, String)>,
    /// Lines from here on may be missing, if the log says so.
    at_risk_from: Option<usize>,
    /// It was there only while nobody looked.
    unseen: bool,
}

type Shared = Rc<RefCell<Story>>;

/// A program that has a file open.
struct Writer {
    file: File,
    story: Shared,
}

struct World {
    folder: Folder,
    dice: Dice,
    number: u32,
    stories: Vec<Shared>,
    /// By the real path below `logs`.
    writers: BTreeMap<String, Writer>,
    /// Programs that write on into files that were renamed or removed.
    late: Vec<Writer>,
    /// Half lines that stood at the end of a file when it was left alone.
    halves: BTreeSet<String>,
    current: u32,
    run: Option<Child>,
    lives: u32,
    polls: bool,
    /// Bytes of this life's output that were looked at, and the lines so far.
    output_read: usize,
    seen: HashMap<String, u32>,
    kills: u32,
    /// Cut files, and where their copies are, which match.
    copied: Vec<(Shared, String)>,
}

const TEXT: &str = "[queues.q]\ncapacity = 20\ndurable = true\n\
    [stages.read]\nuse = 'lines'\nwith = { path = 'logs/cur/*.log', follow = true, rotate_wait = '200ms' }\noutput = 'q'\n\
    backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\ngive_up = { restarts = 1000000, within = '1m' }\n\
    [stages.write]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'q'\n";

impl World {
    fn new(seed: u64, polls: bool) -> World {
        let folder = Folder::new();
        folder.file("life.toml", TEXT);
        for name in ["v1", "v2", "pods"] {
            fs::create_dir_all(folder.path().join("logs").join(name)).unwrap();
        }
        let at = |name: &str| folder.path().join("logs").join(name);
        for version in ["v1", "v2"] {
            symlink("../pods/c", at(version).join("c.log")).unwrap();
        }
        symlink("v1", at("cur")).unwrap();
        World {
            folder,
            dice: Dice(seed),
            number: 0,
            stories: Vec::new(),
            writers: BTreeMap::new(),
            late: Vec::new(),
            halves: BTreeSet::new(),
            current: 1,
            run: None,
            lives: 0,
            polls,
            output_read: 0,
            seen: HashMap::new(),
            kills: 0,
            copied: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(name)
    }

    fn start(&mut self) {
        self.lives += 1;
        self.output_read = 0;
        let output = |name: &str| File::create(self.path(&format!("{name}-{}", self.lives))).unwrap();
        let mut command = command(&self.folder);
        command.args(["run", "life.toml", "--no-watch"]).stdin(Stdio::null());
        if self.polls {
            command.env("MPRUN_WATCH", "poll");
        }
        self.run = Some(command.stdout(output("stdout")).stderr(output("stderr")).spawn().unwrap());
    }

    fn kill_everything(&mut self) {
        let Some(mut run) = self.run.take() else { return };
        let children = process::children(run.id());
        let (first, last) = children.split_at(children.len() / 2);
        first.iter().for_each(|&child| _ = process::kill(child, libc::SIGKILL));
        process::kill(run.id(), libc::SIGKILL);
        last.iter().for_each(|&child| _ = process::kill(child, libc::SIGKILL));
        run.wait().unwrap();
        let folder = self.folder.path().to_owned();
        wait_until("all processes to be gone", || process::in_folder(&folder).is_empty().then_some(()));
        self.look();
        self.kills += 1;
    }

    fn kill_reader(&mut self) {
        let Some(run) = &self.run else { return };
        for pid in process::with_variable(run.id(), "MPRUN_STAGE", "read") {
            self.kills += u32::from(process::kill(pid, libc::SIGKILL));
        }
    }

    /// Takes in the whole lines that came out.
    fn look(&mut self) {
        let Ok(mut file) = File::open(self.path(&format!("stdout-{}", self.lives))) else { return };
        let mut bytes = Vec::new();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(self.output_read as u64)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else { return };
        self.output_read += end + 1;
        for line in String::from_utf8_lossy(&bytes[..end]).split('\n') {
            *self.seen.entry(line.to_owned()).or_default() += 1;
        }
    }

    fn story(&mut self, name: &str) -> Shared {
        let story = Story {
            name: name.to_owned(),
            lines: Vec::new(),
            length: 0,
            unfinished: None,
            at_risk_from: None,
            unseen: false,
        };
        let story = Rc::new(RefCell::new(story));
        self.stories.push(Rc::clone(&story));
        story
    }

    /// The name that mprun knows it by, and the real path below `logs`.
    fn slot(&mut self) -> (String, String) {
        match self.dice.roll(3) {
            0 => ("a.log".to_owned(), format!("v{}/a.log", self.current)),
            1 => ("b.log".to_owned(), format!("v{}/b.log", self.current)),
            _ => ("c.log".to_owned(), "pods/c".to_owned()),
        }
    }

    fn open(&mut self, name: &str, real: &str) {
        if !self.writers.contains_key(real) {
            let story = self.story(name);
            let file = OpenOptions::new().append(true).create_new(true).open(self.log(real)).unwrap();
            self.writers.insert(real.to_owned(), Writer { file, story });
        }
    }

    fn line(&mut self) -> String {
        self.number += 1;
        let long = if self.dice.roll(10) == 0 { 3000 } else { 60 };
        let pad = self.dice.roll(long) as usize;
        format!("{:07}-{}", self.number, "x".repeat(pad))
    }

    fn append(&mut self, writer: &mut Writer, half: bool) {
        let line = self.line();
        let mut story = writer.story.borrow_mut();
        let (text, rest) = match story.unfinished.take() {
            Some(unfinished) => unfinished,
            None => (line.clone(), line),
        };
        // The number is in the first half: no two are the same.
        let (now, later) = if half { rest.split_at(8 + (rest.len() - 8) / 2) } else { (&rest[..], "") };
        let bytes = if half { now.to_owned() } else { format!("{now}\n") };
        writer.file.write_all(bytes.as_bytes()).unwrap();
        story.length += bytes.len() as u64;
        if half {
            story.unfinished = Some((text, later.to_owned()));
        } else {
            let end = story.length;
            story.lines.push((text, end));
        }
    }

    /// Nothing more is written to it, or not by this name.
    fn leave_half(&mut self, story: &Shared) {
        if let Some((text, rest)) = &story.borrow().unfinished {
            self.halves.insert(text[..text.len() - rest.len()].to_owned());
        }
    }

    #[track_caller]
    fn must_run(&mut self) {
        let ended = self.run.as_mut().and_then(|run| run.try_wait().unwrap());
        assert!(ended.is_none(), "{ended:?}\n{}", self.log_text());
    }

    /// For a name that was never used.
    fn unique(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// A file that loses its name before anybody looked at it was never there.
    fn must_be_seen(&mut self, story: &Shared) {
        self.must_run();
        let any_out = |world: &mut World| {
            world.look();
            story.borrow().lines.iter().any(|(line, _)| world.seen.contains_key(line))
        };
        if story.borrow().lines.is_empty() {
            story.borrow_mut().unseen = true;
        } else if self.run.is_some() && !story.borrow().unseen {
            wait_until("a first line of a file", || any_out(self).then_some(()));
        } else if !any_out(self) {
            story.borrow_mut().unseen = true;
        }
    }

    /// From now on its lines that are not out may be lost.
    fn risk(&mut self, story: &Shared) {
        self.look();
        let mut story = story.borrow_mut();
        let first = story.lines.iter().position(|(line, _)| !self.seen.contains_key(line));
        let first = first.unwrap_or(story.lines.len());
        let before = story.at_risk_from.unwrap_or(first);
        story.at_risk_from = Some(before.min(first));
    }

    /// The writer of a file that has lost its name: it may write on for a while.
    fn retire(&mut self, mut writer: Writer) {
        for _ in 0..self.dice.roll(3) {
            self.append(&mut writer, false);
        }
        match self.dice.roll(2) {
            0 => self.late.push(writer),
            _ => self.leave_half(&writer.story.clone()),
        }
    }

    fn step(&mut self) {
        let (name, real) = self.slot();
        match self.dice.roll(40) {
            0..=13 => {
                self.open(&name, &real);
                let Some(mut writer) = self.writers.remove(&real) else { return };
                for _ in 0..=self.dice.roll(5) {
                    self.append(&mut writer, false);
                }
                self.writers.insert(real, writer);
            }
            14..=16 => {
                self.open(&name, &real);
                let Some(mut writer) = self.writers.remove(&real) else { return };
                if writer.story.borrow().unfinished.is_none() {
                    self.append(&mut writer, true);
                }
                self.writers.insert(real, writer);
            }
            17..=19 => self.rotate(&name, &real),
            20..=21 => {
                if let Some(mut writer) = self.late.pop() {
                    self.append(&mut writer, false);
                    self.late.insert(0, writer);
                }
            }
            22 => {
                if let Some(writer) = self.late.pop() {
                    self.leave_half(&writer.story);
                }
            }
            23 => self.copy_and_truncate(&name, &real),
            24 => self.remove(&real),
            25 => self.replace(&name, &real),
            26..=27 => {
                // What a hidden copy alone holds comes only when it is to be seen again.
                self.hide_copies();
                let old = format!("v{}/", self.current);
                // One that may not be read for as long as it has its name is never seen.
                let reals: Vec<String> =
                    self.writers.keys().filter(|real| real.starts_with(&old)).cloned().collect();
                reals.iter().for_each(|real| self.set_mode(real, 0o644));
                let leaving = self.writers.iter().filter(|(real, _)| real.starts_with(&old));
                let leaving: Vec<Shared> = leaving.map(|(_, writer)| Rc::clone(&writer.story)).collect();
                leaving.iter().for_each(|story| self.must_be_seen(story));
                self.current = 3 - self.current;
                symlink(format!("v{}", self.current), self.log("new")).unwrap();
                fs::rename(self.log("new"), self.log("cur")).unwrap();
            }
            28 => {
                // Beside it: what must never be read, in files that may get a freed inode.
                let n = self.unique();
                fs::write(
                    self.log(&format!("{real}.{n}.gz")),
                    [b"\x1f\x8b\0SECRET\n".as_slice(); 9].concat(),
                )
                .unwrap();
                fs::write(self.log(&format!("v{}/secret", self.current)), "SECRET\n".repeat(500)).unwrap();
            }
            29 => {
                let _ = fs::remove_file(self.log(&format!("v{}/secret", self.current)));
            }
            30 => self.set_mode(&real, 0),
            31..=32 => self.set_mode(&real, 0o644),
            33..=35 => self.kill_reader(),
            36 => self.kill_everything(),
            37 if self.run.is_some() => self.catch_up(),
            _ => {
                if self.run.is_none() {
                    self.start();
                }
            }
        }
        std::thread::sleep(Duration::from_millis(self.dice.roll(8)));
    }

    fn hide_copies(&mut self) {
        let current = format!("v{}/", self.current);
        let hidden = self.copied.iter().filter(|(_, real)| real.starts_with(&current));
        let hidden: Vec<Shared> = hidden.map(|(story, _)| Rc::clone(story)).collect();
        hidden.iter().for_each(|story| self.risk(story));
    }

    fn set_mode(&self, real: &str, mode: u32) {
        if self.writers.contains_key(real) {
            fs::set_permissions(self.log(real), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    fn rotate(&mut self, name: &str, real: &str) {
        self.set_mode(real, 0o644);
        let Some(writer) = self.writers.remove(real) else { return };
        self.must_be_seen(&writer.story);
        let n = self.unique();
        fs::rename(self.log(real), self.log(&format!("{real}.{n}"))).unwrap();
        if self.dice.roll(2) == 0 {
            self.open(name, real);
        }
        self.retire(writer);
    }

    fn copy_and_truncate(&mut self, name: &str, real: &str) {
        self.set_mode(real, 0o644);
        let Some(mut writer) = self.writers.remove(real) else { return };
        if writer.story.borrow().unfinished.is_some() {
            self.append(&mut writer, false);
        }
        self.must_be_seen(&writer.story);
        let is_meant = real.ends_with(".log") && self.dice.roll(2) == 0;
        let n = self.unique();
        let copy = if is_meant { format!("v{}/copy-{n}.log", self.current) } else { format!("{real}.{n}") };
        fs::copy(self.log(real), self.log(&copy)).unwrap();
        writer.file.set_len(0).unwrap();
        // Of a copy that matches nothing can be lost; but who looks only later, at the same time as something else was
        // written there, can't tell which is the copy of which.
        match is_meant {
            true => self.copied.push((Rc::clone(&writer.story), copy)),
            false => self.risk(&writer.story),
        }
        writer.story = self.story(name);
        self.writers.insert(real.to_owned(), writer);
    }

    fn remove(&mut self, real: &str) {
        self.set_mode(real, 0o644);
        let Some(writer) = self.writers.remove(real) else { return };
        self.must_be_seen(&writer.story);
        fs::remove_file(self.log(real)).unwrap();
        self.risk(&writer.story);
        self.retire(writer);
    }

    fn replace(&mut self, name: &str, real: &str) {
        self.set_mode(real, 0o644);
        let Some(writer) = self.writers.remove(real) else { return };
        self.must_be_seen(&writer.story);
        let story = self.story(name);
        let file = OpenOptions::new().append(true).create_new(true).open(self.path("new")).unwrap();
        let mut new = Writer { file, story };
        for _ in 0..self.dice.roll(5) {
            self.append(&mut new, false);
        }
        fs::rename(self.path("new"), self.log(real)).unwrap();
        self.writers.insert(real.to_owned(), new);
        self.risk(&writer.story);
        self.retire(writer);
    }

    /// All lines that can't be lost.
    fn expected(&self) -> Vec<String> {
        let mut all = Vec::new();
        for story in &self.stories {
            let story = story.borrow();
            let upto = if story.unseen { 0 } else { story.at_risk_from.unwrap_or(story.lines.len()) };
            all.extend(story.lines[..upto].iter().map(|(line, _)| line.clone()));
        }
        all
    }

    fn is_hidden(&self, story: &Story) -> bool {
        let hidden = format!("v{}/", 3 - self.current);
        let written = self.writers.iter().map(|(real, writer)| (&writer.story, real));
        let mut all = written.chain(self.copied.iter().map(|(story, real)| (story, real)));
        all.any(|(of, real)| real.starts_with(&hidden) && std::ptr::eq(of.as_ptr().cast_const(), story))
    }

    #[track_caller]
    fn catch_up(&mut self) {
        let reals: Vec<String> = self.writers.keys().cloned().collect();
        reals.iter().for_each(|real| self.set_mode(real, 0o644));
        let expected = self.expected();
        let mut missing: Vec<String> = expected;
        let start = Instant::now();
        loop {
            self.look();
            missing.retain(|line| !self.seen.contains_key(line));
            if missing.is_empty() {
                return;
            }
            assert!(start.elapsed() < LIMIT, "{}", self.tell_missing(&missing));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn tell_missing(&self, missing: &[String]) -> String {
        let mut text = format!("waited in vain for {} lines:\n", missing.len());
        for story in &self.stories {
            let story = story.borrow();
            for (line, end) in story.lines.iter().filter(|(line, _)| missing.contains(line)) {
                let (n, name) = (&line[..7], &story.name);
                text += &format!("{n}, byte {end} of {name}, at risk from {:?}\n", story.at_risk_from);
            }
        }
        text + &self.log_text()
    }

    /// The first word of the first queue counts what was put into it.
    fn put(&self) -> u64 {
        let mut word = [0; 8];
        let queues = File::open(self.path("state/mprun/life/queues")).unwrap();
        queues.read_exact_at(&mut word, 24576).unwrap();
        u64::from_le_bytes(word)
    }

    fn log_text(&self) -> String {
        let text = |life| fs::read_to_string(self.path(&format!("stderr-{life}"))).unwrap();
        (1..=self.lives).map(text).collect()
    }

    /// Lines that are missing although nothing says so.
    fn unreported(&self) -> usize {
        let log = self.log_text();
        let unreported = |story: &Shared| {
            let story = story.borrow();
            let bytes = reported_bytes(&log, &story.name);
            let missing = story.lines.iter().filter(|(line, _)| !self.seen.contains_key(line));
            let counts = !story.unseen && !self.is_hidden(&story);
            missing.filter(|(_, end)| counts && !bytes.iter().any(|from| from < end)).count()
        };
        self.stories.iter().map(unreported).sum()
    }

    fn check(&mut self) {
        if self.run.is_none() {
            self.start();
        }
        while let Some(writer) = self.late.pop() {
            self.leave_half(&writer.story);
        }
        self.catch_up();
        let stories = self.stories.clone();
        stories.iter().for_each(|story| self.leave_half(story));
        let up = self.path(&format!("stderr-{}", self.lives));
        wait_until("the start", || fs::read_to_string(&up).unwrap().contains("up after").then_some(()));
        // What stands in a removed file that is still open here would be gone with the reader.
        let start = Instant::now();
        while self.unreported() > 0 && start.elapsed() < LIMIT {
            self.look();
            std::thread::sleep(Duration::from_millis(20));
        }
        // A durable pipeline stops without a drain.
        let start = Instant::now();
        while self.put() != self.seen.len() as u64 && start.elapsed() < LIMIT {
            self.look();
            std::thread::sleep(Duration::from_millis(2));
        }
        let run = self.run.take();
        process::kill(run.as_ref().unwrap().id(), libc::SIGTERM);
        let code = run.unwrap().wait().unwrap();
        assert!(code.success(), "{code:?}");
        self.look();

        let log = self.log_text();
        let mut written: BTreeSet<String> = BTreeSet::new();
        let mut lost = 0;
        for story in &self.stories {
            let story = story.borrow();
            let bytes = reported_bytes(&log, &story.name);
            for (line, end) in &story.lines {
                written.insert(line.clone());
                if !self.seen.contains_key(line) && !story.unseen && !self.is_hidden(&story) {
                    lost += 1;
                    assert!(
                        bytes.iter().any(|from| from < end),
                        "{} of {} (byte {end}) is missing, and nothing says so: {bytes:?}\n{log}",
                        &line[..7],
                        story.name
                    );
                }
            }
        }
        for line in self.seen.keys() {
            let is_right = written.contains(line) || self.halves.contains(line);
            assert!(is_right, "{:?} was never written\n{log}", &line[..line.len().min(200)]);
        }
        // A line that came at the very end may wait for the next run.
        let left = left_waiting(&log);
        let doubled = self.put() as i64 - left - self.seen.len() as i64;
        let mut twice = Vec::new();
        for (n, story) in self.stories.iter().enumerate() {
            let story = story.borrow();
            let lines =
                story.lines.iter().filter(|(line, _)| self.seen.get(line).is_some_and(|times| *times > 1));
            twice.extend(lines.map(|(line, end)| (line[..7].to_owned(), n, story.name.clone(), *end)));
        }
        assert_eq!(doubled, 0, "{} lines, {} put: some of {twice:?}\n{log}", self.seen.len(), self.put());
        println!(
            "{} lines, {} lives, {} kills, {lost} lost and told",
            self.seen.len(),
            self.lives,
            self.kills
        );
    }
}

/// Items that wait in the queue, as the last report says.
fn left_waiting(log: &str) -> i64 {
    let report = log.lines().rfind(|line| line.contains(" queue q: ")).unwrap();
    let before = report.split_once(" left waiting").map(|(before, _)| before);
    before.map_or(0, |before| before.rsplit(' ').next().unwrap().parse().unwrap())
}

/// The bytes from which on, as the log says, something of the file was not read.
fn reported_bytes(log: &str, name: &str) -> Vec<u64> {
    let of_it = log.lines().filter(|line| line.contains(&format!("/{name}`")));
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
    let from = |line: &str| {
        let after = line.split_once("its bytes ").or_else(|| line.split_once("behind its byte "));
        after.filter(|_| line.contains("not read")).and_then(|(_, rest)| number(rest))
    };
    of_it.filter_map(from).collect()
}

fn live(usual: u64, polls: bool) {
    let chosen = std::env::var("MPRUN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = chosen.unwrap_or_else(|| u64::from(std::process::id()));
    println!("MPRUN_TEST_SEED={seed}");
    let mut world = World::new(seed, polls);
    world.start();
    for _ in 0..steps(usual) {
        world.step();
    }
    if world.run.is_none() {
        world.start();
    }
    wait_until("a kill", || {
        world.kill_reader();
        (world.kills > 0).then_some(())
    });
    world.check();
    assert!(world.kills > 0);
}

#[test]
fn no_life_of_a_log_folder_loses_doubles_or_tears_a_line() {
    live(150, false);
}

#[test]
fn neither_does_one_that_is_only_looked_at() {
    live(60, true);
}
