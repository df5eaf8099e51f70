//! `format`: makes a text of each item.

use crate::stage::template::{Template, Values};
use crate::stage::{Context, Emitter, Failure, Item, Settings, Stage};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Format, Failure> + use<> {
    with.about("Makes a text of each item.");
    let doc = "The text; {item}, {pid}, {worker}, {stage} and {attempt} are filled in, {{ and }} are braces.";
    let template: Template = with.key("template", doc).required();
    move |context| {
        let (pid, worker, stage) = (std::process::id(), context.worker, context.stage.clone());
        Ok(Format { template, pid, worker, stage, text: Vec::new() })
    }
}

/// See [`build`].
pub(super) struct Format {
    template: Template,
    pid: u32,
    worker: u32,
    stage: String,
    text: Vec<u8>,
}

impl Stage for Format {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let (pid, worker, stage) = (self.pid, self.worker, self.stage.as_str());
        self.text.clear();
        self.template.render(
            &Values { item: item.bytes(), pid, worker, stage, attempt: item.attempt() },
            &mut self.text,
        );
        out.emit(&self.text)
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
