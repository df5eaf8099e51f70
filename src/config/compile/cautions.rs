//! What a file may say, and its writer may not have meant.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::At;
use crate::config::pipeline::code_words::code_words;
use crate::config::pipeline::placeholder::{Placeholders, has_argument};
use crate::config::pipeline::{Queue, WhenFailing};

/// `failing_timeout` beside a `when_failing` that waits for nothing.
pub(super) fn time_that_never_runs(draft: &Draft, report: &mut Report) {
    let at = draft.keys.failing_timeout.at.as_ref().filter(|_| draft.owns("failing_timeout"));
    if let Some(at) = at
        && draft.keys.when_failing.value != WhenFailing::Wait
    {
        let caution = Diagnostic::warning("`failing_timeout` has no effect here").at(&at.key);
        report.push(caution.help("it limits `when_failing = \"wait\"`"));
    }
}

/// A word of a command with the item inside of what an interpreter runs: the item can be any program.
pub(super) fn item_as_code(words: &[String], placeholders: Placeholders, at: &At, report: &mut Report) {
    let codes = code_words(words);
    let Some(code) = codes.iter().find(|code| has_argument(code.text, placeholders)) else { return };
    let program = code.program;
    // The code is a word, or the end of one.
    let is_in = |word: &String| word.as_bytes().as_ptr_range().contains(&code.text.as_ptr());
    let word = words.iter().position(is_in).unwrap_or(0);
    let caution = Diagnostic::warning(format!("the item is a piece of the program that `{program}` runs"));
    let caution = caution.at(at.element(word));
    let caution = caution.label("an item such as `$(reboot)` or `\"; reboot` would be obeyed");
    let help = match program.ends_with("awk") {
        true => "hand it over as a variable: [\"awk\", \"-v\", \"x={}\", \"… x …\"]",
        false => {
            "hand it over as a word of its own: [\"sh\", \"-c\", \"… \\\"$1\\\" …\", \"sh\", \"{}\"], or as one line for the shell, \
             with `\"$1\"`"
        }
    };
    report.push(caution.help(help));
}

/// Words that mean something to a shell, in a command that none reads.
pub(super) fn words_of_a_shell(words: &[String], at: &At, report: &mut Report) {
    const OF_A_SHELL: [&str; 9] = ["|", "||", "&&", ">", ">>", "<", "2>", "2>&1", "&"];
    /// For these some of them are operators, patterns or texts.
    const TAKE_THEM: [&str; 14] = [
        "expr", "test", "[", "find", "grep", "egrep", "rg", "sed", "awk", "tr", "paste", "jq", "echo",
        "printf",
    ];
    let program = words.first().map_or("", String::as_str);
    if TAKE_THEM.contains(&program.rsplit('/').next().unwrap_or_default()) {
        return;
    }
    let is_one = |&place: &usize| {
        let word = words[place].as_str();
        // What stands behind an option is its value: `sort -t "|"`. At the end most of them join nothing.
        let joins = place + 1 < words.len() || ["&", "2>&1"].contains(&word);
        OF_A_SHELL.contains(&word) && joins && !words[place - 1].starts_with('-')
    };
    let Some(place) = (1..words.len()).find(is_one) else { return };
    let title = format!("`{program}` gets `{}` as an argument: no shell reads a list of words", words[place]);
    let caution = Diagnostic::warning(title).at(at.element(place));
    report.push(caution.help("a line for the shell stands in quotes, without brackets: command = \"… | …\""));
}

/// Kept queues make a promise that a program which is a source can't keep.
pub(super) fn programs_before_kept_queues(drafts: &[Draft], queues: &[Queue], report: &mut Report) {
    if !queues.iter().any(|queue| queue.durable) {
        return;
    }
    for draft in drafts.iter().filter(|draft| draft.off.is_none() && draft.keys.input.value.is_empty()) {
        let (Some(at), false) = (&draft.keys.command.at, draft.keys.output.value.is_empty()) else {
            continue;
        };
        let title =
            format!("the queues are kept, but the program of `{}` begins anew at each start", draft.name);
        let caution = Diagnostic::warning(title).at(&at.value);
        let caution = caution.label("what it writes once more is in the queues twice");
        report.push(caution.help("a built-in source, such as `lines`, continues where it was"));
    }
}
