//! Settings with a few words to choose from.

use serde_json::{Value, json};

use super::{Element, or_variable, reject, wrong_kind};
use crate::config::diagnostic::{Report, is_same_word, nearest, quote};
use crate::config::document::{Content, Node};
use crate::config::pipeline::{
    Collect, Framing, Machines, OnGiveUp, OrderOf, Placeholders, Restart, Resume, Stdout, Sync, WhenFailing,
    WhenFull,
};

/// An enum whose variants have a word each.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// The words, in the order in which they are shown.
    const WORDS: &'static [(&'static str, Self)];
    /// What other tools say for some of them; `true` and `false` may stand without quotes.
    const ALSO: &'static [(&'static str, &'static [&'static str])] = &[];
}

impl Choice for Restart {
    const WORDS: &'static [(&'static str, Self)] =
        &[("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
    const ALSO: &'static [(&'static str, &'static [&'static str])] = &[
        ("always", &["unless-stopped", "any", "permanent", "true", "yes", "on"]),
        (
            "on-failure",
            &["unexpected", "on-error", "on-crash", "on-abnormal", "on-abort", "on-watchdog", "transient"],
        ),
        ("never", &["no", "none", "off", "false", "temporary"]),
    ];
}

impl Choice for OnGiveUp {
    const WORDS: &'static [(&'static str, Self)] =
        &[("stop", OnGiveUp::Stop), ("continue", OnGiveUp::Continue)];
}

impl Choice for Machines {
    const WORDS: &'static [(&'static str, Self)] = &[("all", Machines::All), ("one", Machines::One)];
}

impl Choice for OrderOf {
    const WORDS: &'static [(&'static str, Self)] = &[("input", OrderOf::Input)];
}

impl Choice for WhenFailing {
    const WORDS: &'static [(&'static str, Self)] =
        &[("wait", WhenFailing::Wait), ("stop", WhenFailing::Stop), ("dead-letter", WhenFailing::DeadLetter)];
}

impl Choice for Sync {
    const WORDS: &'static [(&'static str, Self)] =
        &[("always", Sync::Always), ("interval", Sync::Interval), ("never", Sync::Never)];
    const ALSO: &'static [(&'static str, &'static [&'static str])] = &[
        ("always", &["true", "yes", "on", "fsync"]),
        ("interval", &["everysec", "periodic"]),
        ("never", &["no", "none", "off", "false"]),
    ];
}

impl Choice for WhenFull {
    const WORDS: &'static [(&'static str, Self)] =
        &[("block", WhenFull::Block), ("drop-new", WhenFull::DropNew), ("drop-old", WhenFull::DropOld)];
    const ALSO: &'static [(&'static str, &'static [&'static str])] = &[
        ("block", &["wait", "backpressure"]),
        ("drop-new", &["drop", "discard", "reject"]),
        ("drop-old", &["ring", "overwrite", "drop-head"]),
    ];
}

impl Choice for crate::dead_letter::WhenFull {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("block", crate::dead_letter::WhenFull::Block),
        ("drop-old", crate::dead_letter::WhenFull::DropOld),
    ];
}

/// `mode`, as a word: what belongs to it stands in keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModeWord {
    Stream,
    Reply,
    Each,
}

impl Choice for ModeWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("stream", ModeWord::Stream), ("reply", ModeWord::Reply), ("each", ModeWord::Each)];
}

/// `reply`, as a word: the third kind of answer goes with a framing of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyWord {
    One,
    UntilEmpty,
}

impl Choice for ReplyWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("one", ReplyWord::One), ("until-empty", ReplyWord::UntilEmpty)];
}

impl Choice for Collect {
    const WORDS: &'static [(&'static str, Self)] = &[("lines", Collect::Lines), ("whole", Collect::Whole)];
}

impl Choice for Placeholders {
    const WORDS: &'static [(&'static str, Self)] =
        &[("item", Placeholders::Item), ("parallel", Placeholders::Parallel)];
}

impl Choice for Resume {
    const WORDS: &'static [(&'static str, Self)] = &[("done", Resume::Done), ("failed", Resume::Failed)];
}

impl Choice for Stdout {
    const WORDS: &'static [(&'static str, Self)] =
        &[("items", Stdout::Items), ("log", Stdout::Log), ("null", Stdout::Null)];
    const ALSO: &'static [(&'static str, &'static [&'static str])] =
        &[("log", &["journal", "syslog", "inherit"]), ("null", &["/dev/null", "none", "discard", "devnull"])];
}

impl Choice for Framing {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("lines", Framing::Lines),
        ("nul", Framing::Nul),
        ("netstring", Framing::Netstring),
        ("u32be", Framing::U32be),
    ];
}

/// `framing`, as a word: how items are delimited, or how they are talked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingWord {
    Plain(Framing),
    Mprun,
}

impl Choice for FramingWord {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("lines", FramingWord::Plain(Framing::Lines)),
        ("nul", FramingWord::Plain(Framing::Nul)),
        ("netstring", FramingWord::Plain(Framing::Netstring)),
        ("u32be", FramingWord::Plain(Framing::U32be)),
        ("mprun", FramingWord::Mprun),
    ];
}

/// The word of a value.
pub(super) fn word<C: Choice>(value: C) -> &'static str {
    // Every variant is in the list (a test holds that), so the empty word never shows.
    C::WORDS.iter().find(|(_, own)| *own == value).map_or("", |(word, _)| word)
}

/// The word for what another tool calls so.
fn meant<C: Choice>(word: &str) -> Option<&'static str> {
    let is_meant = |words: &[&str]| words.iter().any(|other| is_same_word(other, word));
    C::ALSO.iter().find(|(_, others)| is_meant(others)).map(|(own, _)| *own)
}

fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

impl<C: Choice> Element for C {
    type Output = C;

    fn read(node: &Node, report: &mut Report) -> Option<C> {
        let Some(text) = node.text() else {
            let word = match node.content {
                Content::Flag(flag) => meant::<C>(if flag { "true" } else { "false" }),
                _ => None,
            };
            report.push(wrong_kind::<C>(node, "a string").did_you_mean(word.map(quoted)));
            return None;
        };
        let found = C::WORDS.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let near = meant::<C>(text).or_else(|| nearest(text, C::WORDS.iter().map(|(word, _)| *word)));
            let fault = reject::<C>(node, format!("{} is none of the choices", quote(text)));
            report.push(fault.did_you_mean(near.map(quoted)));
        }
        found
    }

    fn accepted() -> String {
        let words: Vec<String> = C::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        words.join(" or ")
    }

    fn schema() -> Value {
        let words: Vec<&str> = C::WORDS.iter().map(|(word, _)| *word).collect();
        or_variable(json!({ "enum": words }))
    }

    fn written(choice: &C) -> Value {
        word(*choice).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn every_variant_has_its_word() {
        // A new variant breaks these matches, so that it can't be forgotten above.
        for (word, value) in Restart::WORDS {
            let own = match value {
                Restart::Always => "always",
                Restart::OnFailure => "on-failure",
                Restart::Never => "never",
            };
            assert_eq!(*word, own);
        }
        accepts::<Restart>(&["\"always\"", "\"on-failure\"", "\"never\""]);
        refuses::<Restart>(&[
            ("\"unless-stopped\"", "did you mean \"always\"?"),
            ("\"on_abnormal\"", "did you mean \"on-failure\"?"),
            ("\"no\"", "did you mean \"never\"?"),
            ("false", "did you mean \"never\"?"),
            ("\"on-success\"", "none of the choices"),
        ]);
        refuses::<WhenFull>(&[
            ("\"drop_new\"", "did you mean \"drop-new\"?"),
            ("\"x\"", "none of the choices"),
            ("1", "a string"),
        ]);
        assert_eq!((Restart::WORDS.len(), OnGiveUp::WORDS.len(), WhenFull::WORDS.len()), (3, 2, 3));
        assert_eq!((Sync::WORDS.len(), WhenFailing::WORDS.len()), (3, 3));
    }
}
