//! TOML text to a tree, and every fault of its syntax that the parser can find in one go.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::{Content, Entry, Node, Table, depth, foreign_file, recovery};
use crate::config::diagnostic::{Report, Source, Span};

/// A parsed text.
pub(crate) struct Parsed {
    /// The top table; with faults, what could be saved of it.
    pub table: Table,
    /// Whether the tree lacks parts of the file, so that nothing can be said to be missing.
    pub is_partial: bool,
}

/// Reads a text. Faults go to the report.
pub(crate) fn parse(source: &Arc<Source>, report: &mut Report) -> Parsed {
    if let Err(fault) = depth::check(source) {
        report.push(fault);
        return Parsed { table: Table::default(), is_partial: true };
    }
    let mut faults = Report::new();
    let recovered = recovery::recover(source, &mut faults);
    if !faults.is_empty()
        && let Some(fault) = foreign_file::fault(source)
    {
        report.push(fault);
        return Parsed { table: Table::default(), is_partial: true };
    }
    report.append(faults);
    let (document, _) = DeTable::parse_recoverable(&recovered.text);
    Parsed {
        table: Tree { source, offset: 0 }.table(document.into_inner()),
        is_partial: recovered.is_partial,
    }
}

/// Reads a value that stands alone, `offset` bytes into the source.
pub(super) fn parse_value(source: &Arc<Source>, offset: usize) -> Option<Node> {
    let text = source.text.get(offset..)?.trim_start();
    let offset = source.text.len() - text.len();
    let value = DeValue::parse(text.trim_end()).ok()?;
    Some(Tree { source, offset }.node(value))
}

/// Turns the parser's tree into ours.
struct Tree<'a> {
    source: &'a Arc<Source>,
    offset: usize,
}

impl Tree<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.source, range.start + self.offset..range.end + self.offset)
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        let entries = table.into_iter().map(|(key, value)| Entry {
            key_span: self.span(key.span()),
            key: key.into_inner().into_owned(),
            value: self.node(value),
        });
        Table { entries: entries.collect() }
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> Node {
        let span = self.span(value.span());
        let content = match value.into_inner() {
            DeValue::String(text) => Content::Text { text: text.into_owned(), from_variable: false },
            DeValue::Integer(number) => Content::Integer(integer(&number)),
            DeValue::Float(number) => Content::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Content::Flag(flag),
            DeValue::Datetime(moment) => Content::Moment(moment.to_string()),
            DeValue::Array(nodes) => Content::List(nodes.into_iter().map(|node| self.node(node)).collect()),
            DeValue::Table(table) => Content::Table(self.table(table)),
        };
        Node { span, content }
    }
}

/// TOML itself sets no bound to whole numbers: one beyond ours is far out of every range anyway.
fn integer(number: &DeInteger<'_>) -> i128 {
    let beyond = if number.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Parsed, Report) {
        let source = Arc::new(Source { name: "x.toml".into(), text: text.into() });
        let mut report = Report::new();
        (parse(&source, &mut report), report)
    }

    #[test]
    fn values_know_their_place() {
        let (parsed, report) = parsed("a = 1\n[b]\nc = \"x\"\n");
        assert!(report.is_empty());
        let Content::Table(b) = &parsed.table.get("b").unwrap().value.content else { panic!("no table") };
        assert_eq!(b.get("c").unwrap().value.span.range(), 14..17);
    }

    #[test]
    fn every_broken_line_is_reported_and_the_rest_is_read() {
        let (parsed, report) = parsed("a = 1s\nb = 2\nc = = 3\nd: 4\ne = \"x\n");
        assert_eq!((report.faults(), parsed.is_partial), (4, true), "{report}");
        assert_eq!(parsed.table.get("b").unwrap().value.integer(), Some(2));
    }

    #[test]
    fn a_key_a_million_deep_is_refused_without_harm() {
        for text in ["a.".repeat(500_000) + "a = 1", format!("[{}a]", "a. ".repeat(300_000))] {
            assert_eq!(parsed(&text).1.faults(), 1);
        }
    }

    #[test]
    fn lists_a_million_deep_are_refused_without_harm() {
        assert!(parsed(&("a = ".to_owned() + &"[".repeat(1_000_000))).1.faults() > 0);
        assert!(parsed(&("a = ".to_owned() + &"{a=".repeat(300_000))).1.faults() > 0);
    }

    #[test]
    fn a_number_beyond_all_bounds_stays_a_number() {
        let (parsed, report) = parsed(&format!("a = -{}", "9".repeat(60)));
        assert!(report.is_empty());
        assert_eq!(parsed.table.get("a").unwrap().value.integer(), Some(i128::MIN));
    }
}
