//! `format`: makes a text of each item.

use crate::stage::template::{StageTemplate, Template, Values};
use crate::stage::{Context, Emitter, Failure, Item, Persistence, Settings, Stage};
use std::os::unix::process::parent_id;

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Format, Failure> + use<> {
    with.about("Makes a text of each item.");
    let doc = "The text; {item}, {pid}, {parent} (the process id of mprun), {worker}, {stage} and {attempt} are filled \
               in, {{ and }} are braces.";
    let template: Template = with.key("template", doc).required();
    let doc = "A text that is emitted first, once for all workers of the stage; as `template`, but without an item.";
    let header = with.key("header", doc).optional().map(|StageTemplate(header)| header);
    if header.is_some() {
        with.remember(Persistence::Once);
    }
    let doc = "Whether a line end follows each text on standard output.";
    if !with.key("line_end", doc).or(true) {
        with.prints_as_it_is();
    }
    move |context| {
        let (worker, stage) = (context.worker, context.stage.clone());
        // Looked up once: a system call for each item costs more than the item.
        let (pid, parent) = (std::process::id(), parent_id());
        Ok(Format { header, template, pid, parent, worker, stage, text: Vec::new() })
    }
}

/// See [`build`].
pub(super) struct Format {
    header: Option<Template>,
    template: Template,
    pid: u32,
    parent: u32,
    worker: u32,
    stage: String,
    text: Vec<u8>,
}

impl Format {
    /// About an item, at its so-many-th attempt.
    fn values<'a>(&'a self, item: &'a [u8], attempt: u32) -> Values<'a> {
        let Format { pid, parent, worker, .. } = *self;
        Values { item, pid, parent, worker, stage: &self.stage, attempt }
    }
}

impl Stage for Format {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        self.template.render(&self.values(item.bytes(), item.attempt()), &mut text);
        self.text = text;
        out.emit(&self.text)
    }

    fn preface(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let Some(header) = &self.header else { return Ok(()) };
        let mut text = Vec::new();
        header.render(&self.values(b"", 1), &mut text);
        out.emit(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::through;
    use serde_json::json;

    #[test]
    fn it_fills_in_the_item_and_the_process() {
        let pid = std::process::id();
        let with = json!({"template": " Sub-process(es) {pid} said {item}."});
        assert_eq!(through("format", with, &["hello 0"]), [format!(" Sub-process(es) {pid} said hello 0.")]);
    }
}
