//! How items meet a program: its mode, what its answers are, and how items are delimited.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::{At, FramingWord, ModeWord, ReplyWord};
use crate::config::pipeline::{Framing, Mode, Reply, Stdout};

/// Queues that one stage with answers can read: one place is its own (see [`crate::config::Work::needs_spill_queue`]).
const MAX_INPUTS: usize = 15;

/// How items meet the program.
pub(super) fn mode(draft: &Draft) -> Mode {
    let keys = &draft.keys;
    match (keys.mode.value, keys.reply.value) {
        _ if uses_protocol(draft) => Mode::Reply(Reply::Protocol),
        (ModeWord::Stream, _) => Mode::Stream,
        (ModeWord::Reply, ReplyWord::One) => Mode::Reply(Reply::One),
        (ModeWord::Reply, ReplyWord::UntilEmpty) => Mode::Reply(Reply::UntilEmpty),
        (ModeWord::Each, _) => Mode::Each { collect: keys.collect.value, batch: keys.batch.value },
    }
}

/// How items are delimited on both sides, if nothing else is said about one of them.
pub(super) fn framing(draft: &Draft) -> Framing {
    match draft.keys.framing.value {
        Some(FramingWord::Plain(framing)) => framing,
        Some(FramingWord::Mprun) if uses_protocol(draft) => Framing::U32be,
        Some(FramingWord::Mprun) | None => Framing::Lines,
    }
}

/// The destination of a program's standard output. A default for all stages holds for those that write no queue.
pub(super) fn stdout(draft: &Draft) -> Stdout {
    let is_read = !draft.keys.output.value.is_empty() || matches!(mode(draft), Mode::Reply(_));
    if is_read { Stdout::Items } else { draft.keys.stdout.value }
}

/// Whether the program says of each item how it went. As a default for all stages this holds for those that it fits.
fn uses_protocol(draft: &Draft) -> bool {
    let keys = &draft.keys;
    let fits = match keys.mode.at {
        Some(_) => keys.mode.value == ModeWord::Reply,
        None => own(draft, "framing").is_some() || !keys.input.value.is_empty(),
    };
    keys.framing.value == Some(FramingWord::Mprun) && fits
}

/// Where the stage itself sets a key.
fn own<'a>(draft: &'a Draft, key: &str) -> Option<&'a At> {
    draft.own_program_keys.iter().find(|(own, _)| *own == key).map(|(_, at)| at)
}

/// Keys that don't go together.
pub(super) fn check(draft: &Draft, report: &mut Report) {
    let keys = &draft.keys;
    let protocol = uses_protocol(draft);
    let mode = if protocol { ModeWord::Reply } else { keys.mode.value };
    check_protocol(draft, protocol, report);
    belongs(&keys.reply.at, "reply", "reply", mode == ModeWord::Reply, report);
    belongs(&keys.collect.at, "collect", "each", mode == ModeWord::Each, report);
    belongs(&keys.batch.at, "batch", "each", mode == ModeWord::Each, report);
    belongs(&keys.placeholders.at, "placeholders", "each", mode == ModeWord::Each, report);
    belongs(&keys.keep_failed_output.at, "keep_failed_output", "each", mode == ModeWord::Each, report);
    belongs(&keys.tag.at, "tag", "each", mode == ModeWord::Each, report);
    belongs(&keys.joblog.at, "joblog", "each", mode == ModeWord::Each, report);
    belongs(&keys.halt.at, "halt", "each", mode == ModeWord::Each, report);
    belongs(&keys.max_args.at, "max_args", "each", mode == ModeWord::Each, report);
    if mode != ModeWord::Stream
        && let Some(at) = keys.mode.at.as_ref().or(keys.framing.at.as_ref())
        && keys.input.value.is_empty()
        && !keys.unread.may_be("input")
    {
        let fault = Diagnostic::error(format!("the stage `{}` has no `input`", draft.name)).at(&at.value);
        let fault = fault.label("this mode is about items that come in");
        report.push(fault.help("a source is a `command` with mode = \"stream\""));
    }
    if mode != ModeWord::Stream
        && let Some(at) = keys.input.at.as_ref().filter(|_| keys.input.value.len() > MAX_INPUTS)
    {
        let fault = Diagnostic::error("too many queues to read").at(&at.value);
        report.push(fault.accepted(format!("up to {MAX_INPUTS} in this mode")));
    }
    // As a default for all stages it is meant for those that it fits.
    for key in ["dead_codes", "later_codes"].into_iter().filter(|_| mode == ModeWord::Stream) {
        if let Some(at) = own(draft, key) {
            let title = format!("`{key}` goes with mode = \"each\" or mode = \"reply\"");
            let help = "with mode = \"stream\" an exit code is that of no one item";
            report.push(Diagnostic::error(title).at(&at.key).help(help));
        }
    }
    if mode == ModeWord::Each && keys.batch.value.is_none() {
        check_whole_input(draft, report);
    }
    check_stdout(draft, mode, report);
}

/// Output that goes elsewhere is no item.
fn check_stdout(draft: &Draft, mode: ModeWord, report: &mut Report) {
    let Some(at) = own(draft, "stdout") else { return };
    let fault = |title: &str| Diagnostic::error(title).at(&at.key);
    if let Some(output) = &draft.keys.output.at {
        let fault =
            fault("`stdout` has no place beside `output`").also(&output.key, "takes what the program writes");
        return report.push(fault.help("leave one of the two out"));
    }
    if draft.keys.stdout.value == Stdout::Items {
        return;
    }
    if mode == ModeWord::Reply {
        let fault = fault("`stdout` has no place beside mode = \"reply\"");
        return report.push(fault.help("the program's answers are on its standard output"));
    }
    for key in ["collect", "out_framing"] {
        if let Some(other) = own(draft, key) {
            let fault =
                Diagnostic::error(format!("`{key}` has no place beside this `stdout`")).at(&other.key);
            report.push(fault.also(&at.value, "no items come from it"));
        }
    }
}

/// `framing = "mprun"` says it all: the mode, what an answer is, and both framings.
fn check_protocol(draft: &Draft, protocol: bool, report: &mut Report) {
    let Some(at) = own(draft, "framing") else { return };
    if draft.keys.framing.value != Some(FramingWord::Mprun) {
        return;
    }
    if !protocol {
        let fault = Diagnostic::error("framing = \"mprun\" goes with mode = \"reply\"").at(&at.value);
        return report.push(fault.help("leave `mode` out: this framing implies it"));
    }
    for key in ["reply", "in_framing", "out_framing"] {
        if let Some(other) = own(draft, key) {
            let fault = Diagnostic::error(format!("`{key}` has no place beside framing = \"mprun\""));
            let help = "the program says itself where an answer ends, and its frames are the same both ways";
            report.push(fault.at(&other.key).help(help));
        }
    }
}

fn check_whole_input(draft: &Draft, report: &mut Report) {
    // Only where the stage itself says so: a default for all stages is meant for those that it fits.
    if let Some(at) = own(draft, "in_framing") {
        let fault = Diagnostic::error("`in_framing` has nothing to tell apart here").at(&at.key);
        report.push(fault.help("without `batch` the program's whole standard input is the item, as it is"));
    }
}

fn belongs(at: &Option<At>, key: &str, mode: &str, does: bool, report: &mut Report) {
    if let Some(at) = at.as_ref().filter(|_| !does) {
        report.push(Diagnostic::error(format!("`{key}` goes with mode = \"{mode}\"")).at(&at.key));
    }
}
