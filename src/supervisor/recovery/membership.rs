//! By which names a broker knows this machine: an id of its state folder, and an id of the life of its queues' memory.
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | before an id was renamed to its place | a file with another name | the next run makes a new id; nothing was told to a broker |
//! | after it | the id | the next run of this machine has the same; a new life ends the one before |
//! | after the run was joined, before its number is written | the number of an earlier one | no worker had begun: the next start takes this run for new |

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Of a state folder, for as long as it is there.
const MACHINE: &str = "machine";
/// Of queues' memory, for as long as that is there.
const LIFE: &str = "life";
/// The run of the shared queues that the machine joined last.
const RUN: &str = "run";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub machine: String,
    pub life: String,
    folder: PathBuf,
}

impl Names {
    /// Whether the machine has been in this run before: then what its stages have written to files belongs to it. A broker whose
    /// runs were dropped numbers them anew, so `begun` tells two of a number apart.
    pub(crate) fn enter(&self, run: u64, begun: u64) -> io::Result<bool> {
        let is_known = self.last_run() == Some((run, begun));
        if self.run_of_life(false) != Some(run) || !is_known {
            write(&self.folder, RUN, &format!("{run} {begun} {}", self.life))?;
        }
        Ok(is_known)
    }

    /// The run that this life has joined. `is_any`: also one that 0.1.0 has noted, which did not write whose it was.
    pub(crate) fn run_of_life(&self, is_any: bool) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(RUN)).ok()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [run, _, life] if life == self.life => run.parse().ok(),
            [run, _] if is_any => run.parse().ok(),
            _ => None,
        }
    }

    /// The run that was joined last, and when that had begun.
    pub(crate) fn last_run(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(self.folder.join(RUN)).ok()?;
        let mut words = text.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    }
}

/// `continues`: the queues' memory is one that was there before.
pub(crate) fn names(folder: &Path, continues: bool) -> io::Result<Names> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let kept = |name| read(&folder.join(name));
    let machine = kept(MACHINE).map_or_else(|| fresh(folder, MACHINE), Ok)?;
    let life = kept(LIFE).filter(|_| continues).map_or_else(|| fresh(folder, LIFE), Ok)?;
    Ok(Names { machine, life, folder: folder.to_owned() })
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let id = text.trim();
    let is_id = id.len() == 32 && id.bytes().all(|letter| letter.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

fn fresh(folder: &Path, name: &str) -> io::Result<String> {
    let id = format!("{:032x}", fastrand::u128(..));
    write(folder, name, &id)?;
    Ok(id)
}

fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_its_id_and_its_memory_has_one_of_its_own() {
        let folder = std::env::temp_dir().join(format!("mprun-names-{:x}", fastrand::u64(..)));
        let first = names(&folder, false).unwrap();
        assert_eq!(names(&folder, true).unwrap(), first);
        let second = names(&folder, false).unwrap();
        assert!(second.machine == first.machine && second.life != first.life);
        for broken in ["", "x", "0123"] {
            fs::write(folder.join(MACHINE), broken).unwrap();
            let names = names(&folder, true).unwrap();
            assert!(names.machine != first.machine && names.life == second.life);
        }
        assert_eq!(
            (first.last_run(), first.enter(3, 9).unwrap(), first.enter(3, 9).unwrap()),
            (None, false, true)
        );
        assert_eq!((first.enter(3, 10).unwrap(), first.enter(4, 10).unwrap()), (false, false));
        assert_eq!(second.last_run(), Some((4, 10)));
        assert_eq!((first.run_of_life(false), second.run_of_life(true)), (Some(4), None));
        assert!(second.enter(4, 10).unwrap() && second.run_of_life(false) == Some(4), "the run is the same");
        fs::write(folder.join(RUN), "5 10\n").unwrap(); // as 0.1.0 wrote it
        assert_eq!((second.last_run(), second.run_of_life(false)), (Some((5, 10)), None));
        assert_eq!(second.run_of_life(true), Some(5));
        fs::remove_dir_all(folder).unwrap();
    }
}
