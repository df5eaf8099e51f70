//! A command stage: its keys, and what they mean to each other.

use super::cautions;
use super::draft::Draft;
use super::mode;
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::elements::{ModeWord, Part};
use crate::config::keys::StageKeys;
use crate::config::pipeline::{self, Command, JobLog, Placeholders, placeholder, shell_line};
use crate::numbers::counted;

/// The checked command of a stage that has one.
pub(super) fn compile(draft: &Draft, report: &mut Report) -> Option<Command> {
    let keys = &draft.keys;
    let invocation = keys.command.value.clone()?;
    mode::check(draft, report);
    check_arguments(&invocation, keys, report);
    check_codes(keys, report);
    check_memory(keys, report);
    check_schedule(draft, report);
    let framing = mode::framing(draft);
    Some(Command {
        invocation,
        mode: mode::mode(draft),
        in_framing: keys.in_framing.value.unwrap_or(framing),
        out_framing: keys.out_framing.value.unwrap_or(framing),
        stdout: mode::stdout(draft),
        env_file: keys.env_file.value.clone(),
        joblog: job_log(keys, report),
        ..keys.part()
    })
}

/// Less address space than any program needs to begin.
fn check_memory(keys: &StageKeys, report: &mut Report) {
    const LEAST: u64 = 1 << 20;
    let memory = &keys.limits.value.memory;
    let (Some(bytes), Some(at)) = (memory.value.filter(|bytes| *bytes < LEAST), &memory.at) else { return };
    let title = format!("no program begins with {} of memory", counted(bytes, "byte"));
    let fault = Diagnostic::error(title).at(&at.value);
    let is_bare = at.value.text().trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    report.push(match is_bare {
        true => fault.help(format!("a number alone is of bytes: did you mean \"{bytes}MiB\"?")),
        false => fault.help("it is for all that a process maps, libraries included: such as \"1GiB\""),
    });
}

/// A job log needs a name, and items that end one by one.
fn job_log(keys: &StageKeys, report: &mut Report) -> Option<JobLog> {
    let (at, log) = (keys.joblog.at.as_ref()?, &keys.joblog.value);
    if let Some(batch) = &keys.batch.at {
        let fault =
            Diagnostic::error("`joblog` has a row for each item, but `batch` hands over many at once");
        report.push(fault.at(&at.key).also(&batch.key, "here"));
    }
    let Some(path) = &log.path.value else {
        if !log.unread.may_be("path") {
            let fault = Diagnostic::error("`joblog` has no `path`").at(&at.value);
            report.push(fault.help("such as `joblog = { path = \"jobs.log\" }`"));
        }
        return None;
    };
    Some(JobLog { path: path.clone(), resume: log.resume.value })
}

/// Keys of a program in a stage that has none.
pub(super) fn check_absent(draft: &Draft, report: &mut Report) {
    for (key, at) in &draft.own_program_keys {
        let fault = Diagnostic::error(format!("`{key}` is for a stage with a `command`")).at(&at.key);
        report.push(fault.help("the built-ins run inside of mprun: what they can be told stands in `with`"));
    }
}

/// What is started by the clock is started by nothing else.
fn check_schedule(draft: &Draft, report: &mut Report) {
    let keys = &draft.keys;
    let Some(at) = &keys.schedule.at else { return };
    if let Some(input) = &keys.input.at {
        let fault = Diagnostic::error("`schedule` goes with a program that reads no queue").at(&at.key);
        report.push(fault.also(&input.key, "its items start its work"));
    }
    if let Some(restart) = keys.restart.at.as_ref().filter(|_| draft.sets_restart) {
        let fault = Diagnostic::error("`restart` has no place beside `schedule`").at(&restart.key);
        report.push(
            fault
                .also(&at.key, "starts it again")
                .help("a run that fails is logged; the next one comes at its time"),
        );
    }
}

/// An exit code means one thing.
fn check_codes(keys: &StageKeys, report: &mut Report) {
    let good = (&keys.success_codes.at, &keys.success_codes.value, "success");
    let dead = (&keys.dead_codes.at, &keys.dead_codes.value, "a dead letter");
    let later = (&keys.later_codes.at, &keys.later_codes.value.0, "not now");
    for [(one, codes, means), (other, others, other_means)] in [[dead, good], [later, good], [later, dead]] {
        let (Some(one), Some(other)) = (one, other) else { continue };
        let place = |code: &u8| others.iter().position(|other| other == code);
        let both = codes.iter().enumerate().find_map(|(n, code)| Some((code, n, place(code)?)));
        if let Some((code, n, m)) = both {
            let title = format!("exit code {code} can't mean both {other_means} and {means}");
            let fault = Diagnostic::error(title).at(one.element(n)).also(other.element(m), other_means);
            report.push(fault.help("leave it out of one of the two lists"));
        }
    }
}

/// `{}` stands for an item: only where there is one.
fn check_arguments(invocation: &pipeline::Invocation, keys: &StageKeys, report: &mut Report) {
    let Some(at) = &keys.command.at else { return };
    let words = match invocation {
        pipeline::Invocation::Direct(words) => words,
        pipeline::Invocation::Shell(line) => return check_line(line, keys, &at.value, report),
    };
    cautions::words_of_a_shell(words, at, report);
    let placeholders = keys.placeholders.value;
    let Some(word) = words.iter().position(|word| placeholder::takes_item(word, placeholders)) else {
        return without_placeholder(keys, &at.value, report);
    };
    let word = at.element(word);
    cautions::item_as_code(words, placeholders, at, report);
    let escaped = "for `{}` as it is, write `{{}}`";
    if keys.mode.value != ModeWord::Each {
        let fault = Diagnostic::error("`{}` goes with mode = \"each\": here no one item is at hand");
        report.push(fault.at(word).help(escaped));
    } else if let Some(batch) = &keys.batch.at {
        let fault = Diagnostic::error("`{}` is one item, but `batch` hands over many at once").at(word);
        report.push(fault.also(&batch.key, "on standard input").help(escaped));
    }
}

/// Keys about the item as arguments, where it is none.
fn without_placeholder(keys: &StageKeys, at: &Span, report: &mut Report) {
    if let Some(max_args) = keys.max_args.at.as_ref().filter(|_| keys.mode.value == ModeWord::Each) {
        let fault =
            Diagnostic::error("`max_args` is about arguments, but the command takes none from its item");
        let help = "add `{}` as a word of the command";
        report.push(fault.at(&max_args.key).also(at, "without `{}`").help(help));
    }
}

/// In a line for the shell the item is no text to be put in, which would run it as code.
fn check_line(line: &str, keys: &StageKeys, at: &Span, report: &mut Report) {
    if keys.placeholders.value != Placeholders::Item || keys.max_args.value.is_some() {
        let keys = [(&keys.placeholders.at, "placeholders"), (&keys.max_args.at, "max_args")];
        for (at, key) in keys.into_iter().filter_map(|(at, key)| Some((at.as_ref()?, key))) {
            let fault = Diagnostic::error(format!("`{key}` goes with a command that is a list of words"));
            let help = "such as [\"sh\", \"-c\", \"… \\\"$1\\\" …\", \"sh\", \"{}\"]";
            report.push(fault.at(&at.key).help(help));
        }
    }
    if !shell_line::has_braces(line) {
        return;
    }
    let fault = Diagnostic::error("`{}` is not the item in a line for the shell").at(at);
    let fault = match (keys.mode.value, &keys.batch.at) {
        (ModeWord::Each, None) => fault.help("the item is `\"$1\"`, with these quotes"),
        (ModeWord::Each, Some(batch)) => fault.also(&batch.key, "the items are on standard input"),
        (_, _) => fault.help("with mode = \"each\" the item is `\"$1\"`; else items are on standard input"),
    };
    report.push(fault.help("for `{}` as it is, write `'{}'`"));
}
