use super::*;
use crate::dead_letter::{Cause, DeadLetter, Finder, Letter, Store, WhenFull, append_line, drop_some, tidy};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

struct TestFile {
    store: Store,
    next: u64,
}

impl TestFile {
    fn new(name: &str) -> TestFile {
        let folder = std::env::temp_dir().join(format!("mprun-count-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let store = Store::at(folder.join("dead.jsonl"), Path::new("/p/x.toml"));
        TestFile { store: Store { when_full: WhenFull::DropOld, ..store }, next: 0 }
    }

    fn path(&self) -> PathBuf {
        self.store.path.clone()
    }

    /// Of one of two runs by turns.
    fn line(&mut self) -> Vec<u8> {
        self.next += 1;
        let letter = DeadLetter {
            item: b"x",
            stage: "s",
            worker: 0,
            queue: "q",
            id: self.next,
            origin: None,
            attempts: 1,
            cause: Cause::ExitCode(1),
            stderr: &[],
            time: SystemTime::UNIX_EPOCH,
            run: if self.next.is_multiple_of(2) { "even" } else { "odd" },
        };
        letter.line("/p/x.toml").unwrap()
    }

    fn append(&mut self) {
        let line = self.line();
        append_line(&self.store, line, false).unwrap();
    }

    /// As no process of ours writes.
    fn append_bytes(&self, bytes: &[u8]) {
        OpenOptions::new().append(true).create(true).open(self.path()).unwrap().write_all(bytes).unwrap();
    }

    fn letters(&self) -> Vec<Letter> {
        let letters = Letters::open(&self.path()).unwrap().map(Result::unwrap);
        letters.filter_map(|it| if let Entry::Letter(it) = it { Some(it) } else { None }).collect()
    }

    fn finder(&self) -> Finder {
        let mut finder = Finder::default();
        self.letters().iter().for_each(|letter| finder.add(letter));
        finder
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.store.path.parent().unwrap());
    }
}

#[test]
fn a_continued_count_is_that_of_the_whole_file_whatever_happens_to_it() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut file = TestFile::new("random");
    let mut counter = LetterCounter::default();
    for step in 0..600 {
        let letters = file.letters();
        let one = |random: &mut fastrand::Rng| letters.get(random.usize(..letters.len().max(1)));
        let what = random.u32(..100);
        match what {
            0..40 => (0..random.u32(1..4)).for_each(|_| file.append()),
            40..55 => {
                if let Some(letter) = one(&mut random) {
                    let marked = random.bool();
                    assert!(file.finder().mark(&file.path(), letter.number, marked).unwrap());
                }
            }
            55..70 => {
                if let Some(letter) = one(&mut random) {
                    assert!(file.finder().cross_out(&file.path(), letter.number).unwrap());
                }
            }
            70..75 => drop(tidy(&file.path(), u64::MAX).unwrap_or_default()),
            75..80 => _ = drop_some(&file.path(), &mut |letter| letter.text.id.is_multiple_of(3)).unwrap(),
            80..82 => _ = drop_some(&file.path(), &mut |_| true).unwrap(),
            // A writer that was killed in the middle, or whose line is seen before it is whole.
            82..84 => {
                let line = file.line();
                let (begin, rest) = line.split_at(random.usize(1..line.len()));
                file.append_bytes(begin);
                let counts = counter.count(&file.path(), "odd").unwrap();
                assert_eq!(counts, amount(&file.path(), "odd").unwrap());
                if random.bool() {
                    file.append_bytes(rest);
                } else {
                    file.append();
                }
            }
            // Replaced by another one, longer or shorter; cut, and longer again by the next count.
            84..90 => {
                let lines: Vec<u8> = (0..random.u32(..20)).flat_map(|_| file.line()).collect();
                let other = file.path().with_extension("other");
                fs::write(&other, lines).unwrap();
                fs::rename(&other, file.path()).unwrap();
            }
            90..96 => {
                let length = fs::metadata(file.path()).map_or(0, |about| about.len());
                let to = random.u64(..=length);
                if let Ok(opened) = OpenOptions::new().write(true).open(file.path()) {
                    opened.set_len(to).unwrap();
                }
                (0..random.u32(..20)).for_each(|_| file.append());
                // As long as before, in the same moment: the file would look as it did.
                if fs::metadata(file.path()).is_ok_and(|about| about.len() == length) {
                    file.append();
                }
            }
            96..98 => _ = fs::remove_file(file.path()),
            _ => file.store.max_size = random.u64(500..20_000),
        }
        let run = if random.u32(..50) == 0 { "even" } else { "odd" };
        assert_eq!(
            counter.count(&file.path(), run).unwrap(),
            amount(&file.path(), run).unwrap(),
            "{step}: {what}"
        );
    }
}

#[test]
fn only_new_lines_are_read_and_within_a_minute_all_of_them() {
    let mut file = TestFile::new("new");
    (0..100).for_each(|_| file.append());
    let (path, start) = (file.path(), Instant::now());
    let mut counter = LetterCounter::default();
    let mut letters = |seconds, changes| {
        let now = start + Duration::from_secs(seconds);
        counter.count_at(&path, "odd", now, changes).unwrap().letters
    };
    assert_eq!(letters(0, 0), 100);
    // As another process does where the disk has no room for a second file.
    let cross_out = |file: &TestFile| {
        let opened = OpenOptions::new().write(true).open(file.path()).unwrap();
        opened.write_all_at(b"# ", file.letters()[0].offset).unwrap();
    };
    cross_out(&file);
    file.append();
    assert_eq!(letters(59, 0), 101, "the first line was read again");
    file.append();
    assert_eq!(letters(60, 0), 101);
    // As this process does.
    cross_out(&file);
    file.append();
    assert_eq!(letters(61, 1), 101);
}
