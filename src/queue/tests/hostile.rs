//! What is not an arena is refused; a lock word that was scribbled over does not hold up anybody for ever.

use super::super::layout;
use super::*;
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
        Err(fault @ Fault::Foreign(_)) => fault.to_string(),
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
    assert!(refusal(memory_file(size, 0)).contains("not sealed"));
    assert!(refusal(memory_file(size, sealed)).contains("header word 0 is 0x0"));
    assert!(refusal(File::open("/dev/null").unwrap()).contains("0 bytes long"));
    assert!(refusal(File::open("/proc/self/exe").unwrap()).contains("bytes long"));
    let newer = memory_file(size, sealed);
    for (i, word) in layout::header().into_iter().enumerate() {
        let word = if i == 1 { word + 1 } else { word };
        newer.write_all_at(&word.to_le_bytes(), i as u64 * 8).unwrap();
    }
    let reason = refusal(newer);
    assert_eq!(reason, "not queue memory of this version of mprun: header word 1 is 0x2, not 0x1");
}

#[test]
fn a_lock_that_names_nobody_is_taken_and_one_that_names_a_stranger_is_a_fault() {
    let (arena, mut steward) = arena(10);
    let word = arena.0.word32(layout::LOCK);
    word.store(0x3fff_fffe, std::sync::atomic::Ordering::Relaxed);
    let start = Instant::now();
    steward.counts(A).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    word.store(1, std::sync::atomic::Ordering::Relaxed);
    let fault = steward.counts(A).unwrap_err().to_string();
    assert!(fault.contains("the owner of the lock can't be 0x1"), "{fault}");
}
