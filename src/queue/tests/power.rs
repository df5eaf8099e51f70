//! A power cut: what is found afterwards is one whole saved state, and none that is older than was promised.

use super::super::recovery::disk::{self, FileOperation};
use super::super::recovery::image::{self, ItemImage, QueueImage};
use super::crash::killed;
use super::recovery::{Folder, me, owner};
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an image says, without the moment and the numbers of items: both are others after a restore.
pub(super) fn said(bytes: &[u8]) -> Vec<String> {
    let image = image::read(bytes).unwrap();
    let item = |item: &ItemImage<'_>| {
        let ItemImage { failures, known_bad, mark, due, bytes, .. } = item;
        format!("{failures} {known_bad} {mark} {due} {bytes:?}")
    };
    let queue = |queue: &QueueImage<'_>| {
        let words = [queue::FLAGS, queue::DONE, queue::DEAD, queue::DROPPED_OLD];
        let words = words.map(|word| queue.word(word));
        let items: Vec<String> = queue.items.iter().map(item).collect();
        format!("{:?} {} {} {words:?} {items:?}", queue.id, queue.label, queue.put())
    };
    image.queues.iter().map(queue).collect()
}

/// The same in an arena that was made from it.
fn restored(bytes: &[u8]) -> Vec<String> {
    let mut admin = QueueAdmin::open(Arena::create().unwrap()).unwrap();
    admin.restore(&image::read(bytes).unwrap()).unwrap();
    let again = admin.image().unwrap().1;
    said(&again)
}

#[test]
fn whatever_workers_hold_an_image_has_every_item_once_and_gives_it_back() {
    let (arena, mut admin) = arena(3);
    for (q, label) in [(A, "queue a"), (B, "queue b")] {
        admin.set_label(q, label).unwrap();
    }
    admin.set_queue(C, &Limits { when_full: WhenFull::DropOld, ..limits(2) }).unwrap();
    let mut worker = attach(&arena, &mut admin, 0);
    let mut other = attach(&arena, &mut admin, 1);
    let check = |admin: &mut QueueAdmin| {
        let bytes = admin.image().unwrap().1;
        assert_eq!(restored(&bytes), said(&bytes));
        said(&bytes)
    };
    put(&mut worker, A, &[b"1", &[2; 5000], b""]);
    put(&mut worker, B, &[b"token"]);
    put(&mut worker, C, &[b"x", b"y", &[3; 100], b"z"]);
    check(&mut admin);
    other.take(&[A], 2, Wait::No).unwrap();
    other.begin(1);
    other.put_with(&[B], 3000, None, |_| ()).unwrap(); // a block in its hands is no item
    check(&mut admin);
    other.discard_staged().unwrap();
    other.give_back(1, true).unwrap();
    check(&mut admin);
    let later = Delay { time: Duration::from_secs(5), most: Duration::from_secs(9), put_off: 0 };
    worker.take(&[C], 2, Wait::No).unwrap();
    worker.delay(1, true, later).unwrap();
    worker.delay(0, false, Delay { time: Duration::from_secs(3), ..later }).unwrap();
    check(&mut admin);
    // Four outputs of one item, of which three find room: what is out must not come out again.
    for n in 0..4_u8 {
        other.put(&[B], &[n; 20], Some(0)).unwrap();
    }
    assert!(matches!(other.commit(1, Wait::No).unwrap(), Committed::Full { .. }));
    let all = check(&mut admin);
    assert!(all[0].contains("0 0 2 0 [49]"), "an item with two outputs out: {all:?}");
    other.die();
    admin.release(SlotId(1), FailureAttribution::Nobody, 9, &mut |_| Ok(())).unwrap();
    assert_eq!(check(&mut admin), all, "given back it is the same");
    admin.set_ended(A, true).unwrap();
    admin.set_closed(C, true).unwrap();
    check(&mut admin);
    worker.take(&[A, B], 9, Wait::No).unwrap();
    worker.commit(9, Wait::No).unwrap();
    worker.settle().unwrap();
    check(&mut admin);
}

#[test]
fn an_image_is_read_as_a_whole_or_refused() {
    let (arena, mut admin) = arena(10);
    put(&mut attach(&arena, &mut admin, 0), A, &[b"1", &[7; 100]]);
    let bytes = admin.image().unwrap().1;
    image::read(&bytes).unwrap();
    for len in 0..bytes.len() {
        image::read(&bytes[..len]).unwrap_err();
    }
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1 << (at % 8);
        image::read(&other).unwrap_err();
    }
    // What makes no sense is refused, whatever the checksum says.
    for at in (0..bytes.len() - 15).step_by(8) {
        for word in [u64::MAX, 1 << 40, 70_000] {
            let mut other = bytes[..bytes.len() - 8].to_vec();
            other[at..at + 8].copy_from_slice(&word.to_le_bytes());
            let check = u64::from(crc32fast::hash(&other));
            other.extend_from_slice(&check.to_le_bytes());
            if let Ok(image) = image::read(&other) {
                let mut admin = QueueAdmin::open(Arena::create().unwrap()).unwrap();
                let _ = admin.restore(&image); // no panic, no endless loop
            }
        }
    }
}

/// A disk, as far as it is known for certain, and what was done since.
#[derive(Clone, Default)]
struct Disk {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    /// What the names will be, once the folder is synced.
    pending: Vec<(PathBuf, Option<usize>)>,
}

#[derive(Clone, Default)]
struct Contents {
    safe: Vec<u8>,
    now: Vec<u8>,
}

impl Disk {
    fn find(&self, name: &Path) -> usize {
        let newest = self.pending.iter().rev().find(|(known, _)| known == name).map(|(_, file)| *file);
        newest.unwrap_or_else(|| self.names.get(name).copied()).expect("a file of this name")
    }

    fn act(&mut self, operation: &FileOperation) {
        match operation {
            FileOperation::Create(name) => {
                self.files.push(Contents::default());
                self.pending.push((name.clone(), Some(self.files.len() - 1)));
            }
            FileOperation::Write(name, bytes) => {
                let file = self.find(name);
                self.files[file].now.extend_from_slice(bytes);
            }
            FileOperation::Sync(name) => {
                let file = self.find(name);
                self.files[file].safe = self.files[file].now.clone();
            }
            FileOperation::Rename(from, to) => {
                let file = self.find(from);
                self.pending.extend([(to.clone(), Some(file)), (from.clone(), None)]);
            }
            FileOperation::SyncFolder => {
                let pending = std::mem::take(&mut self.pending);
                pending.into_iter().for_each(|(name, file)| self.name(name, file));
            }
        }
    }

    fn name(&mut self, name: PathBuf, file: Option<usize>) {
        match file {
            Some(file) => drop(self.names.insert(name, file)),
            None => drop(self.names.remove(&name)),
        }
    }

    /// What may be found under a name after a power cut now: any of the pending names may have got through, and of what
    /// was written to a file and not synced all, nothing, the beginning, or the end without it.
    fn after_a_cut(&self, name: &Path) -> BTreeSet<Option<Vec<u8>>> {
        let mut found = BTreeSet::new();
        for subset in 0..1_u32 << self.pending.len() {
            let mut disk = self.clone();
            let through = self.pending.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1);
            through.for_each(|(_, (name, file))| disk.name(name.clone(), *file));
            match disk.names.get(name) {
                None => drop(found.insert(None)),
                Some(&file) => found.extend(variants(&disk.files[file]).into_iter().map(Some)),
            }
        }
        found
    }
}

fn variants(Contents { safe, now }: &Contents) -> Vec<Vec<u8>> {
    if safe == now {
        return vec![safe.clone()];
    }
    let mut hole = now.clone();
    hole[..now.len() / 2].fill(0);
    vec![safe.clone(), now.clone(), now[..now.len() / 2].to_vec(), hole, vec![0; now.len()]]
}

/// Saves again and again; what was done to the disk, and each saved state.
fn saves(folder: &Folder) -> (Vec<FileOperation>, Vec<Vec<u8>>) {
    fs::create_dir_all(&folder.0).unwrap();
    let (arena, mut admin) = arena(100);
    let mut worker = attach(&arena, &mut admin, 0);
    arena.set_durability(Durability::Later);
    disk::done();
    let mut all = Vec::new();
    for n in 0..5_u8 {
        put(&mut worker, A, &[&[n; 300]]);
        admin.save(&folder.arena()).unwrap();
        all.push(fs::read(disk::beside(&folder.arena(), "saved")).unwrap());
    }
    (disk::done(), all)
}

/// The first moment at which a power cut leaves what is not whole, or older than what was safe by then.
fn first_fault(operations: &[FileOperation], all: &[Vec<u8>], saved: &Path) -> Option<String> {
    let mut disk = Disk::default();
    let (mut safe, mut states) = (0, 0);
    for (n, operation) in operations.iter().enumerate() {
        disk.act(operation);
        // `replace` returns after the last operation of each round.
        safe +=
            usize::from(operations.get(n + 1).is_none_or(|next| matches!(next, FileOperation::Create(_))));
        for found in disk.after_a_cut(saved) {
            states += 1;
            let which = found.as_ref().map(|bytes| all.iter().position(|state| state == bytes));
            let fault = match which {
                None => (safe > 0).then(|| "nothing".to_owned()),
                Some(None) => Some("something that was never saved".to_owned()),
                Some(Some(which)) => (which + 1 < safe).then(|| format!("state {which} of {safe}")),
            };
            if let Some(fault) = fault {
                return Some(format!("after operation {n} ({operation:?}): {fault}"));
            }
        }
    }
    assert!(states > operations.len(), "there are moments with more than one way to be cut");
    None
}

#[test]
fn a_power_cut_at_any_moment_leaves_the_last_state_that_was_safe_or_a_newer_one() {
    let folder = Folder::new("cuts");
    let (operations, all) = saves(&folder);
    let saved = disk::beside(&folder.arena(), "saved");
    assert_eq!(operations.len(), 5 * all.len());
    assert_eq!(first_fault(&operations, &all, &saved), None);
    // That this test would see it, if anything were left out.
    for (n, left_out) in
        operations.iter().enumerate().take(5).filter(|(_, operation)| {
            !matches!(operation, FileOperation::Create(_) | FileOperation::Write(..))
        })
    {
        let without: Vec<FileOperation> = (0..)
            .zip(&operations)
            .filter(|(i, _)| i % 5 != n)
            .map(|(_, operation)| operation.clone())
            .collect();
        assert!(first_fault(&without, &all, &saved).is_some(), "nobody misses {left_out:?}");
    }
}

/// An arena that was in use when the machine went down, and what was saved of it.
fn cut_off(folder: &Folder) -> Vec<String> {
    let Opened { arena, .. } = open(folder);
    arena.enter(me()).unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    admin.set_label(A, "queue a").unwrap();
    admin.set_queue(A, &limits(100)).unwrap();
    arena.set_durability(Durability::Later);
    let mut worker = attach(&arena, &mut admin, 0);
    put(&mut worker, A, &[b"1", &[7; 3000], b"3"]);
    worker.take(&[A], 1, Wait::No).unwrap();
    admin.save(&folder.arena()).unwrap();
    let kept = said(&admin.image().unwrap().1);
    put(&mut worker, A, &[b"too late"]);
    let boot = layout::identity::BOOT[0];
    arena.0.store(boot, arena.0.load(boot) ^ 1);
    kept
}

fn open(folder: &Folder) -> Opened {
    Arena::open_file(&folder.arena(), &owner(), Duration::ZERO, &mut |_| true).unwrap()
}

#[test]
fn after_a_power_cut_the_queues_are_as_they_were_saved_wherever_the_next_start_is_killed() {
    for at in 0.. {
        let folder = Folder::new("restore");
        let kept = cut_off(&folder);
        // Before each store of the start that restores them, a death; then another start.
        let died = killed(at, || drop(open(&folder)));
        let Opened { arena, kept: is_kept, .. } = open(&folder);
        assert!(is_kept, "store {at}");
        let mut admin = QueueAdmin::open(arena).unwrap();
        let all = admin.recover().unwrap();
        assert_eq!(all[0].counts.waiting, 3);
        assert_eq!(said(&admin.image().unwrap().1), kept, "store {at}");
        if !died {
            assert!(at > 50, "{at}");
            break;
        }
    }
}

#[test]
fn what_was_saved_of_other_queues_or_is_spoiled_is_not_used() {
    let folder = Folder::new("spoiled");
    let saved = disk::beside(&folder.arena(), "saved");
    cut_off(&folder);
    let mut bytes = fs::read(&saved).unwrap();
    bytes[100] ^= 1;
    fs::write(&saved, bytes).unwrap();
    let refused = Arena::open_file(&folder.arena(), &owner(), Duration::ZERO, &mut |_| true).err();
    let why = "queues.saved, which was saved of them, can't be used either: its checksum is wrong";
    assert!(matches!(&refused, Some(Fault::Unusable(text)) if text.ends_with(why)), "{refused:?}");
    assert!(saved.exists() && folder.arena().exists());
    // Nor alone, and it stays there: what it is, is for a person to decide.
    fs::remove_file(folder.arena()).unwrap();
    let alone = |why: &str| {
        let refused = Arena::open_file(&folder.arena(), &owner(), Duration::ZERO, &mut |_| true).err();
        assert!(matches!(&refused, Some(Fault::Unusable(text)) if text.ends_with(why)), "{refused:?}");
        assert!(saved.exists() && !folder.arena().exists());
    };
    alone("queues.saved, which was saved of it, can't take its place: its checksum is wrong");
    let (arena, mut admin) = arena(3);
    put(&mut attach(&arena, &mut admin, 0), A, &[b"old"]);
    admin.save(&folder.arena()).unwrap();
    alone("can't take its place: it belongs to another pipeline");
}

#[test]
fn where_the_file_is_gone_what_was_saved_takes_its_place_wherever_the_next_start_is_killed() {
    for at in 0.. {
        let folder = Folder::new("alone");
        let kept = cut_off(&folder);
        fs::remove_file(folder.arena()).unwrap();
        let died = killed(at, || drop(open(&folder)));
        let Opened { arena, kept: is_kept, restored, .. } = open(&folder);
        assert!(is_kept, "store {at}");
        assert_eq!(restored.is_some(), died, "store {at}");
        let mut admin = QueueAdmin::open(arena).unwrap();
        admin.recover().unwrap();
        assert_eq!(said(&admin.image().unwrap().1), kept, "store {at}");
        if !died {
            assert!(at > 50, "{at}");
            break;
        }
    }
}

#[test]
fn the_name_of_a_new_file_leads_nowhere_else() {
    let folder = Folder::new("new-name");
    fs::create_dir_all(&folder.0).unwrap();
    let (new, other) = (disk::beside(&folder.arena(), "new"), folder.0.join("other"));
    fs::write(&other, "precious").unwrap();
    std::os::unix::fs::symlink(&other, &new).unwrap();
    drop(open(&folder));
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    fs::remove_file(folder.arena()).unwrap();
    fs::create_dir(&new).unwrap();
    let refused = Arena::open_file(&folder.arena(), &owner(), Duration::ZERO, &mut |_| true).err();
    let said = refused.map(|fault| fault.to_string()).unwrap_or_default();
    assert!(said.ends_with("queues.new: it is no file: move it away"), "{said}");
}

#[test]
fn a_put_that_must_be_safe_returns_when_it_is() {
    let folder = Folder::new("safe");
    fs::create_dir_all(&folder.0).unwrap();
    let (arena, mut admin) = arena(10);
    arena.set_durability(Durability::Puts);
    admin.open_slot(SlotId(0), &Tuning::default()).unwrap();
    let of_worker = arena.clone();
    let worker = std::thread::spawn(move || {
        let mut worker = WorkerHandle::open(of_worker, SlotId(0)).unwrap();
        for n in 0..20_u8 {
            put(&mut worker, A, &[&[n]]);
            worker.take(&[A], 1, Wait::No).unwrap();
            worker.commit(1, Wait::No).unwrap();
        }
    });
    let saved = disk::beside(&folder.arena(), "saved");
    let mut safe = 0;
    while !worker.is_finished() {
        let put = admin.counts(A).unwrap().put;
        assert!(put <= safe + 1, "{put} are put, and only {safe} of them are safe");
        admin.save(&folder.arena()).unwrap();
        safe = image::read(&fs::read(&saved).unwrap()).unwrap().queues[0].put();
    }
    worker.join().unwrap();
    assert_eq!(safe, 20);
}
