//! `repeat`: one text, again and again.

use super::position::{restore_number, save_number};
use crate::stage::{Context, Emitter, Failure, Next, Persistence, Progress, Settings, Source};
use std::os::unix::process::parent_id;

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Repeat, Failure> + use<> {
    with.about("Emits the same text again and again.");
    let text: String = with.key("text", "The text; {parent} in it is the process id of mprun.").required();
    let times: Option<u64> = with.key("times", "How many times; without it, endless.").optional();
    if times.is_some() {
        with.remember(Persistence::State);
    }
    with.ends(times.is_some());
    move |_| {
        // No template: braces of all other kinds (JSON) are meant as they are.
        let text = text.replace("{parent}", &parent_id().to_string());
        Ok(Repeat { text, times, position: 0 })
    }
}

/// See [`build`].
pub(super) struct Repeat {
    text: String,
    times: Option<u64>,
    position: u64,
}

impl Source for Repeat {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.times == Some(self.position) {
            return Ok(Next::End);
        }
        out.emit(&self.text)?;
        self.position += 1;
        Ok(Next::More)
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress { done: self.position, total: self.times? })
    }

    fn save(&self, state: &mut Vec<u8>) {
        save_number(self.position, state);
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.position = restore_number(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{collect, open_source};
    use serde_json::json;

    #[test]
    fn it_repeats_so_many_times() {
        assert_eq!(collect(&mut open_source("repeat", json!({"text": "hello", "times": 3}))), ["hello"; 3]);
        assert!(collect(&mut open_source("repeat", json!({"text": "hello", "times": 0}))).is_empty());
    }

    #[test]
    fn the_supervisor_can_be_named_and_other_braces_stay() {
        let with = json!({"text": "{\"id\": {parent}} {}", "times": 1});
        let parent = std::os::unix::process::parent_id();
        assert_eq!(collect(&mut open_source("repeat", with)), [format!("{{\"id\": {parent}}} {{}}")]);
    }
}
