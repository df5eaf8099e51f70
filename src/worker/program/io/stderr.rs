//! A program's standard error: whole lines to the log, not too many of them, and the last ones kept.

use crate::logs::Voice;
use crate::numbers::counted_are;
use crate::text;
use log::Level;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A longer line is cut.
const LINE_BYTES: usize = 3000;
/// Lines kept for the cause of a failure.
const KEPT_LINES: usize = 20;
/// Bytes kept of a program without a worker: there may be thousands of them in one process.
const KEPT_BYTES: usize = 2048;
/// Lines that may come at once.
const BURST_LINES: u32 = 1000;
/// Lines a second, after that.
const LINES_PER_SECOND: u32 = 200;
/// So long after the last credit no line has asked for more: the program is silent, and those left out are reported.
const SILENCE: Duration = Duration::from_secs(2);
/// After this time a burst may come again.
const BURST_AFTER: Duration = Duration::from_secs(10);

/// Collects what a program says.
pub(crate) struct StderrRelay {
    /// A line whose end isn't there yet.
    partial: Vec<u8>,
    /// That line is too long already: the rest of it is skipped.
    skipping: bool,
    /// The line before it ended with a carriage return.
    has_returned: bool,
    kept: VecDeque<String>,
    /// Lines that may be logged now.
    credit: u32,
    since: Instant,
    left_out: u64,
    /// As whom it speaks; `None`: as this process.
    voice: Option<Voice>,
}

impl StderrRelay {
    /// Of the program of a service, in the supervisor.
    pub(crate) fn of_service(voice: Voice) -> StderrRelay {
        StderrRelay { voice: Some(voice), ..StderrRelay::new() }
    }

    pub(crate) fn new() -> StderrRelay {
        let (partial, kept) = (Vec::new(), VecDeque::new());
        StderrRelay {
            partial,
            skipping: false,
            has_returned: false,
            kept,
            credit: BURST_LINES,
            since: Instant::now(),
            left_out: 0,
            voice: None,
        }
    }

    /// The beginning of a line whose end isn't there yet.
    pub(crate) fn partial(&self) -> &[u8] {
        &self.partial
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let mut bytes = self.pass_over(bytes);
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            self.append(&bytes[..end]);
            self.end_at(bytes[end]);
            bytes = &bytes[end + 1..];
        }
        self.append(bytes);
    }

    /// Of a flood only the end is looked at, and the rest is counted. Returns the end.
    fn pass_over<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.credit_now() > 0 {
            return bytes;
        }
        let Some(last) = memchr::memrchr_iter(b'\n', bytes).nth(KEPT_LINES) else { return bytes };
        let (passed, rest) = bytes.split_at(last + 1);
        self.left_out += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.partial.clear();
        (self.skipping, self.has_returned) = (false, false);
        rest
    }

    /// The program is over: what it has said is all there is.
    pub(crate) fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
        self.report_left_out();
    }

    /// The last lines since the last call: of one program, or of one item.
    pub(crate) fn take_last_lines(&mut self) -> Vec<String> {
        self.kept.drain(..).collect()
    }

    /// Forgets what was kept.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    /// A carriage return ends a line as well: a progress bar is many of them. Before a line feed it is part of one end,
    /// and behind nothing it is none.
    fn end_at(&mut self, end: u8) {
        let is_second = end == b'\n' && self.has_returned;
        let is_return = end == b'\r';
        if !(is_second || is_return && self.partial.is_empty()) {
            self.has_returned = is_return;
            self.end_line();
        } else {
            self.has_returned = false;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.has_returned &= bytes.is_empty();
        if self.skipping {
            return;
        }
        let room = LINE_BYTES - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.skipping = bytes.len() > room;
    }

    fn end_line(&mut self) {
        let mut line = text::of_bytes(&self.partial);
        if self.skipping {
            line.push('…');
        }
        self.partial.clear();
        self.skipping = false;
        if self.may_log() && self.has_room() {
            self.report_left_out();
            self.say(Level::Info, &line);
        } else {
            self.left_out += 1;
        }
        self.keep(line);
    }

    /// When [`StderrRelay::report_after_silence`] has something to report, unless more lines come.
    pub(crate) fn report_at(&self) -> Option<Instant> {
        (self.left_out > 0).then(|| self.since + SILENCE)
    }

    /// A program that is silent after a flood may be so for days: its next line is not waited for.
    pub(crate) fn report_after_silence(&mut self) {
        if self.report_at().is_some_and(|at| at <= Instant::now()) && self.has_room() {
            self.report_left_out();
        }
    }

    fn keep(&mut self, line: String) {
        self.kept.push_back(line);
        let bytes = |kept: &VecDeque<String>| kept.iter().map(String::len).sum::<usize>();
        let is_bounded = self.voice.is_some();
        while self.kept.len() > KEPT_LINES
            || is_bounded && self.kept.len() > 1 && bytes(&self.kept) > KEPT_BYTES
        {
            self.kept.pop_front();
        }
    }

    fn say(&self, level: Level, text: &str) {
        match &self.voice {
            Some(voice) => voice.say(level, text),
            None => log::log!(level, "{text}"),
        }
    }

    /// A worker waits for its log; the supervisor must not, nor keep in its memory what doesn't fit.
    fn has_room(&self) -> bool {
        self.voice.is_none() || crate::logs::sink::has_room_now()
    }

    /// Lines that may be logged, with those that have come with time.
    fn credit_now(&mut self) -> u32 {
        let passed = self.since.elapsed();
        let more = if passed > BURST_AFTER {
            BURST_LINES
        } else if self.credit == 0 && passed > Duration::from_secs(1) {
            // In portions: a line now and then amid a flood tells nothing.
            LINES_PER_SECOND
        } else {
            0
        };
        if more > 0 {
            (self.credit, self.since) = (more, Instant::now());
        }
        self.credit
    }

    fn may_log(&mut self) -> bool {
        let may = self.credit_now() > 0;
        self.credit = self.credit.saturating_sub(1);
        may
    }

    fn report_left_out(&mut self) {
        if self.left_out > 0 {
            let text =
                format!("{} left out of the log: it writes too fast", counted_are(self.left_out, "line"));
            self.say(Level::Warn, &text);
            self.left_out = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let mut stderr = StderrRelay::new();
        for byte in b"one\ntwo\r\n\nlast" {
            stderr.take(&[*byte]);
        }
        stderr.finish();
        assert_eq!(stderr.take_last_lines(), ["one", "two", "", "last"]);
        assert!(stderr.take_last_lines().is_empty());
    }

    #[test]
    fn a_carriage_return_ends_a_line_and_before_a_line_feed_is_part_of_its_end() {
        let bytes: &[u8] = b"10%\r20%\r\r30%\r\nnext\r\n\r\n\nend\r";
        for piece in 1..bytes.len() {
            let mut stderr = StderrRelay::new();
            bytes.chunks(piece).for_each(|piece| stderr.take(piece));
            stderr.finish();
            assert_eq!(
                stderr.take_last_lines(),
                ["10%", "20%", "30%", "next", "", "", "end"],
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_is_no_text_is_escaped_and_what_is_too_long_is_cut() {
        let mut stderr = StderrRelay::new();
        stderr.take(b"\xff\x1b[31mred\t\xc3\xa9\n");
        stderr.take(&[b'x'; 10_000]);
        stderr.take(b"x\nnext\n");
        let kept = stderr.take_last_lines();
        assert_eq!(kept[0], "\\xff\\u{1b}[31mred\t\u{e9}");
        assert_eq!((kept[1].len(), kept[1].ends_with("x…")), (LINE_BYTES + '…'.len_utf8(), true));
        assert_eq!(kept[2], "next");
    }

    #[test]
    fn lines_that_are_left_out_are_reported_after_a_silence() {
        let mut stderr = StderrRelay::new();
        let flood: String = (0..1500).map(|n| format!("{n}\n")).collect();
        stderr.take(flood.as_bytes());
        stderr.report_after_silence();
        assert!(stderr.left_out > 0 && stderr.report_at().is_some());
        stderr.since -= SILENCE;
        stderr.report_after_silence();
        assert_eq!((stderr.left_out, stderr.report_at()), (0, None));
    }

    #[test]
    fn a_flood_is_counted_and_its_end_is_kept() {
        let mut stderr = StderrRelay::new();
        let flood: String = (0..5000).map(|n| format!("{n}\n")).collect();
        stderr.take(flood.as_bytes());
        assert!(stderr.left_out >= 3000, "{}", stderr.left_out);
        stderr.finish();
        assert_eq!(stderr.left_out, 0);
        let kept = stderr.take_last_lines();
        assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "4980", "4999"));
    }
}
