//! A key or table that is there twice.

use crate::config::diagnostic::{Diagnostic, Span};

/// The fault, with the first of the two where it can be found.
pub fn diagnostic(second: &Span) -> Diagnostic {
    let name = second.text();
    let fault = Diagnostic::error(format!("`{name}` is there twice")).at(second).label("the second one");
    match first(second) {
        Some(first) => fault.also(&first, "the first one"),
        None => fault,
    }
    .help("keep one of them")
}

/// The parser tells only where the second one is. The first is the nearest line above that starts alike, in the
/// same table if it is a key. A label is all that hangs on it, so a miss in odd layouts does no harm.
fn first(second: &Span) -> Option<Span> {
    let source = second.source();
    let text = &source.text;
    let line_start = text[..second.range().start].rfind('\n').map_or(0, |end| end + 1);
    let head = &text[line_start..second.range().end];
    let is_header = head.trim_start().starts_with('[');
    let mut end = line_start;
    for line in text[..line_start].split_inclusive('\n').rev() {
        end -= line.len();
        if line.starts_with(head) && !continues(&line[head.len()..]) {
            let start = end + head.len() - second.text().len();
            return Some(Span::new(source, start..end + head.len()));
        }
        if !is_header && line.trim_start().starts_with('[') {
            return None;
        }
    }
    None
}

/// Whether what follows makes the key a longer one.
fn continues(rest: &str) -> bool {
    rest.starts_with(|next: char| next.is_alphanumeric() || "_-.\"'".contains(next))
}
