//! What is not an arena is refused; a lock word that was scribbled over does not hold up anybody for ever.

use super::*;
use arena::layout::{Class, FreeStack};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

fn memory_file(size: u64, seals: i32) -> File {
    // SAFETY: a new descriptor, which becomes the file's alone.
    let file = unsafe {
        let fd = libc::memfd_create(c"hostile".as_ptr(), libc::MFD_ALLOW_SEALING);
        File::from(OwnedFd::from_raw_fd(fd))
    };
    file.set_len(size).unwrap();
    // SAFETY: a plain system call on an own descriptor.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    file
}

fn refusal(file: File) -> String {
    match Arena::attach(file.into()) {
        Err(fault @ (Fault::Foreign(_) | Fault::Version { .. })) => fault.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken for an arena"),
    }
}

#[test]
fn what_is_not_an_arena_is_refused_with_a_reason() {
    let sealed = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    let size = layout::SIZE as u64;
    assert!(refusal(memory_file(0, sealed)).contains("0 bytes long"));
    assert!(refusal(memory_file(size - 4096, sealed)).contains("bytes long"));
    assert!(refusal(memory_file(size, sealed)).contains("its first word is 0x0"));
    assert!(refusal(File::open("/dev/null").unwrap()).contains("0 bytes long"));
    assert!(refusal(File::open("/proc/self/exe").unwrap()).contains("bytes long"));
    for size in [size, size - 4096] {
        let other = memory_file(size, sealed);
        for (i, word) in layout::header().into_iter().enumerate() {
            let word = if i == 1 { word + 1 } else { word };
            other.write_all_at(&word.to_le_bytes(), i as u64 * 8).unwrap();
        }
        let (have, want) = (layout::VERSION + 1, layout::VERSION);
        let reason = format!("queue memory of another version of mprun: its layout is {have}, not {want}");
        assert_eq!(refusal(other), reason);
    }
}

#[test]
fn a_head_that_was_changed_is_refused() {
    let arena = Arena::create_for(&Identity { pipeline: "one".into(), file: "/a".into() }).unwrap();
    let copy = |at: usize, bytes: &[u8]| {
        let copy = memory_file(layout::SIZE as u64, libc::F_SEAL_SHRINK);
        let mut head = arena.0.read_text(layout::HEADER, layout::JOURNAL.offset());
        head[at..at + bytes.len()].copy_from_slice(bytes);
        copy.write_all_at(&head, 0).unwrap();
        copy
    };
    assert!(Arena::attach(copy(0, b"mprun").into()).is_ok());
    let name = layout::identity::PIPELINE.offset();
    assert!(refusal(copy(name, b"two")).contains("checksum"));
    assert!(refusal(copy(layout::identity::FILE_LEN.offset(), &[1])).contains("checksum"));
    let unsealed = copy(0, b"mprun");
    let cuttable = memory_file(layout::SIZE as u64, 0);
    let mut head = vec![0; layout::JOURNAL.offset()];
    unsealed.read_exact_at(&mut head, 0).unwrap();
    cuttable.write_all_at(&head, 0).unwrap();
    assert!(refusal(cuttable).contains("not sealed"));
}

#[test]
fn a_lock_that_names_nobody_is_taken_and_one_that_names_a_stranger_is_a_fault() {
    let (arena, mut admin) = arena(10);
    let word = arena.0.word32(layout::LOCK);
    word.store(0x3fff_fffe, std::sync::atomic::Ordering::Relaxed);
    let start = Instant::now();
    admin.counts(A).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    word.store(1, std::sync::atomic::Ordering::Relaxed);
    let fault = admin.counts(A).unwrap_err().to_string();
    assert!(fault.contains("the owner of the lock can't be 0x1"), "{fault}");
}

/// Found by the fuzzer: two of one output's copies got the same block, which then was copied onto itself.
#[test]
fn a_free_block_that_is_there_twice_harms_nobody_but_its_items() {
    let (arena, mut admin) = arena(10);
    let mut worker = attach(&arena, &mut admin, 0);
    put(&mut worker, A, &[&[7; 3000], &[8; 3000]]);
    worker.take(&[A], 2, Wait::No).unwrap();
    worker.commit(2, Wait::No).unwrap();
    worker.settle().unwrap();
    let (class, hot) = (Class::for_len(3000), FreeStack::Hot);
    let free = arena.0.load(class.free(hot));
    let block = arena.0.load(class.cell(hot, 0));
    assert!(free > 1);
    (1..free).for_each(|i| arena.0.store(class.cell(hot, i), block));
    worker.put(&[A, B], &[9; 3000], None).unwrap();
    worker.commit(0, Wait::No).unwrap();
    assert_eq!(worker.take(&[A, B], 2, Wait::No).unwrap(), Taken::Items { before: 1, after: 0 });
    assert_eq!(held(&worker), [[9; 3000]; 2]);
}

/// The same of items that join others in a block.
#[test]
fn nor_does_one_that_two_extents_of_an_output_share() {
    let (arena, mut admin) = arena(100);
    let mut worker = attach(&arena, &mut admin, 0);
    let pass = |worker: &mut WorkerHandle| {
        for _ in 0..6 {
            (0..3).for_each(|_| worker.put(&[A, B], &[9; 300], None).unwrap());
            worker.commit(0, Wait::No).unwrap();
        }
        while matches!(worker.take(&[A, B], 100, Wait::No).unwrap(), Taken::Items { .. }) {
            assert!(held(worker).iter().all(|item| *item == [9; 300]));
            worker.commit(worker.len(), Wait::No).unwrap();
        }
        worker.settle().unwrap();
    };
    pass(&mut worker);
    let mut doubled = 0;
    for len in [64, 128, 256, 512, 1024, 2048, 4096, 1 << 13, 1 << 14, 1 << 15, 1 << 16] {
        let (class, hot) = (Class::for_len(len), FreeStack::Hot);
        let free = arena.0.load(class.free(hot));
        let block = arena.0.load(class.cell(hot, 0));
        (1..free).for_each(|i| arena.0.store(class.cell(hot, i), block));
        doubled += free.saturating_sub(1);
    }
    assert!(doubled > 0);
    pass(&mut worker);
}
