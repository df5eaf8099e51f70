//! What was read of a file, in a few bytes: by it the file is known again, whatever its name and inode are by then.

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the start, and bytes before the position.
pub(super) const SPAN: usize = 1024;

/// When the file was made, in nanoseconds; 0 where the file system does not know.
pub(super) fn born(about: &Metadata) -> u64 {
    about.created().map_or(0, nanoseconds)
}

pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))
}

/// The hashes of the first bytes and of the last ones before the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub position: u64,
    pub head: u64,
    pub tail: u64,
}

/// The bytes themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
}

impl Fingerprint {
    /// Of what was read up to `position`. `whole`: the hash of a head that is complete, which stays what it is.
    pub(super) fn of(file: &File, position: u64, whole: &Cell<Option<u64>>) -> io::Result<Fingerprint> {
        let span = usize::try_from(position).unwrap_or(SPAN).min(SPAN);
        let tail = hash(&bytes_at(file, position - span as u64, span)?);
        let head = match whole.get() {
            Some(head) if span == SPAN => head,
            _ => hash(&bytes_at(file, 0, span)?),
        };
        if span == SPAN {
            whole.set(Some(head));
        }
        Ok(Fingerprint { position, head, tail })
    }

    /// What was read of this file, if it is as long and both hashes are right.
    pub(super) fn known_in(&self, file: &File) -> io::Result<Option<Known>> {
        let span = usize::try_from(self.position).unwrap_or(SPAN).min(SPAN);
        let head = bytes_at(file, 0, span)?;
        let tail = bytes_at(file, self.position - span as u64, span)?;
        let is_right = head.len() == span && tail.len() == span;
        let is_same = is_right && hash(&head) == self.head && hash(&tail) == self.tail;
        Ok(is_same.then_some(Known { head, tail }))
    }
}

/// The bytes there; less of them at the end of the file.
pub(super) fn bytes_at(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match file.read_at(&mut bytes[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// FNV-1a, 64 bits: it stands in saved positions and must stay what it is.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_in_every_version() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_file_is_known_by_what_was_read_of_it_and_by_nothing_else() {
        let path = std::env::temp_dir().join(format!("mprun-fingerprint-{}", std::process::id()));
        let text: Vec<u8> = (0..5000_u32).map(|n| (n % 251) as u8).collect();
        for position in [1, 10, SPAN - 1, SPAN, SPAN + 1, 4000] {
            let span = position.min(SPAN);
            let (head, tail) = (hash(&text[..span]), hash(&text[position - span..position]));
            let print = Fingerprint { position: position as u64, head, tail };
            let is_known = |bytes: &[u8]| {
                std::fs::write(&path, bytes).unwrap();
                print.known_in(&File::open(&path).unwrap()).unwrap().is_some()
            };
            assert!(is_known(&text) && is_known(&text[..position]));
            assert!(!is_known(&text[..position - 1]), "too short");
            let other = |at: usize| {
                let mut other = text.clone();
                other[at] ^= 1;
                other
            };
            assert!(!is_known(&other(0)) && !is_known(&other(position - 1)));
            assert!(is_known(&other(position)));
        }
        std::fs::remove_file(path).unwrap();
    }
}
