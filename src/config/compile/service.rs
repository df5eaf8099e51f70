//! A service: a program with neither input nor output. Keys about items have nothing to be about there.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::At;
use crate::config::pipeline::Invocation;

/// Faults.
const OF_ITEMS: [&str; 8] = [
    "retry",
    "rate",
    "order",
    "order_window",
    "when_failing",
    "failing_timeout",
    "dead_codes",
    "later_codes",
];
/// Older files may have these: they never had an effect there, or one on the lines that it prints.
const WITHOUT_EFFECT: [&str; 9] = [
    "attempts",
    "item_timeout",
    "sleep",
    "sleep_when_full",
    "sleep_when_empty",
    "log_items",
    "framing",
    "in_framing",
    "out_framing",
];

/// What the stage itself says; what `[defaults]` says is for the stages that it fits.
pub(super) fn check(draft: &Draft, report: &mut Report) {
    let keys = &draft.keys;
    let is_known = !keys.unread.may_be("input") && !keys.unread.may_be("output");
    let has_items = !keys.input.value.is_empty() || !keys.output.value.is_empty();
    if keys.command.value.is_none() || has_items || !is_known {
        return;
    }
    for (key, at) in &draft.own_keys {
        if OF_ITEMS.contains(key) {
            let fault = Diagnostic::error(format!("`{key}` is about items, and `{}` has none", draft.name));
            report.push(about(fault, at));
        } else if WITHOUT_EFFECT.contains(key) {
            let title = format!("`{key}` is about items, and `{}` has none: it has no effect", draft.name);
            report.push(about(Diagnostic::warning(title), at));
        }
    }
    if let Some(at) = keys.recycle.value.items.at.as_ref().filter(|_| draft.owns("recycle")) {
        let title = format!("`items` is about items, and `{}` has none: it has no effect", draft.name);
        report.push(about(Diagnostic::warning(title), at));
    }
    another_login(draft, report);
}

/// `su -` loses by what the processes of a run are known: PAM sets all limits anew, and the environment is cleared.
fn another_login(draft: &Draft, report: &mut Report) {
    let (Some(command), Some(at)) = (&draft.keys.command.value, &draft.keys.command.at) else { return };
    let words = match command {
        Invocation::Direct(words) => words.clone(),
        Invocation::Shell(line) => shlex::split(line).unwrap_or_default(),
    };
    let Some((program, options)) = words.split_first() else { return };
    let program = program.rsplit('/').next().unwrap_or_default();
    let is_login = |word: &String| ["-", "-l", "--login"].contains(&word.as_str());
    if ["su", "runuser"].contains(&program) && options.iter().any(is_login) {
        let title =
            format!("what a login by `{program}` starts may run on when mprun or `{program}` is killed");
        let caution = Diagnostic::warning(title).at(&at.value);
        report.push(caution.help("`user = \"NAME\"` runs the program as another user"));
    }
}

fn about(diagnostic: Diagnostic, at: &At) -> Diagnostic {
    diagnostic.at(&at.key).help("a program with neither `input` nor `output` is a service: it runs as it is")
}
