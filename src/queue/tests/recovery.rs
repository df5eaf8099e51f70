//! An arena that outlives its processes: in a file, or by a descriptor kept elsewhere.

use super::super::recovery::usage;
use super::*;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) struct Folder(pub PathBuf);

impl Folder {
    /// In memory where there is such a place: nothing here depends on a disk, and some cases come by the thousand.
    pub fn new(name: &str) -> Folder {
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("mprun-kept-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    pub fn arena(&self) -> PathBuf {
        self.0.join("queues")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn owner() -> Identity {
    Identity { pipeline: "p".into(), file: String::new() }
}

pub(super) fn open(path: &Path) -> Opened {
    Arena::open_file(path, &owner(), Duration::ZERO, &mut |_| true).unwrap()
}

pub(super) fn me() -> User {
    User { pid: std::process::id(), since: 1, run: 2 }
}

/// Found by kill -9 in the first moments of a run: its empty queues were said to be torn by a power cut.
#[test]
fn who_dies_before_the_first_entry_leaves_nothing_to_mistrust() {
    let folder = Folder::new("unentered");
    drop(open(&folder.arena()));
    let Opened { replaced, .. } = open(&folder.arena());
    assert!(replaced.is_none(), "{replaced:?}");
}

#[test]
fn items_are_there_again_after_everybody_is_gone() {
    let folder = Folder::new("again");
    let long = vec![b'x'; 5000];
    {
        let Opened { arena, kept, replaced, .. } = open(&folder.arena());
        assert!(!kept && replaced.is_none());
        arena.enter(me()).unwrap();
        let mut admin = QueueAdmin::open(arena.clone()).unwrap();
        for (q, name) in [(A, "queue a"), (B, "token s lines")] {
            admin.set_label(q, name).unwrap();
            admin.set_queue(q, &limits(100)).unwrap();
        }
        let mut worker = attach(&arena, &mut admin, 3);
        put(&mut worker, A, &[b"1", &long, b"3", b"4"]);
        put(&mut worker, B, &[b"t"]);
        worker.take(&[A], 3, Wait::No).unwrap();
        worker.begin(1);
        worker.put_with(&[A], 3000, None, |_| ()).unwrap(); // a block in its hands
        worker.die();
        admin.die();
    }
    let Opened { arena, kept, .. } = open(&folder.arena());
    assert!(kept);
    assert_eq!((arena.identity().unwrap(), arena.user()), (owner(), me()));
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    let all = admin.recover().unwrap();
    let labels: Vec<&str> = all.iter().map(|queue| queue.label.as_str()).collect();
    assert_eq!(labels, ["queue a", "token s lines"]);
    let counts = all[0].counts;
    assert_eq!((counts.put, counts.waiting, counts.leased, counts.done), (4, 4, 0, 0));
    assert_eq!(admin.first(A).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(admin.first(B).unwrap().as_deref(), Some(&b"t"[..]));
    let mut worker = attach(&arena, &mut admin, 0);
    worker.take(&[A], 10, Wait::No).unwrap();
    assert_eq!(held(&worker), [&b"1"[..], &long, b"3", b"4"]);
    let attempts: Vec<u32> = (0..4).map(|i| worker.item(i).unwrap().attempt).collect();
    assert_eq!(attempts, [1, 2, 1, 1], "only the begun item has one more");
    admin.audit().unwrap();
}

#[test]
fn an_arena_is_one_runs_alone_until_the_last_of_it_is_gone() {
    let folder = Folder::new("alone");
    let first = open(&folder.arena()).arena;
    first.enter(me()).unwrap();
    let worker = first.fd().try_clone_to_owned().unwrap();
    let mut asked = Vec::new();
    let mut second = |lives: bool| {
        let mut answer = |user| {
            asked.push(user);
            lives
        };
        Arena::open_file(&folder.arena(), &owner(), Duration::from_millis(20), &mut answer).err()
    };
    assert!(matches!(second(true), Some(Fault::InUse)));
    assert!(matches!(second(false), Some(Fault::InUse)));
    drop(first);
    assert!(matches!(second(false), Some(Fault::InUse)), "a worker has it still");
    drop(worker);
    assert!(second(true).is_none());
    assert_eq!(asked, [me(); 3]);
}

#[test]
fn a_descriptor_kept_elsewhere_is_no_use_of_it() {
    let arena = Arena::create_for(&owner()).unwrap();
    let kept = arena.share().unwrap();
    let claim = || Arena::claim(std::os::fd::AsFd::as_fd(&kept), Duration::ZERO, &mut |_| true);
    assert!(matches!(claim().err(), Some(Fault::InUse)));
    drop(arena);
    assert_eq!(claim().unwrap().identity().unwrap(), owner());
    claim().unwrap();
}

/// Why the file is refused, which stays as it is.
fn refused(folder: &Folder) -> String {
    let open = || Arena::open_file(&folder.arena(), &owner(), Duration::ZERO, &mut |_| true);
    let before = fs::metadata(folder.arena()).unwrap().len();
    let fault = open().err().expect("refused");
    assert!(matches!(fault, Fault::Unusable(_)), "{fault}");
    let again = open().err().expect("refused again");
    assert_eq!(fault.to_string(), again.to_string());
    assert_eq!(fs::metadata(folder.arena()).unwrap().len(), before);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is set aside, nothing is made");
    fault.to_string()
}

/// Found with a file that something had cut to nothing: it was taken for a new one, and what a `file` sink had written was emptied.
#[test]
fn what_is_no_good_is_refused_and_stays_where_it_is() {
    let folder = Folder::new("aside");
    fs::create_dir_all(&folder.0).unwrap();
    for (bytes, why) in
        [(&b""[..], "0 bytes long"), (b"a poem", "6 bytes long"), (&[0; 4096], "4096 bytes long")]
    {
        fs::write(folder.arena(), bytes).unwrap();
        assert!(refused(&folder).contains(why));
    }
    File::options().write(true).open(folder.arena()).unwrap().set_len(layout::SIZE as u64).unwrap();
    assert!(refused(&folder).contains("its first word is 0x0"));
    fs::remove_file(folder.arena()).unwrap();
    drop(open(&folder.arena()));
    let file = File::options().write(true).open(folder.arena()).unwrap();
    file.write_all_at(b"x", layout::identity::PIPELINE.into()).unwrap();
    assert!(refused(&folder).contains("checksum"));
}

/// Whatever of a file is gone, what was saved of it takes its place.
#[test]
fn what_is_no_good_makes_way_for_what_was_saved() {
    let cut = |bytes: u64| move |file: &File| file.set_len(bytes).unwrap();
    let zero = |at: u64, bytes: usize| move |file: &File| file.write_all_at(&vec![0; bytes], at).unwrap();
    let damages: [&dyn Fn(&File); 6] =
        [&cut(0), &cut(5000), &zero(0, 8), &zero(0, 4096), &zero(0, 65536), &|file| {
            file.write_all_at(b"x", layout::identity::PIPELINE.into()).unwrap();
        }];
    for (n, damage) in damages.into_iter().enumerate() {
        let folder = Folder::new("makes-way");
        {
            let arena = open(&folder.arena()).arena;
            arena.enter(me()).unwrap();
            let mut admin = QueueAdmin::open(arena.clone()).unwrap();
            admin.set_label(A, "queue a").unwrap();
            admin.set_queue(A, &limits(10)).unwrap();
            let mut worker = attach(&arena, &mut admin, 0);
            put(&mut worker, A, &[b"saved"]);
            admin.save(&folder.arena()).unwrap();
        }
        damage(&File::options().write(true).open(folder.arena()).unwrap());
        let Opened { arena, kept, replaced, .. } = open(&folder.arena());
        let replaced = replaced.unwrap_or_else(|| panic!("damage {n} is not seen"));
        assert!(kept && replaced.saved.is_some() && replaced.aside.exists(), "damage {n}");
        let mut admin = QueueAdmin::open(arena).unwrap();
        admin.recover().unwrap();
        assert_eq!(admin.first(A).unwrap().as_deref(), Some(&b"saved"[..]), "damage {n}");
    }
}

#[test]
fn a_start_that_was_killed_before_its_file_was_whole_leaves_none_of_the_name() {
    for at in 0.. {
        let folder = Folder::new("unfinished");
        let died = super::crash::killed(at, || drop(open(&folder.arena())));
        let Opened { kept, replaced, .. } = open(&folder.arena());
        assert!(replaced.is_none() && (died || kept), "store {at}");
        if !died {
            assert!(at > 10, "{at}");
            break;
        }
    }
}

#[test]
fn a_queue_whose_words_are_gone_is_not_taken_for_one_that_is_not_in_use() {
    let folder = Folder::new("words");
    let arena = open(&folder.arena()).arena;
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    admin.set_queue(A, &limits(10)).unwrap();
    let mut worker = attach(&arena, &mut admin, 0);
    put(&mut worker, A, &[b"1"]);
    worker.take(&[A], 1, Wait::No).unwrap();
    worker.die();
    let words = QueueAt::of(A).unwrap().offset() as u64;
    File::options().write(true).open(folder.arena()).unwrap().write_all_at(&[0; 512], words).unwrap();
    assert!(matches!(admin.recover(), Err(Fault::Damaged { .. })));
}

#[test]
fn another_versions_file_is_refused_and_left_where_it_is() {
    let folder = Folder::new("version");
    drop(open(&folder.arena()));
    let file = File::options().write(true).open(folder.arena()).unwrap();
    file.write_all_at(&(layout::VERSION + 1).to_le_bytes(), 8).unwrap();
    let error = Arena::open_file(&folder.arena(), &owner(), Duration::ZERO, &mut |_| true).err();
    assert!(matches!(error, Some(Fault::Version { .. })));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn after_a_power_cut_a_file_in_use_is_torn_and_a_closed_one_is_not() {
    let folder = Folder::new("torn");
    let reboot = |arena: &Arena| {
        let boot = layout::identity::BOOT[0];
        arena.0.store(boot, arena.0.load(boot) ^ 1);
    };
    let arena = open(&folder.arena()).arena;
    arena.enter(me()).unwrap();
    assert!(!usage::is_torn(&arena.0), "the machine was up all the time");
    arena.leave().unwrap();
    reboot(&arena);
    drop(arena);
    let Opened { arena, kept, .. } = open(&folder.arena());
    assert!(kept);
    arena.enter(me()).unwrap();
    reboot(&arena);
    drop(arena);
    let Opened { kept, replaced, arena, .. } = open(&folder.arena());
    let replaced = replaced.expect("set aside");
    assert!(!kept && replaced.saved.is_none() && replaced.aside.exists() && folder.arena().exists());
    assert!(replaced.why.to_string().contains("the machine went down"));
    assert!(QueueAdmin::open(arena).unwrap().recover().unwrap().is_empty());
}

#[test]
fn a_lock_that_went_down_with_the_machine_is_free() {
    let folder = Folder::new("lock");
    let Opened { arena, .. } = open(&folder.arena());
    arena.0.word32(layout::LOCK).store(1, std::sync::atomic::Ordering::Relaxed); // a thread that lives, and not ours
    let mut admin = QueueAdmin::open(arena).unwrap();
    assert_eq!(admin.recover().unwrap(), []);
}

#[test]
fn damage_is_found_before_anybody_works_on_it() {
    let folder = Folder::new("damage");
    let arena = open(&folder.arena()).arena;
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    admin.set_queue(B, &limits(10)).unwrap();
    let mut worker = attach(&arena, &mut admin, 0);
    put(&mut worker, B, &[&[7; 100]]);
    let tail = QueueAt::of(B).unwrap() + queue::TAIL;
    arena.0.store(tail, 2); // an item that nobody has put
    assert!(matches!(admin.recover(), Err(Fault::Foreign(_) | Fault::Damaged { .. })));
}

/// Bytes of the disk that a file really takes.
fn on_disk(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn a_file_takes_room_for_what_was_in_it_and_gives_back_what_is_not_needed() {
    let folder = Folder::new("room");
    let arena = open(&folder.arena()).arena;
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    admin.set_queue(A, &Limits { max_bytes: 64 << 20, ..limits(100) }).unwrap();
    let mut worker = attach(&arena, &mut admin, 0);
    let empty = on_disk(&folder.arena());
    assert!(empty < 1 << 20, "{empty}");
    for _ in 0..20 {
        put(&mut worker, A, &[&vec![1; 1 << 20]]);
    }
    let full = on_disk(&folder.arena());
    assert!(full > 20 << 20, "{full}");
    for _ in 0..20 {
        worker.take(&[A], 1, Wait::No).unwrap();
        worker.commit(1, Wait::No).unwrap();
    }
    worker.settle().unwrap();
    let soon = std::time::Instant::now() + Duration::from_millis(1);
    assert_eq!(worker.take(&[A], 1, Wait::Until(soon)).unwrap(), Taken::Empty);
    let after = on_disk(&folder.arena());
    assert!(after < 2 << 20, "{after}");
    put(&mut worker, A, &[&vec![2; 1 << 20]]);
    admin.audit().unwrap();
}
