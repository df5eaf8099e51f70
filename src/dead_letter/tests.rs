use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mprun-dead-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn store(&self) -> Store {
        Store::at(self.0.join("deep/dead.jsonl"), Path::new("/p/x.toml"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn letter(item: &[u8], id: u64) -> DeadLetter<'_> {
    DeadLetter {
        item,
        stage: "parse",
        worker: 1,
        queue: "lines",
        id,
        origin: None,
        attempts: 3,
        cause: Cause::Signal("SIGSEGV".into()),
        stderr: &[],
        time: SystemTime::UNIX_EPOCH,
        run: "abc",
    }
}

fn append(store: &Store, item: &[u8], id: u64) -> Result<Appended, store::Unwritten> {
    append_line(store, letter(item, id).line(&store.pipeline).unwrap(), false)
}

fn read(store: &Store) -> Vec<Letter> {
    let letter = |entry: io::Result<Entry<Letter>>| match entry.unwrap() {
        Entry::Letter(letter) => Some(letter),
        Entry::Torn { .. } => None,
    };
    Letters::open(&store.path).unwrap().filter_map(letter).collect()
}

fn lines(store: &Store) -> Vec<u64> {
    read(store).iter().map(|letter| letter.line).collect()
}

#[test]
fn text_is_kept_as_text_and_bytes_as_base64() {
    let folder = Folder::new("kinds");
    let store = folder.store();
    append(&store, b"a \"b\"\n", 42).unwrap();
    append(&store, b"\xff\x00", 42).unwrap();
    assert_eq!(
        fs::read_to_string(&store.path).unwrap(),
        concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","pipeline":"/p/x.toml","run":"abc","stage":"parse","worker":1,"#,
            r#""queue":"lines","id":42,"attempts":3,"cause":{"signal":"SIGSEGV"},"encoding":"utf-8","item":"a \"b\"\n"}"#,
            "\n",
            r#"{"time":"1970-01-01T00:00:00.000Z","pipeline":"/p/x.toml","run":"abc","stage":"parse","worker":1,"#,
            r#""queue":"lines","id":42,"attempts":3,"cause":{"signal":"SIGSEGV"},"encoding":"base64","item":"/wA="}"#,
            "\n",
        )
    );
    let mode = fs::metadata(folder.0.join("deep")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_torn_line_does_not_spoil_the_next_and_is_told() {
    let folder = Folder::new("torn");
    let store = folder.store();
    append(&store, b"x", 1).unwrap();
    fs::write(&store.path, "{\"torn\n#  crossed out\n{\"other\":\"json\"}\n{\"torn").unwrap();
    append(&store, b"x", 2).unwrap();
    let all: Vec<_> = Letters::open(&store.path).unwrap().map(Result::unwrap).collect();
    let torn = |line, bytes| Entry::Torn { line, bytes };
    assert_eq!(all[..3], [torn(1, 6), torn(3, 16), torn(4, 6)]);
    assert!(matches!(&all[3], Entry::Letter(letter) if letter.line == 5), "{all:?}");
}

#[test]
fn what_is_no_regular_file_is_an_error_with_its_path_and_not_waited_for() {
    let folder = Folder::new("pipe");
    let store = folder.store();
    fs::create_dir_all(store.path.parent().unwrap()).unwrap();
    nix::unistd::mkfifo(&store.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for error in [
        append(&store, b"x", 0).unwrap_err().to_string(),
        append(&Store::at("/proc/nothing/here/dead.jsonl".into(), Path::new("/p")), b"x", 0)
            .unwrap_err()
            .to_string(),
    ] {
        assert!(error.contains("dead.jsonl"), "{error}");
    }
    assert!(Letters::open(&store.path).is_err() && probe(&store.path).is_err());
}

#[test]
fn a_letter_is_crossed_out_once_and_the_others_keep_their_lines() {
    let folder = Folder::new("cross");
    let store = folder.store();
    assert!(read(&store).is_empty());
    for (id, item) in [b"one".as_slice(), b"\xff\0", b"three"].into_iter().enumerate() {
        append(&store, item, id as u64).unwrap();
    }
    let letters = read(&store);
    let bytes: Vec<_> = letters.iter().map(|letter| letter.bytes().unwrap()).collect();
    assert_eq!(bytes, [&b"one"[..], b"\xff\0", b"three"]);
    let mut finder = Finder::default();
    letters.iter().for_each(|letter| finder.add(letter));
    let numbers: Vec<u64> = letters.iter().map(|letter| letter.number).collect();
    assert!(finder.mark(&store.path, numbers[1], true).unwrap() && read(&store)[1].marked);
    assert!(finder.cross_out(&store.path, numbers[1]).unwrap());
    assert!(!finder.cross_out(&store.path, numbers[1]).unwrap(), "it is gone");
    append(&store, b"four", 4).unwrap();
    assert_eq!(lines(&store), [1, 3, 4]);
    assert_eq!(finder.letter(&store.path, numbers[2]).unwrap().unwrap(), letters[2]);
    // A rewriting changes where they stand, and not what they are called.
    let dropped = drop_some(&store.path, &mut |letter| letter.line == 1).unwrap();
    assert_eq!((dropped.dropped, dropped.left), (1, 2));
    assert_eq!(lines(&store), [3, 4]);
    let found = finder.letter(&store.path, numbers[2]).unwrap().unwrap();
    assert!(found.offset < letters[2].offset && found.line == 3);
    assert!(finder.cross_out(&store.path, numbers[2]).unwrap());
    drop_some(&store.path, &mut |_| true).unwrap();
    assert_eq!(fs::metadata(&store.path).unwrap().len(), 0);
}

#[test]
fn one_read_of_the_file_answers_for_all_letters_until_it_is_rewritten() {
    let folder = Folder::new("finder");
    let (store, other) = (folder.store(), Store { path: folder.0.join("other.jsonl"), ..folder.store() });
    for id in 0..3 {
        append(&store, b"x", id).unwrap();
    }
    append(&other, b"x", 4).unwrap();
    let (letters, late) = (read(&store), read(&other).swap_remove(0));
    let mut finder = Finder::default();
    letters.iter().chain([&late]).for_each(|letter| finder.add(letter));
    assert_eq!(finder.letter(&store.path, late.number).unwrap(), None);
    // A letter that is gone does not come back, so the file is not read again for it.
    let text = fs::read(&store.path).unwrap();
    fs::write(&store.path, [text.as_slice(), &fs::read(&other.path).unwrap()].concat()).unwrap();
    assert_eq!(read(&store).len(), 4);
    assert_eq!(finder.letter(&store.path, late.number).unwrap(), None);
    assert!(!finder.mark(&store.path, late.number, true).unwrap());
    // Moved by a rewriting: found again, and at its new place.
    drop_some(&store.path, &mut |letter| letter.number == letters[0].number).unwrap();
    assert!(!finder.mark(&store.path, letters[0].number, true).unwrap());
    assert!(finder.mark(&store.path, letters[2].number, true).unwrap());
    assert_eq!(read(&store).iter().map(|letter| letter.marked).collect::<Vec<_>>(), [false, true, false]);
    // A key of mprun 0.1.0 has no place.
    let mut finder = Finder::default();
    let number = finder.add_key(&format!("{:016x}", letters[1].number)).unwrap();
    assert_eq!(finder.letter(&store.path, number).unwrap().map(|letter| letter.line), Some(2));
    assert_eq!(finder.add_key("none"), None);
}

#[test]
fn full_letters_wait_until_some_are_gone() {
    let folder = Folder::new("full");
    let store = Store { max_size: 1000, ..folder.store() };
    let written = (0..10).take_while(|id| append(&store, b"x", *id).is_ok()).count();
    assert!((2..10).contains(&written), "{written}");
    let error = append(&store, b"x", 99).unwrap_err();
    assert!(error.passes() && error.to_string().contains("max_size is 1000"), "{error}");
    let first = read(&store).swap_remove(0);
    let mut finder = Finder::default();
    finder.add(&first);
    assert!(finder.cross_out(&store.path, first.number).unwrap());
    append(&store, b"x", 100).unwrap();
    assert_eq!(read(&store).len(), written);
}

#[test]
fn old_letters_make_room_where_that_is_asked_for_and_are_counted() {
    let folder = Folder::new("old");
    let store = Store { max_size: 4000, when_full: WhenFull::DropOld, ..folder.store() };
    let dropped: u64 = (0..100).map(|id| append(&store, b"x", id).unwrap().dropped).sum();
    let left = read(&store);
    assert_eq!(left.len() as u64 + dropped, 100);
    assert_eq!(left.last().map(|letter| (letter.line, letter.text.id)), Some((100, 99)));
    let counted = amount(&store.path, "abc").unwrap();
    assert_eq!((counted.of_run, amount(&store.path, "ab").unwrap().of_run), (counted.letters, 0));
    assert_eq!((counted.letters, counted.dropped), (left.len() as u64, dropped));
    assert!(counted.bytes <= 4000 && counted.bytes > 2000);
    // One that is larger than all of it is kept, alone.
    append(&store, &[b'x'; 5000], 100).unwrap();
    assert_eq!(lines(&store), [101]);
}

#[test]
fn a_lock_that_is_not_let_go_is_said_and_not_waited_for() {
    let folder = Folder::new("lock");
    let store = folder.store();
    append(&store, b"x", 1).unwrap();
    let held = store::locked(&store.path, false, std::time::Duration::ZERO).unwrap();
    let error = append(&store, b"x", 2).unwrap_err();
    assert!(error.passes() && error.to_string().contains("holds its lock"), "{error}");
    assert_eq!(read(&store).len(), 1, "who only reads takes no lock");
    drop(held);
    append(&store, b"x", 2).unwrap();
}

#[test]
fn a_tracebacks_last_line_is_its_headline() {
    let headline = |cause: serde_json::Value| {
        let line = serde_json::json!({ "time": "t", "stage": "s", "cause": cause });
        let path = std::env::temp_dir().join(format!("mprun-headline-{}", std::process::id()));
        fs::write(&path, line.to_string()).unwrap();
        let Entry::Letter(letter) = Letters::open(&path).unwrap().next().unwrap().unwrap() else { panic!() };
        fs::remove_file(&path).unwrap();
        assert_eq!(letter.bytes(), None, "it has no item");
        letter.headline()
    };
    let traceback = "Traceback (most recent call last):\n  File \"x.py\", line 1\nValueError: no number\n";
    assert_eq!(headline(serde_json::json!({ "error": traceback })), "error: ValueError: no number");
    assert_eq!(headline(serde_json::json!({ "exit-code": 7 })), "exit-code: 7");
    assert_eq!(headline("timed-out".into()), "timed-out");
    assert_eq!(headline(serde_json::json!({ "error": "one\ntwo" })), "error: one");
}
