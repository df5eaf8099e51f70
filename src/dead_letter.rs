//! Dead letters: items that were tried `attempts` times and never went through, one JSON line each in
//! `dead.jsonl` in the pipeline's state folder. Workers write them, and the supervisor on behalf of a killed worker.
#![forbid(unsafe_code)]

mod letters;

use data_encoding::BASE64;
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use letters::{Letter, cross_out, read};

/// One item that never went through, and what is known of it.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// The item itself.
    pub item: &'a [u8],
    /// The stage that it killed, or that failed on it.
    pub stage: &'a str,
    /// The worker that had it last.
    pub worker: u32,
    /// The queue it was taken from.
    pub queue: &'a str,
    /// Its number in that queue.
    pub id: u64,
    /// How many times it was tried.
    pub attempts: u32,
    /// What happened the last time.
    pub cause: Cause,
    /// The last lines that its program wrote to standard error.
    pub stderr: &'a [String],
    /// When it was given up.
    pub time: SystemTime,
    /// The run of the pipeline it happened in.
    pub run: &'a str,
}

/// Why the last try of an item failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The worker was killed by this signal while it had the item.
    Signal(String),
    /// The worker ended with this code while it had the item.
    ExitCode(i32),
    /// The stage failed on it and said why.
    Error(String),
    /// It took longer than `item_timeout`.
    TimedOut,
    /// It was too long to become an item: the letter holds its beginning, and no queue has seen it.
    TooLong {
        /// Where it was read.
        file: String,
        /// Bytes before it.
        offset: u64,
        /// Its bytes.
        length: u64,
        /// The most that it could have had.
        max_item: u64,
    },
}

/// What a line of the file holds, in this order.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    run: &'a str,
    stage: &'a str,
    worker: u32,
    queue: &'a str,
    id: u64,
    attempts: u32,
    cause: &'a Cause,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stderr: &'a [String],
    encoding: &'static str,
    item: std::borrow::Cow<'a, str>,
}

impl DeadLetter<'_> {
    /// Text as it is, anything else as base64: `encoding` says which.
    fn line(&self) -> io::Result<Vec<u8>> {
        let (encoding, item) = match std::str::from_utf8(self.item) {
            Ok(text) => ("utf-8", text.into()),
            Err(_) => ("base64", BASE64.encode(self.item).into()),
        };
        let mut line = serde_json::to_vec(&Line {
            time: humantime::format_rfc3339_millis(self.time).to_string(),
            run: self.run,
            stage: self.stage,
            worker: self.worker,
            queue: self.queue,
            id: self.id,
            attempts: self.attempts,
            cause: &self.cause,
            stderr: self.stderr,
            encoding,
            item,
        })?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Appends one dead letter; the file and its folders (mode 0700) are made when they are not there yet.
///
/// Once this returns, the whole line is in the file, and if `safe`, on the disk. After an error nothing of it is, so the
/// item can go back.
pub fn append(path: &Path, letter: &DeadLetter<'_>, safe: bool) -> io::Result<()> {
    let line = letter.line()?;
    let describe = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut file = locked(path).map_err(describe)?;
    let before = file.seek(SeekFrom::End(0)).map_err(describe)?;
    write_line(&mut file, before, line)
        .and_then(|()| if safe { sync(&file, path) } else { Ok(()) })
        .map_err(describe)
}

/// The file, and its name: whoever ends the item after this must not have lost it in a power cut.
fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn locked(path: &Path) -> io::Result<Flock<File>> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// One write, so that a process that is killed here leaves all of the line or none of it (or, on a disk that fills up
/// in the middle, a torn one, which the next writer ends).
fn write_line(file: &mut File, before: u64, mut line: Vec<u8>) -> io::Result<()> {
    if torn(file, before)? {
        line.insert(0, b'\n');
    }
    let result = file.write_all(&line);
    if result.is_err() {
        // Half a line would make the item look buried, and spoil the next one.
        file.set_len(before)?;
    }
    result
}

/// Whether the last line has no end: its writer was killed in the middle.
fn torn(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Where the dead letters of the pipeline `name` go: `$STATE_DIRECTORY` (set by systemd), else `$XDG_STATE_HOME/mprun`,
/// else `~/.local/state/mprun`; then `name/dead.jsonl`. `variable` looks up the environment.
pub fn path(name: &str, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    state_folder(variable).join(name).join("dead.jsonl")
}

/// The pipelines that have dead letters, by the folders of their files.
pub fn pipelines(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let entries = std::fs::read_dir(state_folder(variable)).into_iter().flatten().filter_map(Result::ok);
    let with_file = entries.filter(|entry| entry.path().join("dead.jsonl").exists());
    let mut names: Vec<String> = with_file.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn state_folder(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd separates several with colons: the first is the unit's main one.
    if let Some(first) = variable("STATE_DIRECTORY").as_deref().and_then(|all| all.split(':').next())
        && Path::new(first).is_absolute()
    {
        return PathBuf::from(first);
    }
    if let Some(folder) = absolute("XDG_STATE_HOME") {
        return folder.join("mprun");
    }
    absolute("HOME").or_else(home_of_user).unwrap_or_else(|| PathBuf::from("/")).join(".local/state/mprun")
}

/// A service without `HOME` still has a user.
fn home_of_user() -> Option<PathBuf> {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten().map(|user| user.dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("mprun-dead-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn letter(item: &[u8]) -> DeadLetter<'_> {
        DeadLetter {
            item,
            stage: "parse",
            worker: 1,
            queue: "lines",
            id: 42,
            attempts: 3,
            cause: Cause::Signal("SIGSEGV".into()),
            stderr: &[],
            time: SystemTime::UNIX_EPOCH,
            run: "abc",
        }
    }

    #[test]
    fn text_is_kept_as_text_and_bytes_as_base64() {
        let folder = Folder::new("kinds");
        let path = folder.0.join("deep/dead.jsonl");
        append(&path, &letter(b"a \"b\"\n"), false).unwrap();
        append(&path, &letter(b"\xff\x00"), false).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000Z","run":"abc","stage":"parse","worker":1,"queue":"lines","id":42,"#,
                r#""attempts":3,"cause":{"signal":"SIGSEGV"},"encoding":"utf-8","item":"a \"b\"\n"}"#,
                "\n",
                r#"{"time":"1970-01-01T00:00:00.000Z","run":"abc","stage":"parse","worker":1,"queue":"lines","id":42,"#,
                r#""attempts":3,"cause":{"signal":"SIGSEGV"},"encoding":"base64","item":"/wA="}"#,
                "\n",
            )
        );
        let mode = fs::metadata(folder.0.join("deep")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_torn_line_does_not_spoil_the_next() {
        let folder = Folder::new("torn");
        fs::create_dir_all(&folder.0).unwrap();
        let path = folder.0.join("dead.jsonl");
        fs::write(&path, "{\"torn").unwrap();
        append(&path, &letter(b"x"), false).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("{\"torn\n{\"time\""));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
        let error = append(Path::new("/proc/nothing/here/dead.jsonl"), &letter(b"x"), false).unwrap_err();
        assert!(error.to_string().contains("/proc/nothing/here/dead.jsonl"), "{error}");
    }

    #[test]
    fn the_state_folder_is_the_services_then_the_users() {
        let with = |pairs: &'static [(&str, &str)]| {
            path("p", |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string()))
        };
        assert_eq!(
            with(&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("HOME", "/h")]),
            Path::new("/var/lib/a/p/dead.jsonl")
        );
        assert_eq!(with(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Path::new("/s/mprun/p/dead.jsonl"));
        assert_eq!(
            with(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Path::new("/h/.local/state/mprun/p/dead.jsonl")
        );
    }
}
