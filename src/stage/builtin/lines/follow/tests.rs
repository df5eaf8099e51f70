use super::*;
use std::fs;
use std::io::Write;

/// A folder with log files, and a follower of them whose worker may die at any time.
struct Bench {
    folder: PathBuf,
    follow: Follow,
    seen: Vec<Vec<u8>>,
}

impl Bench {
    fn new(name: &str, pattern: &str) -> Bench {
        let folder = std::env::temp_dir().join(format!("mprun-follow-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let follow = Follow::open(folder.join(pattern), Framing::Lines).unwrap();
        Bench { folder, follow, seen: Vec::new() }
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.folder.join(from), self.folder.join(to)).unwrap();
    }

    /// What is seen until there is nothing more to see for now.
    fn lines(&mut self) -> Vec<String> {
        while self.follow.next(&mut Emitter::new(&mut self.seen)).unwrap() == Next::More {}
        self.seen.drain(..).map(|line| String::from_utf8(line).unwrap()).collect()
    }

    /// The worker dies; its successor knows only what was saved.
    fn restart(&mut self) {
        let mut state = Vec::new();
        self.follow.save(&mut state);
        self.follow = Follow::open(self.follow.pattern.clone(), Framing::Lines).unwrap();
        self.follow.restore(&state).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn lines_come_as_they_are_completed() {
    let mut bench = Bench::new("grow", "app.log");
    bench.append("app.log", "one\ntwo\nthr");
    assert_eq!(bench.lines(), ["one", "two"]);
    assert_eq!(bench.lines(), [""; 0]);
    bench.append("app.log", "ee\n");
    assert_eq!(bench.lines(), ["three"]);
}

#[test]
fn files_and_folders_that_come_later_are_found() {
    let mut bench = Bench::new("later", "logs/*/app.log");
    assert_eq!(bench.lines(), [""; 0]);
    bench.append("logs/b/app.log", "b1\n");
    assert_eq!(bench.lines(), ["b1"]);
    bench.append("logs/a/app.log", "a1\n");
    bench.append("logs/b/app.log", "b2\n");
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["a1", "b2"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start() {
    let mut bench = Bench::new("rotate", "app.log");
    bench.append("app.log", "old 1\n");
    assert_eq!(bench.lines(), ["old 1"]);
    bench.append("app.log", "old 2\nold 3, without an end");
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "new 1\n");
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["new 1", "old 2", "old 3, without an end"]);
    bench.append("app.log", "new 2\n");
    assert_eq!(bench.lines(), ["new 2"]);
    assert_eq!(bench.follow.files.len(), 1);
}

#[test]
fn a_pattern_that_matches_the_rotated_name_too_repeats_nothing() {
    let mut bench = Bench::new("both", "app.log*");
    bench.append("app.log", "old\n");
    assert_eq!(bench.lines(), ["old"]);
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "new\n");
    bench.append("app.log.1", "late\n");
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["late", "new"]);
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let mut bench = Bench::new("truncate", "app.log");
    bench.append("app.log", "a long first line\n");
    assert_eq!(bench.lines(), ["a long first line"]);
    fs::write(bench.folder.join("app.log"), "new\n").unwrap();
    assert_eq!(bench.lines(), ["new"]);
}

#[test]
fn a_successor_goes_on_where_the_dead_worker_was() {
    let mut bench = Bench::new("restart", "app.log");
    bench.append("app.log", "1\n2\npart");
    assert_eq!(bench.lines(), ["1", "2"]);
    bench.restart();
    bench.append("app.log", "ial\n");
    assert_eq!(bench.lines(), ["partial"]);
    // Rotated while no worker lived: the rest of the old file is found under its new name.
    bench.append("app.log", "3\n");
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "4\n");
    bench.restart();
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["3", "4"]);
}

#[test]
fn a_deleted_file_is_let_go() {
    let mut bench = Bench::new("delete", "*.log");
    bench.append("a.log", "a\n");
    assert_eq!(bench.lines(), ["a"]);
    fs::remove_file(bench.folder.join("a.log")).unwrap();
    assert_eq!(bench.lines(), [""; 0]);
    assert!(bench.follow.files.is_empty());
    bench.append("a.log", "again\n");
    assert_eq!(bench.lines(), ["again"]);
}
