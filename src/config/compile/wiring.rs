//! Who reads and who writes each queue.

use std::collections::HashMap;

use super::draft::{Draft, Off};
use crate::config::diagnostic::{Diagnostic, Report, Span, nearest};
use crate::config::elements::{Named, QueueName};
use crate::config::keys::QueueKeys;

/// All queues that stages name, in the order of first mention.
pub(super) struct Wiring {
    pub wires: Vec<Wire>,
    index: HashMap<String, usize>,
    /// Whether all inputs (outputs) of the file could be read: else nothing can be said to be missing.
    knows_readers: bool,
    knows_writers: bool,
}

/// A queue and its ends.
pub(super) struct Wire {
    pub name: String,
    pub readers: Vec<End>,
    pub writers: Vec<End>,
}

/// A stage that reads or writes a queue.
pub(super) struct End {
    /// Index of the draft.
    pub stage: usize,
    pub stage_name: String,
    pub off: Option<Off>,
    /// Where the stage names the queue.
    pub span: Span,
}

/// Which end of a queue.
#[derive(Clone, Copy)]
enum Side {
    Readers,
    Writers,
}

impl Wire {
    fn side(&self, side: Side) -> &[End] {
        match side {
            Side::Readers => &self.readers,
            Side::Writers => &self.writers,
        }
    }

    /// The first mention by a stage that is on.
    pub(super) fn first_mention(&self) -> Option<&End> {
        let on = self.readers.iter().chain(&self.writers).filter(|end| end.off.is_none());
        on.min_by_key(|end| end.stage)
    }
}

impl Wiring {
    pub(super) fn of(drafts: &[Draft], is_whole: bool) -> Wiring {
        let knows = |key: &str| is_whole && drafts.iter().all(|draft| !draft.keys.unread.may_be(key));
        let mut wiring = Wiring {
            wires: Vec::new(),
            index: HashMap::new(),
            knows_readers: knows("input"),
            knows_writers: knows("output") && knows("routes") && drafts.iter().all(knows_routes),
        };
        for (stage, draft) in drafts.iter().enumerate() {
            for queue in &draft.keys.input.value {
                let end = end(stage, draft, queue);
                wiring.wire(&queue.name).readers.push(end);
            }
            for queue in &draft.keys.output.value {
                let end = end(stage, draft, queue);
                wiring.wire(&queue.name).writers.push(end);
            }
        }
        wiring
    }

    /// The wire of a queue.
    pub(super) fn get(&self, name: &str) -> Option<&Wire> {
        self.index.get(name).map(|index| &self.wires[*index])
    }

    fn wire(&mut self, name: &str) -> &mut Wire {
        let next = self.wires.len();
        let index = *self.index.entry(name.to_owned()).or_insert(next);
        if index == next {
            self.wires.push(Wire { name: name.to_owned(), readers: Vec::new(), writers: Vec::new() });
        }
        &mut self.wires[index]
    }

    pub(super) fn check(&self, declared: &Named<QueueKeys>, report: &mut Report) {
        for wire in self.wires.iter().filter(|wire| wire.first_mention().is_some()) {
            self.check_self_loop(wire, report);
            if self.knows_writers {
                self.check_side(wire, Side::Writers, declared, report);
            }
            if self.knows_readers {
                self.check_side(wire, Side::Readers, declared, report);
            }
        }
        if self.knows_readers && self.knows_writers {
            for item in declared.all.iter().filter(|item| self.get(&item.name).is_none()) {
                let names = self.wires.iter().map(|wire| wire.name.as_str());
                let near = nearest(&item.name, names).map(|near| format!("`{near}`"));
                let fault = Diagnostic::error(format!("no stage uses the queue `{}`", item.name));
                let remedy = "name it as `input` or `output` of stages, or leave it out";
                report.push(fault.at(&item.span).did_you_mean(near).help(remedy));
            }
        }
    }

    fn check_self_loop(&self, wire: &Wire, report: &mut Report) {
        for writer in wire.writers.iter().filter(|writer| writer.off.is_none()) {
            if let Some(reader) = wire.readers.iter().find(|reader| reader.stage == writer.stage) {
                let title = format!("the stage `{}` writes the queue that it reads", writer.stage_name);
                report.push(Diagnostic::error(title).at(&writer.span).also(&reader.span, "read here"));
            }
        }
    }

    /// Reports a queue that only stages which are on the other side use.
    fn check_side(&self, wire: &Wire, side: Side, declared: &Named<QueueKeys>, report: &mut Report) {
        let ends = wire.side(side);
        let is_shared = declared.all.iter().any(|item| item.name == wire.name && item.keys.shared.value);
        if is_shared && ends.iter().any(|end| end.off == Some(Off::NotSelected)) {
            // Another machine runs it.
            return;
        }
        let Some(mention) = wire.first_mention().filter(|_| ends.iter().all(|end| end.off.is_some())) else {
            return;
        };
        let verb = match side {
            Side::Readers => "reads",
            Side::Writers => "writes",
        };
        let fault = Diagnostic::error(format!("nothing {verb} the queue `{}`", wire.name)).at(&mention.span);
        report.push(match ends.first().and_then(|end| Some((end, end.off?))) {
            Some((end, off)) => {
                let why = format!("the stage `{}`, which {verb} it, is {}", end.stage_name, off.words());
                fault.also(&end.span, "here").help(why)
            }
            None => {
                let near = self.nearest(wire, side, declared).map(|near| format!("`{near}`"));
                fault.did_you_mean(near).help(remedy(side))
            }
        });
    }

    /// The queue that is probably meant: one that has what is missing here, else any.
    fn nearest<'a>(&'a self, wire: &Wire, side: Side, declared: &'a Named<QueueKeys>) -> Option<&'a str> {
        let others = || self.wires.iter().filter(|other| other.name != wire.name);
        let having = others().filter(|other| !other.side(side).is_empty()).map(|other| other.name.as_str());
        let declared = declared.all.iter().map(|item| item.name.as_str()).filter(|name| *name != wire.name);
        nearest(&wire.name, having)
            .or_else(|| nearest(&wire.name, others().map(|other| other.name.as_str()).chain(declared)))
    }
}

/// Whether each rule of `routes` says where it leads.
fn knows_routes(draft: &Draft) -> bool {
    draft.keys.routes.value.iter().all(|rule| !rule.keys.unread.may_be("to"))
}

fn end(stage: usize, draft: &Draft, queue: &QueueName) -> End {
    End { stage, stage_name: draft.name.clone(), off: draft.off, span: queue.span.clone() }
}

fn remedy(side: Side) -> &'static str {
    match side {
        Side::Readers => {
            "some stage must have it as `input`; a stage without `output` prints to standard output"
        }
        Side::Writers => "some stage must have it as `output`",
    }
}
