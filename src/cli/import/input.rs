//! The file of the other tool.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cli::output::Failure;

/// Bytes of the largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// As a comment tells where it comes from.
pub(super) fn origin(file: &Path) -> String {
    match file == Path::new("-") {
        true => "From standard input.".to_owned(),
        false => format!("From {}.", file.display()),
    }
}

/// In a message.
pub(super) fn called(file: &Path) -> String {
    match file == Path::new("-") {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    }
}

/// Its text, with plain line ends. `-` is standard input.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(format!("there is no file {}", file.display())),
        io::ErrorKind::IsADirectory => Failure::usage(format!("{} is a folder, not a file", file.display())),
        _ => Failure::io(&format!("read {}", file.display()), &error),
    };
    let mut bytes = Vec::new();
    match file == Path::new("-") {
        true => io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes),
        false => File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes)),
    }
    .map_err(failed)?;
    let name = called(file);
    if bytes.is_empty() {
        return Err(Failure::usage(format!("{name} is empty")));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!("{name} is larger than 1 MiB")));
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{name} is no text in UTF-8")))?;
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}
