//! `--dry-run`: the commands of the first stage, one for each item, in as much memory as the longest item takes.
//!
//! What further stages would get is what the commands before them write: nothing is known of it.

use super::file::{Items, Line};
use crate::cli::output::{self, Failure};
use crate::config::Pipeline;
use crate::exit;
use crate::framing::{BadFrame, Decoder, Framing};
use crate::sys::start_streams;
use crate::worker::DryRun;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of the longest item, as a queue has them.
const MAX_ITEM_BYTES: u64 = 64 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Prints the commands.
pub(super) fn run(line: &Line, pipeline: &Pipeline) -> Result<u8, Failure> {
    let command = pipeline.stages.iter().find_map(|stage| stage.work.command());
    let command = command.ok_or_else(|| Failure::usage("there is no command"))?;
    let lines = DryRun::of(command, &pipeline.folder);
    let lines = lines.map_err(|error| Failure::io("read the job log", &error))?;
    let size = line.stages.first().and_then(|stage| stage.max_args).unwrap_or(1) as usize;
    if start_streams::is_output_closed() {
        return Err(Failure::io("write to standard output", &nix::errno::Errno::EBADF.into()));
    }
    let out = io::BufWriter::new(io::stdout().lock());
    let mut commands = Commands { lines, size, group: Vec::new(), gathered: 0, number: 0, out, failed: 0 };
    let ended = commands.all(line).and_then(|()| commands.end());
    match ended {
        Ok(()) => {}
        Err(Stop::Closed) => return Ok(exit::DONE),
        Err(Stop::Failed(failure)) => return Err(failure),
    }
    if line.stages.len() > 1 {
        output::say("the commands of the first stage; what further stages get is known only when they run\n");
    }
    Ok(if commands.failed > 0 { exit::DEAD_LETTERS } else { exit::DONE })
}

enum Stop {
    /// Nothing reads the output any more.
    Closed,
    Failed(Failure),
}

struct Commands<W> {
    lines: DryRun,
    /// Arguments of a command.
    size: usize,
    /// Those that are there, with a zero byte between them.
    group: Vec<u8>,
    gathered: usize,
    number: u64,
    out: W,
    failed: u64,
}

impl<W: Write> Commands<W> {
    fn all(&mut self, line: &Line) -> Result<(), Stop> {
        let framing = if line.null { Framing::Nul } else { Framing::Lines };
        let read = |action: &str, error: &io::Error| Stop::Failed(Failure::io(action, error));
        match &line.items {
            Items::List(items) => items.iter().try_for_each(|item| self.add(item)),
            Items::Stdin => self.read(framing, &mut io::stdin().lock(), "standard input"),
            Items::File(path) => {
                let shown = path.display().to_string();
                let mut file = File::open(path).map_err(|error| read(&format!("open {shown}"), &error))?;
                self.read(framing, &mut file, &shown)
            }
        }
    }

    fn read(&mut self, framing: Framing, from: &mut dyn Read, name: &str) -> Result<(), Stop> {
        let mut decoder = Decoder::new(framing, MAX_ITEM_BYTES);
        let bad = |bad: BadFrame| match bad {
            BadFrame::TooLong { .. } => {
                Stop::Failed(Failure::failed(format!("{name} has an item of more than 64 MiB")))
            }
            other => Stop::Failed(Failure::failed(format!("{name}: {other}"))),
        };
        let mut is_first = framing == Framing::Lines;
        loop {
            while let Some(item) = decoder.next().map_err(bad)? {
                let item = if is_first { item.strip_prefix(BYTE_ORDER_MARK).unwrap_or(item) } else { item };
                self.add(item)?;
                is_first = false;
            }
            // What was printed is seen while the next item is waited for.
            self.flush()?;
            match from.read(decoder.room(CHUNK_BYTES)) {
                Ok(0) => break,
                Ok(bytes) => decoder.filled(bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Failed(Failure::io(&format!("read {name}"), &error))),
            }
        }
        match decoder.last().map_err(bad)? {
            Some(item) if !(is_first && item == BYTE_ORDER_MARK) => self.add(item),
            _ => Ok(()),
        }
    }

    fn add(&mut self, item: &[u8]) -> Result<(), Stop> {
        if self.gathered > 0 {
            self.group.push(0);
        }
        self.group.extend_from_slice(item);
        self.gathered += 1;
        if self.gathered == self.size { self.print() } else { Ok(()) }
    }

    fn print(&mut self) -> Result<(), Stop> {
        let (line, number) = (self.lines.line(&self.group, self.number), self.number + 1);
        self.group.clear();
        (self.gathered, self.number) = (0, number);
        match line {
            Ok(Some(mut line)) => {
                line.push(b'\n');
                self.out.write_all(&line).map_err(stopped)
            }
            Ok(None) => Ok(()),
            Err(why) => {
                self.failed += 1;
                output::say(&format!("no command for item {number}: {why}\n"));
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), Stop> {
        if self.gathered > 0 {
            self.print()?;
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.out.flush().map_err(stopped)
    }
}

fn stopped(error: io::Error) -> Stop {
    match error.kind() {
        ErrorKind::BrokenPipe => Stop::Closed,
        _ => Stop::Failed(Failure::io("write to standard output", &error)),
    }
}
