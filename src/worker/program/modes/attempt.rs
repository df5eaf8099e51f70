//! One attempt of `mode = "each"`: a program, from its input to its outputs.

use crate::config::pipeline::{Collect, Framing};
use crate::framing::{BadFrame, Decoder, encode};
use crate::queue::Ending;
use crate::stage::Failure;
use crate::sys::readiness;
use crate::worker::context::WorkerContext;
use crate::worker::program::arguments::ProgramItem;
use crate::worker::program::conversation::{Event, Manner, Outcome};
use crate::worker::program::error::ProgramError;
use crate::worker::program::io::outputs::Outputs;
use crate::worker::program::io::session::{TurnRequest, WriteBuffers};
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::run::{Mode, ProgramRun};
use crate::worker::program::spec::{CommandSpec, NotStarted};
use crate::worker::program::spill;
use crate::worker::stop::Stop;
use std::borrow::Cow;

/// The result of the leases, in that of the worker.
pub(crate) type Attempted<E> = Result<Result<(), E>, Stop>;

/// What all attempts of a worker have in common, and the memory that they use anew.
pub(crate) struct Attempts {
    pub spec: CommandSpec,
    pub in_framing: Framing,
    pub out_framing: Framing,
    pub collect: Collect,
    pub tag: Tag,
    /// Items at once, each framed; `None`: one, as it is.
    pub batch: Option<u32>,
    pub stderr: StderrRelay,
    /// What the program gets on its standard input.
    pub input: Vec<u8>,
    pub outputs: Outputs,
}

/// `tag`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tag {
    None,
    /// Before each line.
    Item,
}

impl Attempts {
    /// Runs the program on the first `size` leases.
    pub(super) fn run(&mut self, worker: &mut WorkerContext, size: usize) -> Attempted<ProgramError> {
        if let Err(error) = self.frame(worker, size)? {
            return Ok(Err(error));
        }
        let first = worker.queues.item(0)?;
        let item = ProgramItem { bytes: first.bytes, attempt: first.attempt, id: first.id };
        let mut session = match self.spec.start(Some(item), worker.queues.program()) {
            Ok(session) => session,
            Err(NotStarted::Item(error)) => return Ok(Err(error)),
            Err(never) => return Err(never.stop(worker)),
        };
        if self.input.is_empty() {
            session.close_input();
        }
        let max_item = worker.queues.max_item(&worker.outputs)?;
        let max_bytes = worker.queues.max_bytes(&worker.outputs)?;
        let decoder = Decoder::new(self.out_framing, max_item);
        let tag = (self.tag == Tag::Item)
            .then(|| tag_of(worker.queues.item(0).map_or(&b""[..], |lease| lease.bytes)));
        let outputs = Collector {
            collect: self.collect,
            tag,
            decoder,
            outputs: &mut self.outputs,
            max_item,
            max_bytes,
        };
        let mut attempt = Attempt { input: &self.input, outputs };
        let mut run = ProgramRun::new(worker, &mut self.stderr, session, Manner::Each);
        run.apply(Event::Begun);
        run.converse(&mut attempt)?;
        Ok(match (run.conversation.outcome(), run.session.exit()) {
            _ if readiness::is_terminated() => return Err(Stop(Ending::Ordered)),
            (Some(Outcome::Failed(error)), _) => Err(error.clone()),
            (_, Some(exit)) if self.spec.is_success(exit) => Ok(()),
            (_, Some(exit)) => Err(ProgramError::Ended(exit)),
            // A program is over only with an exit.
            (_, None) => return Err(Failure::fatal("the program's end is unknown").into()),
        })
    }

    /// Publishes the outputs of the first `size` leases and ends them. What was collected as a whole is no line, so standard output gets no line end
    /// that the program has not written.
    pub(super) fn publish(&self, worker: &mut WorkerContext, size: usize) -> Result<(), Stop> {
        let outputs = self.outputs.all();
        let is_raw = self.collect == Collect::Whole && worker.outputs.is_empty();
        if !is_raw {
            return spill::publish(worker, outputs, size);
        }
        worker.console.begin_item();
        outputs.iter().try_for_each(|output| worker.console.put_as_it_is(output))?;
        worker.commit(size)
    }

    fn frame(&mut self, worker: &WorkerContext, size: usize) -> Attempted<ProgramError> {
        self.input.clear();
        for i in (0..size).filter(|_| self.spec.reads) {
            let bytes = worker.queues.item(i)?.bytes;
            if self.batch.is_none() {
                self.input.extend_from_slice(bytes);
            } else if let Err(why) = encode(self.in_framing, bytes, &mut self.input) {
                return Ok(Err(ProgramError::NotEncodable(why)));
            }
        }
        Ok(Ok(()))
    }
}

struct Attempt<'a> {
    /// What is still to be written.
    input: &'a [u8],
    outputs: Collector<'a>,
}

impl Mode for Attempt<'_> {
    /// An attempt has the settings of its start.
    fn read_orders(&mut self, _worker: &mut WorkerContext) {}

    fn round(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        let into = Some(&mut self.outputs.decoder);
        let turn = run.turn(
            None,
            TurnRequest { out: WriteBuffers::from(self.input), into, ..TurnRequest::default() },
        )?;
        self.input = &self.input[turn.written..];
        if self.input.is_empty() {
            run.session.close_input();
        }
        match run.conversation.outcome() {
            // What was written in time may count as that of any failed attempt.
            None | Some(Outcome::Unasked { .. } | Outcome::Failed(ProgramError::TimedOut(_))) => {
                if let Err(error) = self.outputs.take(run.session.is_drained()) {
                    self.outputs.decoder.forget(usize::MAX);
                    run.apply(Event::Failed(error));
                }
            }
            // What follows is of no use; but the pipe must not hold up the end.
            Some(_) => self.outputs.decoder.forget(usize::MAX),
        }
        Ok(())
    }
}

/// Outputs on their way out of what was read.
struct Collector<'a> {
    collect: Collect,
    tag: Option<Vec<u8>>,
    decoder: Decoder,
    outputs: &'a mut Outputs,
    max_item: u64,
    max_bytes: u64,
}

impl Collector<'_> {
    fn take(&mut self, is_over: bool) -> Result<(), ProgramError> {
        match self.collect {
            Collect::Whole if self.decoder.pending() as u64 > self.max_item => {
                let (least, most) = (self.decoder.pending() as u64, self.max_item);
                return Err(ProgramError::BadFrame(BadFrame::TooLong { least, most }));
            }
            Collect::Whole if is_over => {
                let whole = tagged(self.tag.as_deref(), self.decoder.rest());
                if whole.len() as u64 > self.max_item {
                    let (least, most) = (whole.len() as u64, self.max_item);
                    return Err(ProgramError::BadFrame(BadFrame::TooLong { least, most }));
                }
                self.outputs.push(&whole);
                self.decoder.forget(usize::MAX);
            }
            Collect::Whole => {}
            Collect::Lines => {
                let tag = self.tag.as_deref();
                while let Some(item) = self.decoder.next().map_err(ProgramError::BadFrame)? {
                    self.outputs.push(&tagged(tag, item));
                }
                if is_over && let Some(item) = self.decoder.last().map_err(ProgramError::BadFrame)? {
                    self.outputs.push(&tagged(tag, item));
                }
            }
        }
        match self.outputs.size() as u64 > self.max_bytes {
            true => Err(ProgramError::TooMuchOutput(self.max_bytes)),
            false => Ok(()),
        }
    }
}

/// What stands before each line of an item: its arguments, with spaces between them, and a tab.
fn tag_of(item: &[u8]) -> Vec<u8> {
    let mut tag: Vec<u8> = item.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
    tag.push(b'\t');
    tag
}

fn tagged<'a>(tag: Option<&[u8]>, lines: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(tag) = tag else { return Cow::Borrowed(lines) };
    let mut tagged = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        tagged.extend_from_slice(tag);
        tagged.extend_from_slice(line);
    }
    // An empty line of a stage's output is a line.
    if lines.is_empty() { Cow::Borrowed(lines) } else { Cow::Owned(tagged) }
}
