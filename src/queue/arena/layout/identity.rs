//! Whose arena it is, and how it was left: see `arena/identity.rs`. From `CHECK` on nothing ever changes, and the checksum
//! covers it.

use crate::queue::arena::place::{At, WordAt, Words};

const START: usize = 256;
/// The boot in which it was used last.
pub(crate) const BOOT: [WordAt; 2] = [At::new(START), At::new(START + 8)];
/// 1: no process uses it, and all of it is on the disk.
pub(crate) const CLEAN: WordAt = At::new(START + 16);
/// The supervisor that uses it: its pid, when that began, and its run.
pub(crate) const USER: [WordAt; 3] = [At::new(START + 24), At::new(START + 32), At::new(START + 40)];
pub(crate) const CHECK: WordAt = At::new(START + 64);
/// 1: a file on a disk, where every page must be reserved before it is written.
pub(crate) const IN_FILE: WordAt = At::new(START + 72);
pub(crate) const PIPELINE_LEN: WordAt = At::new(START + 80);
pub(crate) const PIPELINE: At<Words> = At::new(START + 88);
pub(crate) const PIPELINE_MAX: usize = 256;
pub(crate) const FILE_LEN: WordAt = At::new(START + 344);
pub(crate) const FILE: At<Words> = At::new(START + 352);
pub(crate) const FILE_MAX: usize = 2048;
/// All that the checksum covers.
pub(crate) const CHECKED: At<Words> = At::new(START + 72);
pub(crate) const CHECKED_WORDS: usize = (352 + FILE_MAX - 72) / 8;
pub(super) const END: usize = START + 352 + FILE_MAX;
