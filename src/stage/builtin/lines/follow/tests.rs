use super::*;
use crate::stage::builtin::position::{save_bytes, save_number};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

const ROTATE_WAIT: Duration = Duration::from_millis(300);

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
        let folder = folder.canonicalize().unwrap();
        let follow = Follow::open(folder.join(pattern), Framing::Lines, ROTATE_WAIT).unwrap();
        Bench { folder, follow, seen: Vec::new() }
    }

    /// For copies: one that is quiet for the wait is another file, also if only this test is slow.
    fn patient(name: &str, pattern: &str) -> Bench {
        let mut bench = Bench::new(name, pattern);
        bench.follow.rotate_wait = Duration::from_secs(3600);
        bench
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

    /// What is seen until these lines came, in any order.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let start = Instant::now();
        let mut lines = Vec::new();
        while lines.len() < expected.len() {
            assert!(start.elapsed() < Duration::from_secs(60), "{lines:?} of {expected:?}");
            lines.extend(self.lines());
        }
        lines.extend(self.lines());
        lines.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }

    /// One look: what there is to see now.
    fn lines(&mut self) -> Vec<String> {
        let until = Instant::now() + Duration::from_millis(30);
        while self.follow.next(&mut Emitter::new(&mut self.seen)).unwrap() == Next::More
            || Instant::now() < until
        {}
        self.seen.drain(..).map(|line| String::from_utf8(line).unwrap()).collect()
    }

    /// Until something is so.
    #[track_caller]
    fn wait_for(&mut self, mut is_so: impl FnMut(&Follow) -> bool) {
        let start = Instant::now();
        while !is_so(&self.follow) {
            assert!(start.elapsed() < Duration::from_secs(60));
            let _ = self.follow.next(&mut Emitter::new(&mut self.seen)).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// As a program that has the file open.
    fn writer(&self, name: &str) -> fs::File {
        fs::OpenOptions::new().append(true).create(true).open(self.folder.join(name)).unwrap()
    }

    fn link(&self, target: &str, name: &str) {
        let _ = fs::remove_file(self.folder.join("new link"));
        std::os::unix::fs::symlink(target, self.folder.join("new link")).unwrap();
        self.rename("new link", name);
    }

    /// The worker dies; its successor knows only what was saved.
    fn restart(&mut self) {
        let mut state = Vec::new();
        self.follow.save(&mut state);
        let (pattern, rotate_wait) = (self.follow.pattern.clone(), self.follow.rotate_wait);
        self.follow = Follow::open(pattern, Framing::Lines, rotate_wait).unwrap();
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
    bench.expect(&["one", "two"]);
    bench.append("app.log", "ee\n");
    bench.expect(&["three"]);
}

#[test]
fn files_and_folders_that_come_later_are_found() {
    let mut bench = Bench::new("later", "logs/*/app.log");
    bench.expect(&[]);
    bench.append("logs/b/app.log", "b1\n");
    bench.expect(&["b1"]);
    bench.append("logs/a/app.log", "a1\n");
    bench.append("logs/b/app.log", "b2\n");
    bench.expect(&["a1", "b2"]);
    fs::remove_dir_all(bench.folder.join("logs")).unwrap();
    bench.expect(&[]);
    bench.append("logs/b/app.log", "b3\n");
    bench.expect(&["b3"]);
}

#[test]
fn a_renamed_file_is_followed_until_its_writer_has_closed_it() {
    let mut bench = Bench::new("rotate", "app.log");
    let mut old = bench.writer("app.log");
    old.write_all(b"old 1\n").unwrap();
    bench.expect(&["old 1"]);
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "new 1\n");
    bench.expect(&["new 1"]);
    for n in 2..5 {
        old.write_all(format!("old {n}\nhalf").as_bytes()).unwrap();
        bench.expect(&[&format!("{}old {n}", if n > 2 { "half" } else { "" })]);
        std::thread::sleep(ROTATE_WAIT);
    }
    assert_eq!(bench.follow.files.len(), 2);
    drop(old);
    bench.expect(&["half"]);
    bench.wait_for(|follow| follow.files.len() == 1);
    bench.append("app.log.1", "of no interest any more\n");
    bench.append("app.log", "new 2\n");
    bench.expect(&["new 2"]);
}

#[test]
fn a_renamed_file_is_followed_in_a_folder_that_is_not_watched() {
    let mut bench = Bench::new("olddir", "app.log");
    let mut old = bench.writer("app.log");
    old.write_all(b"1\n").unwrap();
    bench.expect(&["1"]);
    fs::create_dir(bench.folder.join("old")).unwrap();
    bench.rename("app.log", "old/app.log.1");
    old.write_all(b"2\n").unwrap();
    bench.expect(&["2"]);
    std::thread::sleep(2 * ROTATE_WAIT);
    old.write_all(b"3\n").unwrap();
    bench.expect(&["3"]);
}

#[test]
fn a_pattern_that_matches_the_rotated_name_too_repeats_nothing() {
    let mut bench = Bench::new("both", "app.log*");
    bench.append("app.log", "old\n");
    bench.expect(&["old"]);
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "new\n");
    bench.append("app.log.1", "late\n");
    bench.expect(&["late", "new"]);
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let mut bench = Bench::new("truncate", "app.log");
    bench.append("app.log", "a long first line\n");
    bench.expect(&["a long first line"]);
    bench.write("app.log", "new\n");
    bench.expect(&["new"]);
    bench.write("app.log", "longer than what stood there before\n");
    bench.expect(&["longer than what stood there before"]);
    bench.write("app.log", "exactly as long as before, other..\n");
    bench.expect(&["exactly as long as before, other.."]);
}

#[test]
fn a_half_line_is_never_completed_by_what_was_written_anew() {
    let mut bench = Bench::new("torn", "app.log");
    bench.append("app.log", "one\nhal");
    bench.expect(&["one"]);
    bench.write("app.log", "two\nthree\n");
    bench.expect(&["two", "three"]);
    bench.append("app.log", "hal");
    bench.expect(&[]);
    let file = fs::OpenOptions::new().write(true).open(bench.folder.join("app.log")).unwrap();
    file.set_len(10).unwrap();
    bench.append("app.log", "f?\n");
    bench.expect(&["f?"]);
}

#[test]
fn a_copy_of_a_file_that_is_cut_then_repeats_nothing_and_loses_nothing() {
    for (n, seen_before) in [(0, true), (1, false)] {
        let mut bench = Bench::patient(&format!("copytruncate{n}"), "app.log*");
        bench.append("app.log", "1\n2\n");
        bench.expect(&["1", "2"]);
        bench.append("app.log", "3\nhal");
        let folder = bench.folder.clone();
        fs::copy(folder.join("app.log"), folder.join("app.log.1")).unwrap();
        if seen_before {
            bench.expect(&["3"]);
        }
        bench.write("app.log", "");
        bench.append("app.log", "4\n");
        bench.expect(if seen_before { &["4"] } else { &["3", "4"] });
        bench.append("app.log.1", "f\n");
        bench.expect(&["half"]);
    }
}

#[test]
fn a_copy_is_known_also_by_a_worker_that_was_dead_while_it_was_made() {
    let mut bench = Bench::patient("copytruncate-dead", "app.log*");
    bench.append("app.log", "1\n2\n");
    bench.expect(&["1", "2"]);
    bench.append("app.log", "3\n");
    fs::copy(bench.folder.join("app.log"), bench.folder.join("app.log.1")).unwrap();
    bench.write("app.log", "4\n");
    bench.restart();
    bench.expect(&["3", "4"]);
}

#[test]
fn a_copy_is_known_before_anything_of_it_is_emitted_also_if_the_original_is_empty_by_then() {
    let mut bench = Bench::patient("copytruncate-empty", "app.log*");
    bench.append("app.log", "1\n2\n");
    bench.expect(&["1", "2"]);
    bench.append("app.log", "3\n");
    fs::copy(bench.folder.join("app.log"), bench.folder.join("app.log.1")).unwrap();
    bench.write("app.log", "");
    bench.restart();
    bench.expect(&["3"]);
    bench.append("app.log", "4\n");
    bench.expect(&["4"]);
}

#[test]
fn a_copy_that_was_out_of_sight_when_its_original_was_cut_repeats_nothing() {
    for dead in [false, true] {
        let mut bench = Bench::new(&format!("copy-hidden-{dead}"), "current/*.log");
        bench.append("v1/app.log", "1\n2\n");
        bench.append("v2/app.log", "other\n");
        bench.link("v1", "current");
        bench.expect(&["1", "2"]);
        bench.append("v1/app.log", "3\n");
        fs::copy(bench.folder.join("v1/app.log"), bench.folder.join("v1/app-1.log")).unwrap();
        bench.write("v1/app.log", "");
        bench.link("v2", "current");
        if dead {
            bench.restart();
        }
        bench.expect(&["other"]);
        bench.link("v1", "current");
        if dead {
            bench.restart();
        }
        bench.expect(&["3"]);
    }
}

#[test]
fn what_a_program_writes_anew_each_time_is_no_copy_of_what_was_lost() {
    let mut bench = Bench::new("each-time", "*.log");
    for n in 0..3 {
        bench.append(&format!("{n}.log"), "started\ndone\n");
        bench.expect(&["started", "done"]);
        fs::remove_file(bench.folder.join(format!("{n}.log"))).unwrap();
        bench.restart();
        bench.expect(&[]);
    }
}

#[test]
fn two_files_with_the_same_lines_are_two_files() {
    let mut bench = Bench::new("twins", "*.log");
    bench.append("a.log", "same\n");
    bench.expect(&["same"]);
    bench.append("b.log", "same\n");
    bench.expect(&["same"]);
    bench.append("c.log", "same\nand more\n");
    bench.expect(&["same", "and more"]);
}

#[test]
fn a_mirror_that_renames_its_new_version_over_the_old_one_repeats_nothing() {
    let mut bench = Bench::new("mirror", "app.log");
    bench.append("app.log", "1\n2\n");
    bench.expect(&["1", "2"]);
    for n in 3..6 {
        fs::copy(bench.folder.join("app.log"), bench.folder.join("new")).unwrap();
        bench.append("new", &format!("{n}\n"));
        bench.rename("new", "app.log");
        bench.expect(&[&n.to_string()]);
    }
    bench.write("new", "other\n");
    bench.rename("new", "app.log");
    bench.expect(&["other"]);
}

#[test]
fn a_successor_goes_on_where_the_dead_worker_was() {
    let mut bench = Bench::new("restart", "app.log");
    bench.append("app.log", "1\n2\npart");
    bench.expect(&["1", "2"]);
    bench.restart();
    bench.append("app.log", "ial\n");
    bench.expect(&["partial"]);
    // Rotated while no worker lived: the rest of the old file is found under its new name.
    bench.append("app.log", "3\n");
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "4\n");
    bench.restart();
    bench.expect(&["3", "4"]);
}

#[test]
fn a_file_that_took_the_inode_is_not_taken_for_the_one_that_had_it() {
    let mut bench = Bench::new("inode", "app.log");
    bench.append("app.log", "1\n2\n");
    bench.expect(&["1", "2"]);
    // As if `secret` had got the inode of a file that was removed.
    bench.rename("app.log", "secret");
    bench.write("secret", "secret 1\nsecret 2\nsecret 3\n");
    bench.append("app.log", "3\n");
    bench.restart();
    bench.expect(&["3"]);
    bench.append("secret", "secret 4\n");
    bench.expect(&[]);
}

#[test]
fn what_was_written_anew_while_no_worker_lived_is_read_from_its_start() {
    let mut bench = Bench::new("anew", "app.log");
    bench.append("app.log", "1\n2\n");
    bench.expect(&["1", "2"]);
    bench.write("app.log", "a\nb\nc\nd\n");
    bench.restart();
    bench.expect(&["a", "b", "c", "d"]);
}

#[test]
fn a_position_of_the_first_version_is_gone_on_from() {
    for (n, cut) in [(0, false), (1, true)] {
        let mut bench = Bench::new(&format!("legacy{n}"), "app.log");
        bench.append("app.log", "1\n2\n3\n");
        let path = bench.folder.join("app.log");
        let about = fs::metadata(&path).unwrap();
        let mut state = Vec::new();
        [about.dev(), about.ino(), if cut { 100 } else { 4 }]
            .iter()
            .for_each(|n| save_number(*n, &mut state));
        save_bytes(path.as_os_str().as_bytes(), &mut state);
        bench.follow.restore(&state).unwrap();
        bench.expect(if cut { &["1", "2", "3"] } else { &["3"] });
        bench.restart();
        bench.append("app.log", "4\n");
        bench.expect(&["4"]);
    }
}

#[test]
fn a_deleted_file_is_let_go() {
    let mut bench = Bench::new("delete", "*.log");
    bench.append("a.log", "a\n");
    bench.expect(&["a"]);
    bench.append("a.log", "b\nc");
    fs::remove_file(bench.folder.join("a.log")).unwrap();
    bench.expect(&["b", "c"]);
    bench.wait_for(|follow| follow.files.is_empty());
    bench.append("a.log", "a\n");
    bench.expect(&["a"]);
}

#[test]
fn links_are_followed_when_they_or_their_targets_change() {
    let mut bench = Bench::new("links", "c/app.log");
    bench.append("pods/0.log", "1\n");
    fs::create_dir(bench.folder.join("c")).unwrap();
    bench.link("../pods/0.log", "c/app.log");
    bench.expect(&["1"]);
    bench.append("pods/0.log", "2\n");
    bench.rename("pods/0.log", "pods/0.log.1");
    bench.append("pods/0.log", "3\n");
    bench.expect(&["2", "3"]);
    bench.append("pods/0.log", "4\n");
    bench.expect(&["4"]);
    bench.link("../pods/1.log", "c/app.log");
    bench.expect(&[]);
    bench.append("pods/1.log", "5\n");
    bench.expect(&["5"]);
}

#[test]
fn a_switched_folder_and_a_link_that_hangs_are_followed() {
    let mut bench = Bench::new("switched", "current/x.log");
    bench.link("v1", "current");
    bench.expect(&[]);
    bench.append("v1/x.log", "v1\n");
    bench.expect(&["v1"]);
    bench.append("v2/x.log", "v2\n");
    bench.link("v2", "current");
    bench.expect(&["v2"]);
    bench.append("v2/x.log", "v2 again\n");
    bench.expect(&["v2 again"]);
}

#[test]
fn a_file_that_gets_its_name_back_repeats_nothing() {
    let mut bench = Bench::new("back", "current/x.log");
    bench.append("v1/x.log", "1\n");
    bench.append("v2/x.log", "2\n");
    bench.link("v1", "current");
    bench.expect(&["1"]);
    bench.link("v2", "current");
    bench.expect(&["2"]);
    bench.wait_for(|follow| follow.files.len() == 1);
    bench.restart();
    bench.append("v1/x.log", "3\n");
    bench.link("v1", "current");
    bench.expect(&["3"]);
}

#[test]
fn a_file_whose_size_is_told_as_nothing_is_refused() {
    let (mut follow, mut seen) =
        (Follow::open(PathBuf::from("/proc/version"), Framing::Lines, ROTATE_WAIT).unwrap(), Vec::new());
    let failure = follow.next(&mut Emitter::new(&mut seen)).unwrap_err().to_string();
    assert!(failure.starts_with("`/proc/version` can't be followed: its size is told as 0"), "{failure}");
    assert!(seen.is_empty());
}

#[test]
fn what_changes_nothing_is_saved_as_it_was() {
    let mut bench = Bench::new("saved", "*.log");
    (0..20).for_each(|n| bench.append(&format!("{n}.log"), &format!("{n}\n")));
    bench.wait_for(|follow| follow.files.values().filter(|file| file.position() > 0).count() == 20);
    let state = |follow: &Follow| {
        let mut state = Vec::new();
        follow.save(&mut state);
        state
    };
    let before = state(&bench.follow);
    assert!(before.len() < 20 * 200, "{} bytes for 20 files", before.len());
    bench.restart();
    bench.lines();
    assert_eq!(state(&bench.follow), before);
}

#[test]
fn a_hidden_file_is_not_followed_by_a_star() {
    let mut bench = Bench::new("names", "*");
    bench.append(".hidden", "no\n");
    bench.append("shown", "yes\n");
    bench.expect(&["yes"]);
}

#[test]
fn a_folder_above_that_is_replaced_by_another_is_seen_each_time() {
    let mut bench = Bench::new("above", "app/logs/live/x.log");
    bench.append("app/logs/live/x.log", "1\n");
    bench.expect(&["1"]);
    for version in 2..5 {
        let (old, late) = (format!("old-{version}"), format!("{version} late"));
        bench.rename("app", &old);
        bench.append("app/logs/live/x.log", &format!("{version}\n"));
        bench.append(&format!("{old}/logs/live/x.log"), &format!("{late}\n"));
        bench.expect(&[&version.to_string(), &late]);
    }
}

#[test]
fn a_file_in_a_folder_that_may_not_be_listed_is_followed() {
    use nix::unistd::{Uid, geteuid, setfsuid};
    use std::os::unix::fs::PermissionsExt;
    let mut bench = Bench::new("unlisted", "shut/x.log");
    bench.append("shut/x.log", "1\n");
    let mut writer = bench.writer("shut/x.log");
    let (shut, pattern) = (bench.folder.join("shut"), bench.follow.pattern.clone());
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o111)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Root may list everything: so as another user, which the thread of the kernel's events inherits.
            if geteuid().is_root() {
                setfsuid(Uid::from_raw(65534));
            }
            bench.follow = Follow::open(pattern, Framing::Lines, ROTATE_WAIT).unwrap();
            bench.expect(&["1"]);
            assert!(bench.follow.said.is_empty(), "{:?}", bench.follow.said);
            writer.write_all(b"2\n").unwrap();
            bench.expect(&["2"]);
        });
    });
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
}

/// To root no file is shut: while this is there, this thread asks for files as an ordinary user does.
struct Ordinary(Option<nix::unistd::Uid>);

impl Ordinary {
    fn user() -> Ordinary {
        let is_root = nix::unistd::geteuid().is_root();
        Ordinary(is_root.then(|| nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534))))
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        if let Some(root) = self.0 {
            nix::unistd::setfsuid(root);
        }
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn shut(path: &std::path::Path) {
    set_mode(path, 0);
    let denied = fs::File::open(path).map_err(|error| error.kind());
    assert_eq!(denied.err(), Some(std::io::ErrorKind::PermissionDenied));
}

#[test]
fn a_file_that_may_not_be_read_keeps_its_position_until_it_may_be() {
    let _user = Ordinary::user();
    let mut bench = Bench::new("shut", "app.log");
    let mut writer = bench.writer("app.log");
    writer.write_all(b"1\n2\n").unwrap();
    bench.expect(&["1", "2"]);
    writer.write_all(b"3\n").unwrap();
    shut(&bench.folder.join("app.log"));
    for _ in 0..2 {
        bench.restart();
        bench.expect(&[]);
    }
    set_mode(&bench.folder.join("app.log"), 0o644);
    bench.expect(&["3"]);
}

#[test]
fn a_file_that_was_renamed_while_it_might_not_be_read_is_read_once_it_may_be() {
    let _user = Ordinary::user();
    let mut bench = Bench::new("shut-renamed", "app.log");
    let mut writer = bench.writer("app.log");
    writer.write_all(b"1\n2\n").unwrap();
    bench.expect(&["1", "2"]);
    writer.write_all(b"3\n").unwrap();
    shut(&bench.folder.join("app.log"));
    bench.restart();
    bench.expect(&[]);
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "new\n");
    bench.expect(&["new"]);
    set_mode(&bench.folder.join("app.log.1"), 0o644);
    bench.expect(&["3"]);
}

#[test]
fn a_file_that_was_hidden_while_it_might_not_be_read_is_read_once_it_may_be() {
    let _user = Ordinary::user();
    let mut bench = Bench::new("shut-hidden", "current/app.log");
    bench.append("v1/app.log", "1\n2\n");
    bench.append("v2/app.log", "other\n");
    bench.link("v1", "current");
    bench.expect(&["1", "2"]);
    bench.append("v1/app.log", "3\n");
    shut(&bench.folder.join("v1/app.log"));
    bench.link("v2", "current");
    bench.restart();
    bench.expect(&["other"]);
    set_mode(&bench.folder.join("v1/app.log"), 0o644);
    bench.expect(&["3"]);
}

#[test]
fn a_mirror_that_may_not_be_read_at_once_repeats_nothing() {
    let _user = Ordinary::user();
    for dies in [false, true] {
        let mut bench = Bench::new(&format!("shut-mirror-{dies}"), "app.log");
        bench.append("app.log", "1\n2\n");
        bench.expect(&["1", "2"]);
        bench.write("new", "1\n2\n3\n");
        shut(&bench.folder.join("new"));
        bench.rename("new", "app.log");
        if dies {
            bench.restart();
        }
        bench.expect(&[]);
        set_mode(&bench.folder.join("app.log"), 0o644);
        bench.expect(&["3"]);
    }
}
