//! The parser gives up at the worst errors. So that all of a file's are reported in one go, each broken line is blanked
//! (positions stay what they are) and the rest is parsed anew.

use std::sync::Arc;

use toml::de::DeTable;

use super::syntax_hints::SyntaxError;
use crate::config::diagnostic::{Report, Source};

/// A text that parses, but for duplicate keys.
pub(super) struct Recovered {
    pub text: String,
    /// Whether lines had to be blanked.
    pub is_partial: bool,
}

/// Times that a text is parsed anew: more would show nothing new.
const MAX_PARSES: usize = 50;
/// Errors that are taken from one parse.
const MAX_ERRORS_A_PARSE: usize = 200;

/// Reports what is wrong with the syntax, and blanks it.
pub(super) fn recover(source: &Arc<Source>, report: &mut Report) -> Recovered {
    let mut recovered = Recovered { text: source.text.clone(), is_partial: false };
    let mut reported = Vec::new();
    let mut sound_lines = usize::MAX;
    for _ in 0..MAX_PARSES {
        if report.is_full() {
            return Recovered { text: String::new(), is_partial: true };
        }
        let mut faults = faults(source, &recovered.text);
        // One mistake often makes a run of errors: the first of a line tells best what it is.
        faults.dedup_by_key(|(line, _)| *line);
        faults.retain(|(line, _)| !reported.contains(line) && *line < sound_lines);
        if faults.is_empty() {
            break;
        }
        for (line, fault) in &faults {
            reported.push(*line);
            report.push(fault.diagnostic());
            // The keys below a header that is there twice would be doubled in their turn.
            let is_good = fault.is_duplicate() && !fault.is_at_header();
            recovered.is_partial |= !is_good;
            if fault.swallows_the_rest() {
                sound_lines = *line;
                break;
            }
            if !is_good {
                blank(&mut recovered.text, fault.span.range().start);
            }
            if fault.is_duplicate() && !is_good {
                break; // what was said of the keys below it holds no more
            }
        }
    }
    if sound_lines != usize::MAX {
        shorten(&mut recovered.text, sound_lines);
    }
    recovered
}

/// Takes away what was opened and never closed: from some line on the text makes no sense, and what makes it so stands
/// some lines above.
fn shorten(text: &mut String, lines: usize) {
    let end = text.split_inclusive('\n').take(lines).map(str::len).sum();
    text.truncate(end);
    for _ in 0..MAX_PARSES {
        let (_, errors) = DeTable::parse_recoverable(text);
        if !errors.iter().any(|error| SyntaxError::is_unclosed(error.message())) {
            return;
        }
        let end = text.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
        text.truncate(end);
    }
    text.clear();
}

/// All faults that the parser finds now, in the order of their lines.
fn faults(source: &Arc<Source>, text: &str) -> Vec<(usize, SyntaxError)> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let faults = errors.iter().take(MAX_ERRORS_A_PARSE).map(|error| SyntaxError::new(source, error));
    let mut faults: Vec<_> = faults.map(|fault| (fault.span.lines().0, fault)).collect();
    // Stable: of one line, the parser's first stays first.
    faults.sort_by_key(|(line, _)| *line);
    faults
}

/// Blanks the line at a place; with a header, all that would have stood below it, since it belongs nowhere now.
fn blank(text: &mut String, at: usize) {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |end| start + end);
    let is_header = text[start..].trim_start().starts_with('[');
    let end = match text[line_end..].find("\n[") {
        Some(next) if is_header => line_end + next,
        None if is_header => text.len(),
        _ => line_end,
    };
    let blanks: String =
        text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(start..end, &blanks);
}
