//! What travels through the log pipe: lines of text as they are, and records that are not for standard error as text.
//!
//! The pipe is the workers' standard error, too, so text that some library prints there must pass. A record begins with
//! a byte that no line of the log holds (control characters are escaped in it), a kind, and its length in four
//! hexadecimal digits. All of it is one write of at most [`PIPE_BUF`] bytes, which a pipe keeps together beside other
//! writers and through any kill. Everything is UTF-8, so that records fit into the JSON of an upgrade.

use super::file::LogFile;

/// A pipe keeps a write of up to this many bytes together.
pub(super) const PIPE_BUF: usize = libc::PIPE_BUF;

const MARK: u8 = 0x01;
const HEADER: usize = 6;
/// Text without a line end is passed on at this length.
const LONGEST_TEXT: usize = 64 * 1024;

/// Lines of text for standard error, ready for the pipe: as many whole ones in a piece as it keeps together.
pub(super) fn texts(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(char_boundary(rest, PIPE_BUF));
            match pieces.last_mut() {
                Some(last) if last.len() + piece.len() <= PIPE_BUF => last.push_str(piece),
                _ => pieces.push(piece.to_owned()),
            }
            rest = after;
        }
    }
    pieces
}

/// An entry for the journal.
pub(super) fn entry(entry: &str) -> String {
    record('J', entry)
}

/// A line for a log file. `None`: the file's path is so long that nothing fits beside it.
pub(super) fn line(file: &str, line: &str) -> Option<String> {
    let room = PIPE_BUF.checked_sub(HEADER + file.len() + 1)?.checked_sub(64)?;
    let line = match line.len() <= room {
        true => line.to_owned(),
        false => one_line(line, room - '…'.len_utf8() - 1) + "\n",
    };
    Some(record('F', &format!("{file}\0{line}")))
}

/// The number of lines that did not fit into the pipe.
pub(super) fn lost(lines: u64) -> String {
    record('L', &lines.to_string())
}

/// The text on one line, cut if it has more bytes than `longest`.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let mut line = crate::text::one_line(text.trim_end()).into_owned();
    if line.len() > longest {
        line.truncate(char_boundary(&line, longest));
        line.push('…');
    }
    line
}

/// The end of the last whole character within the first `bytes`.
fn char_boundary(text: &str, bytes: usize) -> usize {
    (0..=text.len().min(bytes)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0)
}

/// How a log file is named in a record.
pub(super) fn file_name(file: &LogFile) -> String {
    // Only a path that is not UTF-8 has no JSON: such a file can't be in a pipeline file, which is UTF-8.
    serde_json::to_string(file).unwrap_or_default()
}

fn record(kind: char, payload: &str) -> String {
    format!("\u{1}{kind}{:04x}{payload}", payload.len())
}

/// What comes out of the pipe.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// For standard error, as it is.
    Text(Vec<u8>),
    /// For the journal.
    Entry(Vec<u8>),
    /// For the file that the JSON names.
    Line { file: Vec<u8>, line: Vec<u8> },
    /// How many lines did not fit into the pipe.
    Lost(u64),
}

/// Takes what was read of the pipe apart, whole pieces only; the rest stays in `bytes`. At the end of the pipe nothing
/// stays.
pub(super) fn take_apart(bytes: &mut Vec<u8>, at_end: bool) -> Vec<Received> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match parse(rest) {
            Parsed::Record(received, length) => {
                all.push(received);
                at += length;
            }
            Parsed::Partial if !at_end => break,
            Parsed::Partial | Parsed::Text => {
                let length = text_length(rest, at_end);
                if length == 0 {
                    break;
                }
                push_text(&mut all, &rest[..length], rest.get(length).is_some());
                at += length;
            }
        }
    }
    bytes.drain(..at);
    all
}

enum Parsed {
    Record(Received, usize),
    /// The beginning of a record.
    Partial,
    Text,
}

fn parse(bytes: &[u8]) -> Parsed {
    if bytes[0] != MARK {
        return Parsed::Text;
    }
    let Some(header) = bytes.get(..HEADER) else { return Parsed::Partial };
    let digits = std::str::from_utf8(&header[2..]).ok();
    let Some(length) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else {
        return Parsed::Text; // no record of ours
    };
    let Some(payload) = bytes.get(HEADER..HEADER + length) else {
        return if length <= PIPE_BUF { Parsed::Partial } else { Parsed::Text };
    };
    let received = match (header[1], memchr::memchr(0, payload)) {
        (b'J', _) => Received::Entry(payload.to_vec()),
        (b'F', Some(end)) => {
            Received::Line { file: payload[..end].to_vec(), line: payload[end + 1..].to_vec() }
        }
        (b'L', _) => match std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()) {
            Some(lines) => Received::Lost(lines),
            None => return Parsed::Text,
        },
        _ => return Parsed::Text,
    };
    Parsed::Record(received, HEADER + length)
}

/// Up to the next record, and of the last line only what has its end.
fn text_length(bytes: &[u8], at_end: bool) -> usize {
    if let Some(next) = memchr::memchr(MARK, &bytes[1..]) {
        return next + 1;
    }
    if at_end || bytes.len() >= LONGEST_TEXT {
        return bytes.len();
    }
    memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1)
}

/// Text that a record or the end cuts off becomes a line.
fn push_text(all: &mut Vec<Received>, text: &[u8], is_followed: bool) {
    let mut text = text.to_vec();
    if !text.ends_with(b"\n") && (is_followed || text.len() < LONGEST_TEXT) {
        text.push(b'\n');
    }
    match all.last_mut() {
        Some(Received::Text(before)) => before.extend(text),
        _ => all.push(Received::Text(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Received {
        Received::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn a_message_is_one_line_that_a_pipe_keeps_together() {
        assert_eq!(one_line("a\nb\r\n", 100), "a\\nb");
        let long = one_line(&"ä".repeat(5000), 1001);
        assert_eq!(long.len(), 1000 + '…'.len_utf8());
    }

    #[test]
    fn records_and_printed_text_are_told_apart_at_any_cut() {
        let file = r#"{"path":"/log"}"#;
        let sent = [
            "one\n",
            &entry("E=1\n"),
            "two\n",
            &line(file, "l\n").unwrap(),
            "half",
            &entry("E=2\n"),
            &lost(12),
        ];
        let sent = sent.concat();
        let expected = [
            text("one\n"),
            Received::Entry(b"E=1\n".to_vec()),
            text("two\n"),
            Received::Line { file: file.into(), line: b"l\n".to_vec() },
            text("half\n"),
            Received::Entry(b"E=2\n".to_vec()),
            Received::Lost(12),
        ];
        for cut in 0..=sent.len() {
            let mut bytes = sent.as_bytes()[..cut].to_vec();
            let mut all = take_apart(&mut bytes, false);
            bytes.extend(&sent.as_bytes()[cut..]);
            all.extend(take_apart(&mut bytes, true));
            assert_eq!(all, expected, "cut at {cut}");
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn a_killed_writer_s_half_line_and_stray_marks_become_lines() {
        let mut bytes = b"half a li\x01Jzz".to_vec();
        assert_eq!(take_apart(&mut bytes, true), [text("half a li\n\u{1}Jzz\n")]);
        let mut bytes = b"\x01Q0001x\n".to_vec();
        assert_eq!(take_apart(&mut bytes, false), [text("\u{1}Q0001x\n")]);
    }

    #[test]
    fn no_piece_is_longer_than_a_pipe_keeps_together() {
        let long = "ä".repeat(5000) + "\n";
        let pieces = texts(&format!("a\nb\n{long}c\n"));
        assert!(pieces.iter().all(|piece| piece.len() <= PIPE_BUF));
        assert_eq!(pieces.concat(), format!("a\nb\n{long}c\n"));
        let line = line(r#"{"path":"/log"}"#, &long).unwrap();
        assert!(line.len() <= PIPE_BUF && line.ends_with("…\n"), "{}", line.len());
        assert_eq!(super::line(&"p".repeat(4090), "x\n"), None);
    }
}
