//! What is drawn on: ratatui's terminal, with what it takes for granted of a terminal kept away from it.
//!
//! Its buffers are as large as the terminal says it is: here the size is a bounded one. Its end writes to the terminal,
//! and where that fails it panics by writing to standard error: here writing to the terminal never fails.

use crate::terminal::{self, Size};
use ratatui::backend::{Backend, ClearType, CrosstermBackend};
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output as a picture.
pub(super) struct Canvas {
    terminal: Terminal<CrosstermBackend<TerminalWriter>>,
    area: Rect,
    is_gone: Arc<AtomicBool>,
    has_colour: bool,
}

impl Canvas {
    /// In the size that the terminal has now.
    pub(super) fn new() -> io::Result<Canvas> {
        let (area, is_gone) = (area(), Arc::default());
        let terminal = new_terminal(area, &is_gone)?;
        Ok(Canvas { terminal, area, is_gone, has_colour: terminal::stdout().colour })
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if self.area != area() {
            self.forget()?;
        }
        let has_colour = self.has_colour;
        let drawn = self.terminal.draw(|frame| {
            draw(frame);
            if !has_colour {
                remove_colours(frame);
            }
        });
        drawn.map(drop)
    }

    /// What is on the terminal is something else by now: all is drawn anew.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.area = area();
        self.terminal = new_terminal(self.area, &self.is_gone)?;
        self.terminal.hide_cursor()?; // the end of the one before has shown it
        self.terminal.backend_mut().clear_region(ClearType::All)
    }

    /// Nothing can be written to the terminal any more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

/// A new one each time: ratatui's own `clear` and `resize` ask the terminal where its cursor is and how large it is, and
/// wait for an answer among the keys.
fn new_terminal(
    area: Rect,
    is_gone: &Arc<AtomicBool>,
) -> io::Result<Terminal<CrosstermBackend<TerminalWriter>>> {
    let backend = CrosstermBackend::new(TerminalWriter { is_gone: Arc::clone(is_gone) });
    Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Fixed(area) })
}

fn area() -> Rect {
    let Size { columns, rows } = terminal::size(io::stdout());
    Rect::new(0, 0, columns, rows)
}

fn remove_colours(frame: &mut Frame<'_>) {
    for cell in &mut frame.buffer_mut().content {
        (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
    }
}

/// Standard output. An error that does not pass is kept here, and everything after it goes nowhere.
struct TerminalWriter {
    is_gone: Arc<AtomicBool>,
}

impl TerminalWriter {
    fn discard_errors<T>(&self, result: io::Result<T>, else_: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                self.is_gone.store(true, Ordering::Relaxed);
                Ok(else_)
            }
            other => other,
        }
    }
}

impl Write for TerminalWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.is_gone.load(Ordering::Relaxed) {
            true => Ok(bytes.len()),
            false => self.discard_errors(io::stdout().write(bytes), bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.discard_errors(io::stdout().flush(), ())
    }
}
