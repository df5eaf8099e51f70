//! Files of queues that mprun 0.1.0 of version 6 has left, as `tests/fixtures/version6` lists them: the words that are not
//! zero, each run of them after its offset, all in hexadecimal; `w*n` is n times the word w.
//!
//! They were made by that program on the pipeline at their top, with all of its processes stopped and then killed.
//! The journals of finished transactions are left out.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The boot in which the file was used last: two words.
pub const BOOT: u64 = 256;

/// Writes the sparse file, as left in this boot of the machine, and then these words.
pub fn write(listed: &str, path: &Path, edits: &[(u64, u64)]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    for line in listed.lines().filter(|line| !line.starts_with('#')) {
        if let Some(size) = line.strip_prefix("size ") {
            file.set_len(number(size)).unwrap();
            continue;
        }
        let (at, words) = line.split_once(": ").unwrap();
        let times = |run: &str| match run.split_once('*') {
            Some((word, n)) => vec![number(word); n.parse().unwrap()],
            None => vec![number(run)],
        };
        let bytes: Vec<u8> = words.split(' ').flat_map(times).flat_map(u64::to_le_bytes).collect();
        file.write_all_at(&bytes, number(at)).unwrap();
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().replace('-', "");
    let own = [(BOOT, number(&boot[..16])), (BOOT + 8, number(&boot[16..32]))];
    for (at, word) in own.iter().chain(edits) {
        file.write_all_at(&word.to_le_bytes(), *at).unwrap();
    }
}
