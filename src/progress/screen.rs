//! The terminal as `indicatif` draws on it: each drawing is one write, and leaves the cursor in a fresh line below.
//!
//! By itself it fills each line up to the last column and stays there. Then the `^C` that a terminal shows for the key
//! breaks into the next line, and the first bar is left behind; and selected bars are copied as one long line.

use crate::terminal;
use indicatif::TermLike;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Standard error.
#[derive(Debug, Default)]
pub(super) struct Screen(Mutex<Drawing>);

#[derive(Debug, Default)]
struct Drawing {
    text: String,
    /// It has lines.
    has_lines: bool,
    /// The one before had: the cursor is below them.
    is_below: bool,
}

impl Screen {
    fn drawing(&self) -> MutexGuard<'_, Drawing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) -> io::Result<()> {
        self.drawing().text.push_str(text);
        Ok(())
    }

    fn step(&self, n: usize, direction: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(&format!("\x1b[{n}{direction}")) }
    }
}

fn size() -> terminal::Size {
    terminal::size(io::stderr())
}

/// Whether there is no room for long bars.
pub(super) fn is_narrow() -> bool {
    size().columns < 80
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().columns
    }

    fn height(&self) -> u16 {
        size().rows.saturating_sub(1).max(1)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.step(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(&format!("{text}\x1b[K\r\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        // Nothing but spaces is what a line is filled up with.
        if !text.trim_matches(' ').is_empty() {
            return self.add(text.trim_end_matches(' '));
        }
        self.drawing().has_lines = true;
        self.add("\x1b[K\r\n")
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawing = self.drawing();
        let drawn = std::mem::take(&mut *drawing);
        drawing.is_below = drawn.has_lines;
        let back = if drawn.is_below { "\r\x1b[J\x1b[1A" } else { "" };
        io::stderr().lock().write_all(format!("{back}{}", drawn.text).as_bytes())
    }
}
