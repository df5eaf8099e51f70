//! The file's bytes as text, or why there is none.

use crate::text::is_risky;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Source, Span, list, nearest, reason};

/// Bytes of the largest pipeline file: a larger one is some other file, given by mistake.
const MAX_BYTES: usize = 1 << 20;

/// Reads a file as text.
pub(super) fn read(path: &Path) -> Result<Arc<Source>, Diagnostic> {
    let from = Path::new("");
    let file = File::open(path).map_err(|error| unreadable(path, from, &error))?;
    not_empty(text(path, bytes(path, from, file)?)?)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<Arc<Source>, Diagnostic> {
    let name = shown(path);
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(name, error.as_bytes(), error.utf8_error().valid_up_to())),
    };
    // What editors on Windows add would only be in the way of columns and carets.
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    Ok(Arc::new(Source { name, text }))
}

fn not_empty(source: Arc<Source>) -> Result<Arc<Source>, Diagnostic> {
    match source.text.trim().is_empty() {
        true => Err(Diagnostic::error(format!("{} is empty", source.name))
            .help("`mprun init` writes a pipeline to start from")),
        false => Ok(source),
    }
}

/// Reads a file that must be a regular one: nothing else can be read a second time. It waits for none.
pub(super) fn read_again(path: &Path) -> Result<Arc<Source>, Diagnostic> {
    not_empty(read_regular(path, Path::new(""))?)
}

/// The same for a file that may be empty: another one is there to hold what a pipeline needs. Its path starts at the
/// folder `from`, as one that is proposed instead has to.
pub(super) fn read_included(path: &Path, from: &Path) -> Result<Arc<Source>, Diagnostic> {
    read_regular(path, from)
}

fn read_regular(path: &Path, from: &Path) -> Result<Arc<Source>, Diagnostic> {
    let fail = |error: std::io::Error| unreadable(path, from, &error);
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(fail)?;
    let about = file.metadata().map_err(fail)?;
    match about.is_file() || about.is_dir() {
        true => text(path, bytes(path, from, file)?),
        false => {
            Err(Diagnostic::error(format!("{} is no regular file: it can't be read again", shown(path))))
        }
    }
}

fn bytes(path: &Path, from: &Path, file: File) -> Result<Vec<u8>, Diagnostic> {
    let fail = |error: std::io::Error| unreadable(path, from, &error);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() > MAX_BYTES {
        return Err(Diagnostic::error(format!("{} is larger than 1 MiB: no pipeline file", shown(path))));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, from: &Path, error: &std::io::Error) -> Diagnostic {
    let name = shown(path);
    match error.kind() {
        ErrorKind::NotFound => match std::fs::read_link(path) {
            Ok(to) => Diagnostic::error(format!("{name} is a link to {}, which is not there", shown(&to))),
            Err(_) => {
                let near = similar_file(path).map(|near| format!("`{}`", written(&near, from)));
                Diagnostic::error(format!("there is no file {name}")).did_you_mean(near)
            }
        },
        ErrorKind::IsADirectory => folder(path, from),
        _ => Diagnostic::error(format!("failed to read {name}: {}", reason(error))),
    }
}

/// A path as it has to be written where paths start at this folder.
fn written(path: &Path, from: &Path) -> String {
    shown(path.strip_prefix(from).unwrap_or(path))
}

fn folder(path: &Path, from: &Path) -> Diagnostic {
    let inside = toml_files(path).into_iter().map(|name| written(&path.join(name), from)).collect::<Vec<_>>();
    let fault = Diagnostic::error(format!("{} is a folder, not a file", shown(path)));
    match inside.as_slice() {
        [] => fault,
        [only] => fault.did_you_mean(Some(format!("`{only}`"))),
        many => fault.help(format!("it holds {}", list(many.iter().map(String::as_str), "and"))),
    }
}

/// A file of the same folder with a name like it.
fn similar_file(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let wanted = path.file_name()?.to_string_lossy();
    let names = toml_files(folder);
    let with_ending = format!("{wanted}.toml");
    let near = names.iter().find(|name| **name == with_ending).map(String::as_str);
    let near = near.or_else(|| nearest(&wanted, names.iter().map(String::as_str)))?;
    Some(parent.join(near))
}

fn toml_files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    names
}

fn not_utf8(name: String, bytes: &[u8], at: usize) -> Diagnostic {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let line = memchr::memchr_iter(b'\n', &bytes[..at]).count() + 1;
    // What stands before `at` is valid, so the offset is the same in the text that is shown.
    let source = Arc::new(Source { name, text });
    let span = Span::new(&source, at..at + char::REPLACEMENT_CHARACTER.len_utf8());
    Diagnostic::error(format!("not UTF-8: byte {at} (line {line}) is 0x{:02x}", bytes[at]))
        .at(&span)
        .help("a pipeline file is text in UTF-8")
}

/// The path as a person reads it, without anything that a terminal would obey.
fn shown(path: &Path) -> String {
    path.display()
        .to_string()
        .chars()
        .map(|letter| if is_risky(letter) { '\u{fffd}' } else { letter })
        .collect()
}
