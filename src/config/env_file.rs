//! The file that `env_file` names: variables in the grammar of systemd's `EnvironmentFile=`.
//!
//! Three things differ, so that no mistake passes without a word: a line without `=` is a fault (systemd ignores it),
//! and so are a quote without its end and a name that no shell could read; `export ` before a name is allowed; `\r\n`
//! ends a line wherever `\n` does.

use super::diagnostic::reason;
use nix::fcntl::OFlag;
use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The largest file that is read: the kernel gives no program a larger environment.
const MAX_BYTES: u64 = 6 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Names and values, in the order of the file: of two with one name, the later holds.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// What is wrong with the text of such a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its line, 1 for the first.
    pub line: usize,
    /// What is wrong there, and what is right.
    pub why: String,
}

/// Why there are no variables.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The file can't be read.
    Unreadable { path: PathBuf, error: io::Error },
    /// Its text is wrong.
    Wrong { path: PathBuf, fault: Fault },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable { path, error } => {
                write!(f, "can't read env_file {}: {}", path.display(), reason(error))
            }
            LoadError::Wrong { path, fault: Fault { line, why } } => {
                write!(f, "{}:{line}: {why}", path.display())
            }
        }
    }
}

/// Reads the file. A named pipe or a device is refused without a wait.
pub(crate) fn load(path: &Path) -> Result<Variables, LoadError> {
    let text = read(path).map_err(|error| LoadError::Unreadable { path: path.to_owned(), error })?;
    parse(&text).map_err(|fault| LoadError::Wrong { path: path.to_owned(), fault })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is larger than 6 MiB, more than an environment holds")),
        false => Ok(text),
    }
}

/// The variables that a text says.
///
/// # Errors
/// The first fault.
pub(crate) fn parse(text: &[u8]) -> Result<Variables, Fault> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if let Some(at) = memchr::memchr(0, text) {
        let line = 1 + memchr::memchr_iter(b'\n', &text[..at]).count();
        return fault(line, "a zero byte, which no variable can hold: save the file as UTF-8");
    }
    let mut reader = Reader { text, at: 0, line: 1 };
    let mut variables = Vec::new();
    loop {
        match reader.peek() {
            None => return Ok(variables),
            Some(byte) if is_space(byte) || byte == b'\n' => drop(reader.next()),
            Some(b'#' | b';') => drop(reader.take_until(|byte| byte == b'\n')),
            Some(_) => variables.push(reader.assignment()?),
        }
    }
}

fn fault<T>(line: usize, why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { line, why: why.into() })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Where in the text it is.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    /// The bytes before the first for which `end` holds; that one is left.
    fn take_until(&mut self, end: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|byte| !end(byte)) {
            self.next();
        }
        &self.text[start..self.at]
    }

    fn assignment(&mut self) -> Result<(OsString, OsString), Fault> {
        let line = self.line;
        let name = self.take_until(|byte| byte == b'=' || byte == b'\n').trim_ascii();
        if self.peek() != Some(b'=') {
            return fault(line, "expected NAME=value, or a comment that begins with `#` or `;`");
        }
        self.next();
        let name = exported(name);
        check_name(name, line)?;
        Ok((OsString::from_vec(name.to_vec()), OsString::from_vec(self.value()?)))
    }

    /// Parts in quotes stand one after the other; what begins without a quote is the rest of the line.
    fn value(&mut self) -> Result<Vec<u8>, Fault> {
        let mut value = Vec::new();
        loop {
            match self.peek() {
                None | Some(b'\n') => return Ok(value),
                Some(b'\'') => self.single_quoted(&mut value)?,
                Some(b'"') => self.double_quoted(&mut value)?,
                Some(byte) if is_space(byte) => drop(self.next()),
                Some(_) => {
                    self.unquoted(&mut value);
                    return Ok(value);
                }
            }
        }
    }

    /// A backslash keeps what follows it, and joins lines. White space at the end is dropped, unless a backslash keeps it.
    fn unquoted(&mut self, value: &mut Vec<u8>) {
        let mut kept = value.len();
        while let Some(byte) = self.peek().filter(|byte| *byte != b'\n') {
            self.next();
            if byte != b'\\' {
                value.push(byte);
                kept = if is_space(byte) { kept } else { value.len() };
            } else if !self.line_end() {
                value.extend(self.next());
                kept = value.len();
            }
        }
        value.truncate(kept);
    }

    fn single_quoted(&mut self, value: &mut Vec<u8>) -> Result<(), Fault> {
        let line = self.line;
        self.next();
        value.extend_from_slice(self.take_until(|byte| byte == b'\''));
        match self.next() {
            Some(_) => Ok(()),
            None => fault(line, "the quote `'` that begins here has no end"),
        }
    }

    /// A backslash keeps `"`, `\`, `` ` `` and `$`, and joins lines; before anything else it is itself.
    fn double_quoted(&mut self, value: &mut Vec<u8>) -> Result<(), Fault> {
        let line = self.line;
        self.next();
        loop {
            match self.next() {
                None => return fault(line, "the quote `\"` that begins here has no end"),
                Some(b'"') => return Ok(()),
                Some(b'\\') if self.line_end() => {}
                Some(b'\\') if matches!(self.peek(), Some(b'"' | b'\\' | b'`' | b'$')) => {
                    value.extend(self.next());
                }
                Some(byte) => value.push(byte),
            }
        }
    }

    /// Takes a line end, if one is here.
    fn line_end(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let length = match rest {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => return false,
        };
        self.at += length;
        self.line += 1;
        true
    }
}

/// The name without the word `export`, with which the file could be read by a shell as well.
fn exported(name: &[u8]) -> &[u8] {
    match name.strip_prefix(b"export") {
        Some(rest) if rest.first().is_some_and(|byte| is_space(*byte)) => rest.trim_ascii_start(),
        _ => name,
    }
}

fn check_name(name: &[u8], line: usize) -> Result<(), Fault> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"_.-".contains(byte);
    let shown = String::from_utf8_lossy(name);
    match name {
        [] => fault(line, "there is no name before the `=`: expected NAME=value"),
        [b'0'..=b'9', ..] => fault(line, format!("the name `{shown}` begins with a digit")),
        _ if !name.iter().all(fits) => {
            let shown = shown.escape_debug();
            fault(line, format!("`{shown}` is no name of a variable: letters, digits and `_` are"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[u8]) -> Vec<(String, String)> {
        let word = |part: OsString| part.into_string().unwrap();
        parse(text).unwrap().into_iter().map(|(name, value)| (word(name), word(value))).collect()
    }

    /// The value of a text with one variable.
    fn value(text: &str) -> String {
        let mut all = pairs(text.as_bytes());
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0).1
    }

    #[test]
    fn each_line_is_a_variable_a_comment_or_empty() {
        let text = "\n# A=1\n  ; B=2 \\\nC=3\n\t\n  D = 4  \nexport E=5\nexported=6\nF=\n";
        let expected = [("C", "3"), ("D", "4"), ("E", "5"), ("exported", "6"), ("F", "")];
        assert_eq!(pairs(text.as_bytes()), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_byte_order_mark_and_line_ends_of_windows_are_no_part_of_anything() {
        let text = b"\xef\xbb\xbfA=1\r\nB=\"2\"\r\n\r\n# c\r\nC=3\\\r\n4\r\n";
        let expected = [("A", "1"), ("B", "2"), ("C", "34")];
        assert_eq!(pairs(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_value_without_quotes_is_the_rest_of_its_line() {
        assert_eq!(value("A=one  two # three"), "one  two # three");
        assert_eq!(value("A=a=b"), "a=b");
        assert_eq!(value("A=it's \"so\""), "it's \"so\"");
        assert_eq!(value(r"A=\'x\' \\ \$y \n"), r"'x' \ $y n");
        assert_eq!(value("A=end \\ \t"), "end  ");
        assert_eq!(value("A=one\\\n  two"), "one  two");
        assert_eq!(value("A=one\\"), "one");
    }

    #[test]
    fn quotes_hold_line_ends_and_stand_one_after_the_other() {
        assert_eq!(value("A='one\n# two' "), "one\n# two");
        assert_eq!(value(r"A='\n\'"), r"\n\");
        assert_eq!(value("A=\"one\ntwo\\\n three\""), "one\ntwo three");
        assert_eq!(value(r#"A="\"\\\`\$\n\'""#), r#""\`$\n\'"#);
        assert_eq!(value(r#"A='it'"'"'s'  " so" yes"#), "it's soyes");
        assert_eq!(value("A=''"), "");
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(parse(b"A=\xff").unwrap(), [("A".into(), OsString::from_vec(vec![0xff]))]);
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        for (text, line, why) in [
            (&b"A=1\nB 2\n"[..], 2, "expected NAME=value"),
            (b"A='\n\n'\nB", 4, "expected NAME=value"),
            (b"\n=x", 2, "no name"),
            (b"A B=x", 1, "`A B` is no name"),
            (b"\"A\"=x", 1, "is no name"),
            (b"1A=x", 1, "begins with a digit"),
            (b"A=1\nB=\"x\nC=2\n", 2, "has no end"),
            (b"A=1\nB='x\nC=2\n", 2, "has no end"),
            (b"\xff\xfeA\0=\x001\0", 1, "zero byte"),
        ] {
            let fault = parse(text).unwrap_err();
            let shown = String::from_utf8_lossy(text);
            assert_eq!(fault.line, line, "{shown}: {fault:?}");
            assert!(fault.why.contains(why), "{shown}: {fault:?}");
        }
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused_at_once() {
        let error = |path: &Path| load(path).unwrap_err().to_string();
        let folder = std::env::temp_dir().join(format!("mprun-env-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let fifo = folder.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&fifo, Path::new("/dev/zero"), &folder] {
            let expected = format!("can't read env_file {}: it is not a regular file", path.display());
            assert_eq!(error(path), expected);
        }
        let large = folder.join("large");
        std::fs::File::create(&large).unwrap().set_len(10 << 30).unwrap();
        assert!(error(&large).contains("larger than 6 MiB"));
        let wrong = folder.join("wrong");
        std::fs::write(&wrong, "A=1\nB\n").unwrap();
        assert!(error(&wrong).starts_with(&format!("{}:2: expected NAME=value", wrong.display())));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
