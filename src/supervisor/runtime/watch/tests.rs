use super::*;
use crate::supervisor::runtime::inbox::{channel, wait};
use crossbeam_channel::Receiver;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NUMBER: AtomicU32 = AtomicU32::new(0);

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mprun-watch-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path.canonicalize().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.at(name)).unwrap();
    }

    fn names(&self, file: &str) -> Vec<String> {
        let all = chain(&self.at(file));
        all.iter().map(|path| path.strip_prefix(&self.0).unwrap().display().to_string()).collect()
    }

    fn watch(&self, file: &str) -> (Watch, Receiver<Notice>) {
        let (sender, receiver) = channel();
        (Watch::new(&self.at(file), Watched::default(), sender).unwrap(), receiver)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn comes_within(notices: &Receiver<Notice>, millis: u64) -> bool {
    wait(notices, Some(Instant::now() + Duration::from_millis(millis))).is_some()
}

fn is_noticed(notices: &Receiver<Notice>) -> bool {
    let noticed = comes_within(notices, 10_000);
    while comes_within(notices, 100) {}
    noticed
}

fn is_quiet(notices: &Receiver<Notice>) -> bool {
    !comes_within(notices, 200)
}

#[test]
fn a_plain_file_is_its_own_chain() {
    let folder = Folder::new();
    folder.write("p.toml", "");
    assert_eq!(folder.names("p.toml"), ["p.toml"]);
}

#[test]
fn every_link_on_the_way_counts_links_of_folders_included() {
    let folder = Folder::new();
    folder.write("real/p.toml", "");
    folder.link("real", "a");
    folder.link("a/p.toml", "link.toml");
    assert_eq!(folder.names("link.toml"), ["a", "link.toml", "real/p.toml"]);
    folder.link("../link.toml", "real/up.toml");
    assert_eq!(folder.names("a/up.toml"), ["a", "link.toml", "real/p.toml", "real/up.toml"]);
}

#[test]
fn the_chain_of_a_missing_file_ends_where_it_would_appear() {
    let folder = Folder::new();
    folder.link("nowhere/p.toml", "link.toml");
    assert_eq!(folder.names("link.toml"), ["link.toml", "nowhere"]);
}

#[test]
fn a_circle_of_links_has_an_end() {
    let folder = Folder::new();
    folder.link("b", "a");
    folder.link("a", "b");
    assert_eq!(folder.names("a"), ["a", "b"]);
}

#[test]
fn writing_renaming_and_removing_the_file_is_noticed_and_nothing_else() {
    let folder = Folder::new();
    let file = folder.write("p.toml", "1");
    let (_watch, notices) = folder.watch("p.toml");
    folder.write("other", "x");
    fs::read(&file).unwrap();
    assert!(is_quiet(&notices));
    folder.write("p.toml", "2");
    assert!(is_noticed(&notices));
    fs::rename(folder.write("p.toml.new", "3"), &file).unwrap();
    assert!(is_noticed(&notices));
    fs::remove_file(&file).unwrap();
    assert!(is_noticed(&notices));
    folder.write("p.toml", "4");
    assert!(is_noticed(&notices));
}

#[test]
fn a_mounted_config_map_is_noticed_when_its_data_link_is_swapped_again_and_again() {
    let folder = Folder::new();
    folder.write("..1/p.toml", "1");
    folder.link("..1", "..data");
    folder.link("..data/p.toml", "p.toml");
    let (mut watch, notices) = folder.watch("p.toml");
    for version in 2..5 {
        folder.write(&format!("..{version}/p.toml"), "next");
        folder.link(&format!("..{version}"), "..data_tmp");
        fs::rename(folder.at("..data_tmp"), folder.at("..data")).unwrap();
        assert!(is_noticed(&notices), "version {version}");
        watch.aim().unwrap();
        assert!(is_quiet(&notices));
    }
    folder.write("..4/p.toml", "in place");
    assert!(is_noticed(&notices), "the folder it points to now is watched");
    folder.write("..1/p.toml", "old");
    assert!(is_quiet(&notices), "and the old one isn't any more");
}

#[test]
fn a_folder_that_is_replaced_by_another_is_watched_again() {
    let folder = Folder::new();
    folder.write("conf/p.toml", "1");
    let (mut watch, notices) = folder.watch("conf/p.toml");
    fs::rename(folder.at("conf"), folder.at("old")).unwrap();
    assert!(is_noticed(&notices));
    watch.aim().unwrap();
    folder.write("conf/p.toml", "2");
    assert!(is_noticed(&notices), "its name is watched while it is missing");
    watch.aim().unwrap();
    folder.write("conf/p.toml", "3");
    assert!(is_noticed(&notices));
}

#[test]
fn a_folder_above_that_is_replaced_by_another_is_noticed_each_time() {
    let folder = Folder::new();
    folder.write("app/conf/live/p.toml", "1");
    let (mut watch, notices) = folder.watch("app/conf/live/p.toml");
    for version in 2..5 {
        folder.write("new/conf/live/p.toml", "next");
        fs::rename(folder.at("app"), folder.at(&format!("old-{version}"))).unwrap();
        fs::rename(folder.at("new"), folder.at("app")).unwrap();
        assert!(is_noticed(&notices), "version {version}");
        watch.aim().unwrap();
        assert!(is_quiet(&notices));
        folder.write("app/conf/live/p.toml", "in place");
        assert!(is_noticed(&notices), "version {version} is watched");
    }
}

#[test]
fn what_is_written_and_never_closed_is_noticed() {
    let folder = Folder::new();
    let file = folder.write("p.toml", "1");
    let (mut watch, notices) = folder.watch("p.toml");
    let mut open = fs::File::options().append(true).open(&file).unwrap();
    open.write_all(b"2").unwrap();
    assert!(is_noticed(&notices));
    drop(open);
    assert!(is_noticed(&notices), "its end, too");
    fs::rename(folder.write("p.toml.new", "3"), &file).unwrap();
    assert!(is_noticed(&notices));
    watch.aim().unwrap();
    let mut open = fs::File::options().append(true).open(&file).unwrap();
    open.write_all(b"4").unwrap();
    assert!(is_noticed(&notices), "in the file that has taken its place");
}

#[test]
fn a_file_beside_it_wakes_nobody_while_it_is_written() {
    let folder = Folder::new();
    let file = folder.write("p.toml", "1");
    let (_watch, notices) = folder.watch("p.toml");
    for n in 0..100 {
        let mut output = fs::File::create(folder.at(&format!("output-{n}"))).unwrap();
        output.write_all(b"line\n").unwrap();
        fs::read(&file).unwrap();
    }
    fs::remove_file(folder.at("output-1")).unwrap();
    assert!(is_quiet(&notices));
}

#[test]
fn a_file_that_must_be_looked_at_is_noticed_also_twice_within_a_second() {
    let folder = Folder::new();
    folder.write("p.toml", "1");
    let (mut watch, notices) = folder.watch("other");
    watch.files.poll(&folder.at("p.toml")).unwrap();
    locked(&watch.aim).names.clear();
    locked(&watch.aim).names.insert(folder.at("p.toml"));
    // The kernel would tell first.
    watch.files.keep(|_| false);
    for n in 2..4 {
        folder.write("p.toml", &n.to_string());
        assert!(is_noticed(&notices));
    }
    fs::rename(folder.write("new", "4"), folder.at("p.toml")).unwrap();
    assert!(is_noticed(&notices));
}

#[test]
fn the_thread_ends_with_the_watch() {
    let folder = Folder::new();
    folder.write("p.toml", "1");
    let (watch, _notices) = folder.watch("p.toml");
    let shared = Arc::downgrade(&watch.aim);
    drop(watch);
    let limit = Instant::now() + Duration::from_secs(60);
    while shared.strong_count() > 0 {
        assert!(Instant::now() < limit);
        std::thread::yield_now();
    }
}

#[test]
fn what_changes_before_there_is_a_watch_is_seen() {
    let folder = Folder::new();
    let file = folder.write("p.toml", "a");
    folder.write("one/p.toml", "a");
    folder.write("two/p.toml", "a");
    folder.link("one", "now");
    let watched = Watched {
        files: [folder.at("now/p.toml"), folder.at("gone.env")].into(),
        patterns: [(folder.at("one"), "*.toml".to_owned())].into(),
    };
    let stamp = || FileStamp::of(&file, &watched);
    let mut before = stamp();
    assert!(before == stamp());
    let mut changes = |change: &dyn Fn()| {
        change();
        let is_seen = before != stamp();
        before = stamp();
        is_seen
    };
    assert!(changes(&|| drop(folder.write("p.toml", "ab"))));
    assert!(changes(&|| {
        folder.write("p.new", "ab");
        fs::rename(folder.at("p.new"), &file).unwrap();
    }));
    assert!(changes(&|| {
        folder.link("two", "then");
        fs::rename(folder.at("then"), folder.at("now")).unwrap();
    }));
    assert!(changes(&|| drop(folder.write("gone.env", "A=1"))));
    assert!(changes(&|| drop(folder.write("one/more.toml", ""))));
}
