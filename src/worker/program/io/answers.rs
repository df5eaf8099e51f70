//! What a program answers: from its bytes to whole answers, in the order of the items.

use crate::config::pipeline::{Framing, Reply};
use crate::framing::{BadFrame, Decoder};
use crate::worker::program::error::ProgramError;
use crate::worker::program::io::helper_protocol::{Frame, ProtocolReader};
use crate::worker::program::io::outputs::{OutputSlice, Outputs};
use crate::worker::program::io::session::Session;
use crate::worker::program::spec::CommandSpec;
use std::collections::VecDeque;

/// Outputs that go out together, at most, when an answer may have several.
const TOGETHER_OUTPUTS: usize = 128;

pub(crate) struct Answers {
    reply: Reply,
    pub decoder: Decoder,
    reader: ProtocolReader,
    /// Bytes of one output.
    most: u64,
    whole: VecDeque<Answer>,
    /// Outputs of the whole answers, then those of the one that is coming.
    outputs: Outputs,
    /// Of these, outputs of whole answers: how many, and their bytes.
    settled: (usize, usize),
    /// Why the answer that is coming is a failure already.
    failure: Option<ProgramError>,
    /// Bytes of its outputs that were left out.
    left_out: u64,
}

/// How far the program is with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputState {
    /// More may come, or the exit of the program is not known yet.
    Open,
    /// It has ended, and the program well: what has no end is the last answer.
    Whole,
    /// It was cut off where the program died: what has no end is half an answer.
    Torn,
}

/// How far the output of a program is read.
pub(crate) fn output_of(session: &Session, spec: &CommandSpec) -> OutputState {
    match session.exit() {
        _ if session.gives_output() => OutputState::Open,
        None => OutputState::Open,
        Some(exit) if spec.is_success(exit) => OutputState::Whole,
        Some(_) => OutputState::Torn,
    }
}

/// A whole answer.
struct Answer {
    outputs: usize,
    bytes: usize,
    failure: Option<ProgramError>,
}

/// The first answers, as far as they can be dealt with in one step.
pub(crate) enum Answered<'a> {
    /// The first answers, and their outputs.
    Good { answers: usize, outputs: OutputSlice<'a> },
    /// One failure.
    Failure(ProgramError),
}

impl Answers {
    /// `most`: bytes of one output.
    pub(crate) fn new(reply: Reply, framing: Framing, most: u64) -> Answers {
        let decoder = match reply {
            Reply::Protocol => ProtocolReader::decoder(most),
            Reply::One | Reply::UntilEmpty => Decoder::new(framing, most),
        };
        Answers {
            reply,
            decoder,
            reader: ProtocolReader::new(most),
            most,
            whole: VecDeque::new(),
            outputs: Outputs::default(),
            settled: (0, 0),
            failure: None,
            left_out: 0,
        }
    }

    pub(crate) fn reply(&self) -> Reply {
        self.reply
    }

    /// Whether the program has asked for the items' numbers.
    pub(crate) fn wants_numbers(&self) -> bool {
        self.reader.wants_numbers()
    }

    /// With nothing to answer: whether the program has said more than a greeting.
    pub(crate) fn is_unasked(&mut self) -> Result<bool, ProgramError> {
        match self.reply {
            Reply::Protocol => {
                Ok(self.reader.greet(&mut self.decoder)?
                    && self.reader.next(&mut self.decoder).map(|_| true)?)
            }
            Reply::One | Reply::UntilEmpty => Ok(self.decoder.pending() > 0),
        }
    }

    /// Whole answers.
    pub(crate) fn len(&self) -> usize {
        self.whole.len()
    }

    /// Takes whole answers out of what was read, for `asked` items. `most_in_all`: bytes of one answer's outputs.
    /// An error is about the first item that has no answer then.
    pub(crate) fn read(
        &mut self,
        asked: usize,
        output: OutputState,
        most_in_all: u64,
    ) -> Result<(), ProgramError> {
        while self.whole.len() < asked {
            if !self.read_one(output)? {
                return Ok(());
            }
            if (self.outputs.size() - self.settled.1) as u64 + self.left_out > most_in_all {
                return Err(ProgramError::TooMuchOutput(most_in_all));
            }
        }
        // What comes with the last answer, and belongs to nothing, spoils that answer.
        if self.decoder.pending() > 0
            && let Some(last) = self.whole.pop_back()
        {
            self.settled = (self.settled.0 - last.outputs, self.settled.1 - last.bytes);
            self.outputs.truncate(self.settled.1, self.settled.0);
            return Err(if self.reply == Reply::One {
                ProgramError::AnsweredTwice
            } else {
                ProgramError::OutputAfterEnd
            });
        }
        Ok(())
    }

    /// One step. False: more has to be read first.
    fn read_one(&mut self, output: OutputState) -> Result<bool, ProgramError> {
        if self.reply == Reply::Protocol {
            return self.read_frame(output);
        }
        let next = match self.decoder.next().map_err(ProgramError::BadFrame)? {
            Some(item) => Some(item),
            None if output == OutputState::Whole => self.decoder.last().map_err(ProgramError::BadFrame)?,
            None => None,
        };
        let Some(item) = next else { return Ok(false) };
        let is_end = self.reply == Reply::UntilEmpty && item.is_empty();
        if !is_end {
            self.outputs.push(item);
        }
        if is_end || self.reply == Reply::One {
            self.complete(None);
        }
        Ok(true)
    }

    fn read_frame(&mut self, output: OutputState) -> Result<bool, ProgramError> {
        let is_between = self.decoder.pending() == 0;
        match self.reader.next(&mut self.decoder)? {
            Some(Frame::Output(output)) if self.failure.is_none() => self.outputs.push(output),
            Some(Frame::Output(output)) => self.left_out += output.len() as u64,
            Some(Frame::TooLong(length)) => {
                self.left_out += length;
                let bad = BadFrame::TooLong { least: length, most: self.most };
                self.failure.get_or_insert(ProgramError::BadFrame(bad));
            }
            Some(Frame::End) => self.complete(None),
            Some(Frame::Failed(why)) => {
                let why = text(why);
                self.complete(Some(ProgramError::Reported(why)));
            }
            // The program knows best: whatever else is wrong with the answer, it says what to do with the item.
            Some(Frame::Later(why)) => {
                self.failure = Some(ProgramError::Later(text(why)));
                self.complete(None);
            }
            Some(Frame::Rejected(why)) => {
                self.failure = Some(ProgramError::Rejected(text(why)));
                self.complete(None);
            }
            None if output != OutputState::Whole || is_between => return Ok(false),
            None => return Err(ProgramError::BadFrame(BadFrame::Truncated(Framing::U32be))),
        }
        Ok(true)
    }

    /// The answer that was coming is whole.
    fn complete(&mut self, failure: Option<ProgramError>) {
        let failure = self.failure.take().or(failure);
        self.left_out = 0;
        if failure.is_some() {
            self.outputs.truncate(self.settled.1, self.settled.0);
        }
        let (outputs, bytes) =
            (self.outputs.all().count - self.settled.0, self.outputs.size() - self.settled.1);
        self.settled = (self.settled.0 + outputs, self.settled.1 + bytes);
        self.whole.push_back(Answer { outputs, bytes, failure });
    }

    /// The first whole answers. Several outputs of one answer must go out together: so those that have several are
    /// not too many at once.
    ///
    /// `most`: items that may be published together.
    pub(crate) fn first(&self, most: usize) -> Option<Answered<'_>> {
        if let Some(failure) = &self.whole.front()?.failure {
            return Some(Answered::Failure(failure.clone()));
        }
        let (mut answers, mut count, mut bytes, mut single) = (0, 0, 0, true);
        for answer in self.whole.iter().take(most.max(1)).take_while(|answer| answer.failure.is_none()) {
            single &= answer.outputs <= 1;
            if answers > 0 && !single && count + answer.outputs > TOGETHER_OUTPUTS {
                break;
            }
            (answers, count, bytes) = (answers + 1, count + answer.outputs, bytes + answer.bytes);
        }
        Some(Answered::Good { answers, outputs: self.outputs.part(0..bytes, count) })
    }

    /// How many outputs the answer has, if all of the first `answers` have one at most.
    pub(crate) fn single(&self, answers: usize) -> Option<impl Iterator<Item = usize>> {
        let first = || self.whole.iter().take(answers).map(|answer| answer.outputs);
        first().all(|outputs| outputs <= 1).then(first)
    }

    /// The first `answers` are published.
    pub(crate) fn drop_first(&mut self, answers: usize) {
        let gone = self.whole.drain(..answers);
        let (outputs, bytes) =
            gone.fold((0, 0), |(outputs, bytes), gone| (outputs + gone.outputs, bytes + gone.bytes));
        self.outputs.drop_front(bytes, outputs);
        self.settled = (self.settled.0 - outputs, self.settled.1 - bytes);
        self.decoder.shrink(1 << 20);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(reply: Reply, bytes: &[u8]) -> Answers {
        let mut answers = Answers::new(reply, Framing::Lines, 100);
        answers.decoder.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        answers.decoder.filled(bytes.len());
        answers
    }

    /// All that is whole, as text: outputs of one run joined by commas.
    fn shown(answers: &mut Answers) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let (n, text) = match answers.first(usize::MAX) {
                None => return all,
                Some(Answered::Failure(why)) => (1, format!("failed: {why}")),
                Some(Answered::Good { answers, outputs }) => {
                    let outputs: Vec<_> = outputs.iter().map(String::from_utf8_lossy).collect();
                    (answers, format!("{answers}: {}", outputs.join(",")))
                }
            };
            answers.drop_first(n);
            all.push(text);
        }
    }

    #[test]
    fn each_line_is_an_answer_or_all_until_an_empty_one_are() {
        let mut one = fed(Reply::One, b"a\n\nb\nrest");
        one.read(9, OutputState::Open, 1000).unwrap();
        assert_eq!((one.len(), shown(&mut one)), (3, vec!["3: a,,b".to_owned()]));
        one.read(9, OutputState::Torn, 1000).unwrap();
        assert!(one.first(usize::MAX).is_none(), "what a killed program had begun is no answer");
        one.read(9, OutputState::Whole, 1000).unwrap();
        assert_eq!(shown(&mut one), ["1: rest"]);
        let mut many = fed(Reply::UntilEmpty, b"a\nb\n\n\nc\n\nd\n");
        many.read(9, OutputState::Open, 1000).unwrap();
        assert_eq!(shown(&mut many), ["3: a,b,c"]);
        assert!(many.first(usize::MAX).is_none());
    }

    #[test]
    fn a_failure_takes_its_outputs_with_it_and_no_others() {
        let bytes = b"\0\0\0\x02oA\0\0\0\x01e\0\0\0\x02oB\0\0\0\x04fwhy\0\0\0\x02oC\0\0\0\x02oD\0\0\0\x01e\0\0\0\x02oE";
        let mut answers = fed(Reply::Protocol, bytes);
        answers.read(9, OutputState::Open, 1000).unwrap();
        assert_eq!(shown(&mut answers), ["1: A", "failed: why", "1: C,D"]);
        assert_eq!(answers.outputs.all().iter().collect::<Vec<_>>(), [b"E"]);
        assert!(matches!(answers.read(9, OutputState::Whole, 1000), Ok(())));
    }

    #[test]
    fn what_is_put_off_or_rejected_takes_its_outputs_with_it_and_says_so_itself() {
        let mut bytes = b"\0\0\0\x02oA\0\0\0\x05ldown\0\0\0\x02oB\0\0\0\x01e\0\0\0\x79o".to_vec();
        bytes.extend([b'x'; 120]);
        bytes.extend(b"\0\0\0\x04rbad");
        let mut answers = fed(Reply::Protocol, &bytes);
        answers.read(9, OutputState::Open, 1000).unwrap();
        let failures: Vec<_> = answers.whole.iter().map(|answer| answer.failure.clone()).collect();
        let (later, rejected) = (ProgramError::Later("down".into()), ProgramError::Rejected("bad".into()));
        assert_eq!(failures, [Some(later), None, Some(rejected)]);
        assert_eq!(shown(&mut answers), ["failed: down", "1: B", "failed: bad"]);
    }

    #[test]
    fn an_output_that_no_queue_takes_fails_its_item_and_the_program_goes_on() {
        let mut bytes = b"\0\0\0\x02oA\0\0\0\x79o".to_vec();
        bytes.extend([b'x'; 120]);
        bytes.extend(b"\0\0\0\x02oB\0\0\0\x01e\0\0\0\x02oC\0\0\0\x01e");
        let mut answers = fed(Reply::Protocol, &bytes);
        answers.read(9, OutputState::Open, 1000).unwrap();
        let shown = shown(&mut answers);
        assert!(shown[0].contains("max_item is 100 bytes"), "{shown:?}");
        assert_eq!(shown[1], "1: C");
    }

    #[test]
    fn an_answer_has_an_end_however_long_the_program_goes_on() {
        let mut answers = fed(Reply::UntilEmpty, &b"twelve bytes\n".repeat(90));
        assert_eq!(answers.read(9, OutputState::Open, 1000), Err(ProgramError::TooMuchOutput(1000)));
        let mut answers = fed(Reply::Protocol, &b"\0\0\0\x0dotwelve bytes".repeat(90));
        assert_eq!(answers.read(9, OutputState::Open, 1000), Err(ProgramError::TooMuchOutput(1000)));
    }

    #[test]
    fn what_comes_beyond_the_last_answer_spoils_it() {
        let mut answers = fed(Reply::One, b"a\nb\nc\n");
        assert_eq!(answers.read(2, OutputState::Open, 1000), Err(ProgramError::AnsweredTwice));
        assert_eq!(shown(&mut answers), ["1: a"]);
    }

    #[test]
    fn answers_with_many_outputs_go_out_a_few_at_a_time() {
        let mut answers = fed(Reply::UntilEmpty, &b"a\nb\n\n".repeat(100));
        answers.read(1000, OutputState::Open, 1000).unwrap();
        let runs: Vec<_> =
            shown(&mut answers).iter().map(|run| run.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(runs, ["64", "36"]);
    }
}
