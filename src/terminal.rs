//! What the terminals of this process can do: the one answer for the log, for bars, for tables and for `mprun top`.
//!
//! Everything here comes from outside: variables may be set to anything, and a terminal (a serial line, a test harness,
//! `stty cols 65535`) may claim any size. So sizes are bounded.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use terminal_size::{Height, Width, terminal_size_of};

/// No terminal is believed to have more columns: what is drawn in memory first has to fit there.
const MAX_COLUMNS: u16 = 1000;
/// Nor more rows.
const MAX_ROWS: u16 = 400;
/// The size of a terminal that tells none.
const DEFAULT_SIZE: Size = Size { columns: 80, rows: 24 };

/// What one of the standard streams can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// It is a terminal.
    pub is_terminal: bool,
    /// The cursor can be moved, and lines can be erased.
    pub moves_cursor: bool,
    /// Colours are understood, and wanted.
    pub colour: bool,
}

/// In characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Its width.
    pub columns: u16,
    /// Its height.
    pub rows: u16,
}

/// Of standard input.
pub(crate) fn stdin() -> Abilities {
    abilities(io::stdin().is_terminal(), &|name| std::env::var_os(name))
}

/// Of standard output.
pub(crate) fn stdout() -> Abilities {
    abilities(io::stdout().is_terminal(), &|name| std::env::var_os(name))
}

/// Of standard error.
pub(crate) fn stderr() -> Abilities {
    abilities(io::stderr().is_terminal(), &|name| std::env::var_os(name))
}

/// The size of the terminal at one end of this descriptor.
pub(crate) fn size(of: impl AsFd) -> Size {
    let reported = terminal_size_of(of);
    reported.map_or(DEFAULT_SIZE, |(Width(columns), Height(rows))| bounded(columns, rows))
}

fn bounded(columns: u16, rows: u16) -> Size {
    let or = |reported: u16, usual: u16| if reported == 0 { usual } else { reported };
    Size {
        columns: or(columns, DEFAULT_SIZE.columns).min(MAX_COLUMNS),
        rows: or(rows, DEFAULT_SIZE.rows).min(MAX_ROWS),
    }
}

/// `NO_COLOR` (no-color.org) is stronger than `CLICOLOR_FORCE`, which is stronger than all else.
fn abilities(is_terminal: bool, variable: &dyn Fn(&str) -> Option<OsString>) -> Abilities {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let is_smart = set("TERM").is_some_and(|term| term != "dumb");
    let is_forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let is_refused = set("CLICOLOR").is_some_and(|value| value == "0");
    Abilities {
        is_terminal,
        moves_cursor: is_terminal && is_smart,
        colour: set("NO_COLOR").is_none() && (is_forced || is_terminal && is_smart && !is_refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able(is_terminal: bool, variables: &[(&str, &str)]) -> (bool, bool) {
        let find = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into());
        let able = abilities(is_terminal, &find);
        assert_eq!(able.is_terminal, is_terminal);
        (able.moves_cursor, able.colour)
    }

    #[test]
    fn a_terminal_that_can_do_nothing_gets_neither_colours_nor_a_moving_cursor() {
        assert_eq!(able(true, &[("TERM", "xterm")]), (true, true));
        for dumb in [&[][..], &[("TERM", "")], &[("TERM", "dumb")]] {
            assert_eq!(able(true, dumb), (false, false), "{dumb:?}");
        }
        assert_eq!(able(false, &[("TERM", "xterm")]), (false, false));
    }

    #[test]
    fn colours_are_refused_and_forced_by_their_variables() {
        for (variable, value, colour) in [
            ("NO_COLOR", "1", false),
            ("NO_COLOR", "", true),
            ("CLICOLOR", "0", false),
            ("CLICOLOR", "1", true),
            ("CLICOLOR_FORCE", "0", true),
        ] {
            assert_eq!(
                able(true, &[("TERM", "xterm"), (variable, value)]),
                (true, colour),
                "{variable}={value}"
            );
        }
        assert_eq!(able(false, &[("CLICOLOR_FORCE", "1")]), (false, true));
        assert_eq!(able(true, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), (false, false));
    }

    #[test]
    fn a_size_is_never_nothing_and_never_more_than_can_be_drawn() {
        assert_eq!(bounded(0, 0), DEFAULT_SIZE);
        assert_eq!(bounded(100, 24), Size { columns: 100, rows: 24 });
        assert_eq!(bounded(u16::MAX, u16::MAX), Size { columns: MAX_COLUMNS, rows: MAX_ROWS });
    }
}
