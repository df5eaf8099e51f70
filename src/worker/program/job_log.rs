//! `joblog`: a row for each item that a command has ended, in the columns of GNU parallel; and which items it names already.
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | between the end of the lease and the row | no row | the item is done; a run that resumes runs its command once more |
//! | while the row is written | a torn row | it names no item; the next writer begins a line of its own |
//! | between making the file and its first line | a file without a head | readers know rows by their columns |

use crate::config::pipeline::{JobLog, Resume};
use crate::item::Shown;
use crate::stage::{Context, Failure};
use crate::sys::wait::{Exit, SignalNumber};
use crate::text;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first column of [`HEAD`], and of no row.
const FIRST: &str = "Seq\t";
const HEAD: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
/// Bytes of a row that are looked at, for its first columns: a command has no bound, and can't fill the memory.
const MAX_HEAD_BYTES: u64 = 4 << 10;
/// Numbers above this are no items of any run.
const MAX_SEQUENCE: u64 = 1 << 36;

/// The file, open.
pub(super) struct JobRows {
    file: File,
    path: String,
    done: Bitmap,
    /// What comes before the next row: the end of a torn one.
    before: &'static str,
    has_failed: Reported,
}

/// Whether it was said that rows can't be written.
#[derive(Clone, Copy, PartialEq)]
enum Reported {
    Not,
    Once,
}

/// One row.
pub(super) struct Row<'a> {
    /// From 1.
    pub sequence: u64,
    pub start: SystemTime,
    pub took: Duration,
    /// Bytes that the command has written.
    pub received: usize,
    /// `None`: it was ended, or never began.
    pub exit: Option<Exit>,
    pub command: &'a str,
}

/// Which items the log names as done, from 1: what a run of them would leave out. Writes nothing.
pub(super) fn named_as_done(log: &JobLog, folder: &Path) -> io::Result<impl Fn(u64) -> bool + use<>> {
    let rows = log.resume.map(|resume| (resume, File::open(folder.join(&log.path))));
    let done = match rows {
        Some((resume, Ok(rows))) => done(BufReader::new(rows), resume)?,
        Some((_, Err(error))) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => Bitmap::default(),
    };
    Ok(move |sequence| done.has(sequence))
}

/// Opens the file for rows, and begins one that is not there.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    match options.clone().create_new(true).open(path) {
        Ok(mut file) => file.write_all(HEAD.as_bytes()).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

/// The first line of a regular file that is no job log: rows would be lost among what it is. A torn head and a torn row are of one.
pub(crate) fn foreign_line(path: &Path) -> io::Result<Option<String>> {
    // A named pipe is not opened: it would wait for its writer.
    let file = match fs::metadata(path) {
        Ok(about) if about.is_file() => File::open(path)?,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut line = Vec::new();
    BufReader::new(file).take(MAX_HEAD_BYTES).read_until(b'\n', &mut line)?;
    Ok((!is_of_job_log(&line)).then(|| Shown(line.trim_ascii_end()).to_string()))
}

fn is_of_job_log(line: &[u8]) -> bool {
    let number = line.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_row = number > 0 && line.trim_ascii_start().get(number).is_none_or(|byte| *byte == b'\t');
    line.starts_with(FIRST.as_bytes()) || FIRST.as_bytes().starts_with(line) || is_row
}

impl JobRows {
    /// Opens the file, and reads which items are done.
    pub(super) fn open(log: &JobLog, context: &Context) -> Result<JobRows, Failure> {
        let path = context.path(&log.path);
        let shown = path.display().to_string();
        let failed = |error: io::Error| Failure::fatal(format!("the job log {shown}: {error}"));
        if let Some(line) = foreign_line(&path).map_err(failed)? {
            let why = format!(
                "the job log {shown}: no job log, its first line is `{line}`; give it a file of its own"
            );
            return Err(Failure::fatal(why));
        }
        let mut file = open(&path).map_err(failed)?;
        let done = match log.resume {
            Some(resume) => done(BufReader::new(&file), resume).map_err(failed)?,
            None => Bitmap::default(),
        };
        let before = if ends_line(&mut file).map_err(failed)? { "" } else { "\n" };
        Ok(JobRows { file, path: shown, done, before, has_failed: Reported::Not })
    }

    /// Whether an earlier run has ended this item, from 1, so that it is not to be run again.
    pub(super) fn is_done(&self, sequence: u64) -> bool {
        self.done.has(sequence)
    }

    /// Adds a row. That it can't be written is no reason not to go on.
    pub(super) fn add(&mut self, row: &Row<'_>) {
        let line = format!("{}{}", std::mem::take(&mut self.before), line(row));
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.before = "\n";
            if self.has_failed == Reported::Not {
                log::warn!(
                    "the job log {} can't be written: {error}; what it lacks runs again if it is resumed",
                    self.path
                );
            }
            self.has_failed = Reported::Once;
        }
    }
}

fn line(row: &Row<'_>) -> String {
    let (code, signal) = match row.exit {
        Some(Exit::Code(code)) => (code, 0),
        Some(Exit::Signal(SignalNumber(signal))) => (0, signal),
        None => (-1, libc::SIGTERM),
    };
    let start = row.start.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!(
        "{}\t:\t{:.3}\t{:10.3}\t0\t{}\t{code}\t{signal}\t{}\n",
        row.sequence,
        start.as_secs_f64(),
        row.took.as_secs_f64(),
        row.received,
        text::one_line(&row.command.replace('\t', " ")),
    )
}

fn ends_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The items that rows say are done; a later row of an item says more than an earlier one.
fn done(mut rows: impl BufRead, resume: Resume) -> io::Result<Bitmap> {
    let (mut done, mut row) = (Bitmap::default(), Vec::new());
    loop {
        row.clear();
        if rows.by_ref().take(MAX_HEAD_BYTES).read_until(b'\n', &mut row)? == 0 {
            return Ok(done);
        }
        let is_whole = row.ends_with(b"\n") || skip_line(&mut rows)?;
        if let Some((sequence, is_good)) = read(&row).filter(|_| is_whole) {
            done.set(sequence, is_good || resume == Resume::Done);
        }
    }
}

/// Reads the rest of a line away. Whether it has an end: else it is torn.
fn skip_line(rows: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = rows.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (taken, is_over) = (end.map_or(bytes.len(), |end| end + 1), end.is_some() || bytes.is_empty());
        rows.consume(taken);
        if is_over {
            return Ok(end.is_some());
        }
    }
}

/// The item of a whole row, and whether its command has succeeded.
fn read(row: &[u8]) -> Option<(u64, bool)> {
    let columns: Vec<&str> =
        row.splitn(9, |byte| *byte == b'\t').take(8).map_while(|c| str::from_utf8(c).ok()).collect();
    let [sequence, _, _, _, _, _, code, signal] = columns[..] else { return None };
    let (code, signal): (i64, i64) = (code.trim().parse().ok()?, signal.trim().parse().ok()?);
    let sequence = sequence.trim().parse().ok().filter(|number| (1..MAX_SEQUENCE).contains(number))?;
    Some((sequence, code == 0 && signal == 0))
}

/// A set of numbers, most of which follow each other.
#[derive(Default)]
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn place(number: u64) -> (usize, u64) {
        (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = Bitmap::place(number);
        self.0.get(word).is_some_and(|found| found & bit != 0)
    }

    fn set(&mut self, number: u64, is_in: bool) {
        let (word, bit) = Bitmap::place(number);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if is_in {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n\
        1\t:\t1795924915.413\t     0.049\t0\t2\t0\t0\techo a\n\
        3\t:\t1795924915.413\t     0.049\t0\t2\t3\t0\tfalse\t\t\n\
        4\t:\t1.0\t 1\t0\t2\t0\t9\tx\n\
        5\t:\t1.0\t 1\t0\t2\t1\t0\tx\n\
        5\t:\t1.0\t 1\t0\t2\t0\t0\tx\n\
        6\t:\t1.0\t 1\t0\n\
        99999999999999\t:\t1.0\t 1\t0\t2\t0\t0\tx\n\
        7\t:\t1.0\t 1\t0\t2\t0\t0\ttorn";

    #[test]
    fn rows_of_parallel_say_what_is_done() {
        let of = |resume| {
            let done = done(ROWS.as_bytes(), resume).unwrap();
            (0..9).filter(|number| done.has(*number)).collect::<Vec<_>>()
        };
        assert_eq!(of(Resume::Done), [1, 3, 4, 5]);
        assert_eq!(of(Resume::Failed), [1, 5]);
    }

    #[test]
    fn a_row_of_any_length_says_what_is_done_and_a_torn_one_does_not() {
        let long = "x".repeat(3 << 20);
        let rows = format!("1\t:\t1.0\t 1\t0\t2\t0\t0\techo {long}\n2\t:\t1.0\t 1\t0\t2\t0\t0\techo {long}");
        let done = done(BufReader::new(rows.as_bytes()), Resume::Done).unwrap();
        assert_eq!((0..9).filter(|number| done.has(*number)).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_head_and_rows_whole_or_torn_are_of_a_job_log_and_nothing_else_is() {
        for line in [HEAD, "", "Se", "Seq\tHost", "12\t:\t1.0\t 1\t0\t2\t0\t0\tx\n", "12\t:", "12", "Seq\n"] {
            assert_eq!(is_of_job_log(line.as_bytes()), line != "Seq\n", "{line:?}");
        }
        for line in ["hello\n", "\n", "1,2\n", "17\n", "Sequence\n", "\t1\n", "a\t1\n", "{}\n"] {
            assert!(!is_of_job_log(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn a_row_that_is_written_is_read_back() {
        let row = |exit| Row {
            sequence: 12,
            start: UNIX_EPOCH + Duration::from_millis(1500),
            took: Duration::from_millis(49),
            received: 2,
            exit,
            command: "echo 'a\tb\nc'",
        };
        let good = line(&row(Some(Exit::Code(0))));
        assert_eq!(good, "12\t:\t1.500\t     0.049\t0\t2\t0\t0\techo 'a b\\nc'\n");
        assert_eq!(read(good.as_bytes()), Some((12, true)));
        for exit in [None, Some(Exit::Code(1)), Some(Exit::Signal(SignalNumber(9)))] {
            assert_eq!(read(line(&row(exit)).as_bytes()), Some((12, false)));
        }
    }
}
