//! Holds a pipeline against what was found. Pure.

use super::needs::MachineNeeds;
use super::survey::{EnvFile, Folder, FolderAsFile, Found, Name, Program, Survey, Token};
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::pipeline::{Command, Pipeline, Stage};
use std::path::Path;

/// All that is not there.
pub(super) fn check(pipeline: &Pipeline, needs: &MachineNeeds, survey: &Survey) -> Report {
    let mut report = Report::new();
    if let Some((key, why)) = &survey.broker {
        let fault = Diagnostic::error(format!("the way to the broker lacks a file: {why}"));
        report.push(placed_at(needs.span_of_file(key), fault));
    }
    for token in &survey.tokens {
        report.push(placed_at(needs.span_of_file(&token.key), of_token(token)));
    }
    if survey.has_one_token {
        let fault = Diagnostic::error("`read_token_file` holds the token of `token_file`");
        let fault = fault.help("it would be good for everything: write another token for looking there");
        report.push(placed_at(needs.span_of_file("read_token_file"), fault));
    }
    for stage in &pipeline.stages {
        let Some(found) = survey.stages.get(&stage.name) else { continue };
        let faults = stage.work.command().map_or_else(Vec::new, |command| of_command(command, found));
        let of_use = [
            found.is_folder.as_ref().map(folder_as_file),
            found.no_input.as_deref().map(no_input),
            found.no_folder.as_deref().map(no_folder),
            found.no_authority.as_ref().map(Diagnostic::error),
        ];
        let of_use = of_use.into_iter().flatten().map(|diagnostic| ("with", diagnostic));
        for (key, diagnostic) in faults.into_iter().chain(of_use) {
            report.push(placed(diagnostic, stage, needs, key));
        }
    }
    report
}

fn placed(diagnostic: Diagnostic, stage: &Stage, needs: &MachineNeeds, key: &'static str) -> Diagnostic {
    placed_at(needs.span(&stage.name, key), diagnostic)
}

fn placed_at(span: Option<&Span>, diagnostic: Diagnostic) -> Diagnostic {
    match span {
        Some(span) => diagnostic.at(span),
        None => diagnostic,
    }
}

fn of_token(Token { key, path, why, is_shown }: &Token) -> Diagnostic {
    let shown = path.display();
    if *is_shown {
        let help = format!("`chmod o= {shown}` takes that right from them");
        return Diagnostic::warning(why).help(help);
    }
    let fault = Diagnostic::error(format!("there is no token in {shown}: {why}"));
    fault.help(format!(
        "`head -c 24 /dev/urandom | base64` prints one to write there, with mode 0600; without `{key}` mprun makes its own"
    ))
}

fn of_command(command: &Command, found: &Found) -> Vec<(&'static str, Diagnostic)> {
    let without_group = found.user == Some(Name::Number) && command.group.is_none();
    let help = "a user by number that has no name needs a `group` too";
    let nameless = Diagnostic::error("this user has no name on this machine, and so no group").help(help);
    let user = command.user.as_deref().and_then(|name| unknown("user", name, found.user.as_ref()?));
    let group = command.group.as_deref().and_then(|name| unknown("group", name, found.group.as_ref()?));
    [
        ("command", found.program.as_ref().and_then(program)),
        ("ready", found.ready.as_ref().and_then(program)),
        ("health", found.health.as_ref().and_then(program)),
        ("env_file", found.env_file.as_ref().and_then(env_file)),
        ("cwd", found.folder.as_ref().and_then(folder)),
        ("user", user.or(without_group.then_some(nameless))),
        ("group", group),
    ]
    .into_iter()
    .filter_map(|(key, fault)| Some((key, fault?)))
    .collect()
}

fn program(program: &Program) -> Option<Diagnostic> {
    Some(match program {
        Program::Good => return None,
        Program::NotInPath { name, path, near } => {
            let fault = Diagnostic::error(format!("there is no program `{name}` in the PATH {path}"));
            or_a_line(fault, name, near)
        }
        Program::Missing { path, near } => {
            let fault = Diagnostic::error(format!("there is no program {}", path.display()));
            or_a_line(fault, &path.file_name().unwrap_or_default().to_string_lossy(), near)
        }
        Program::NoInterpreter { path, interpreter } => no_interpreter(path, interpreter),
        Program::Bad { path, is_folder: true } => {
            Diagnostic::error(format!("{} is a folder, not a program", path.display()))
        }
        Program::Bad { path, is_folder: false } => {
            let path = path.display();
            let fault = Diagnostic::error(format!("{path} is there, but it can't be executed"));
            fault.help(format!("`chmod +x {path}` makes a program of it; or name its interpreter first"))
        }
    })
}

/// A name with spaces in it is rather a line with a program and its arguments.
fn or_a_line(fault: Diagnostic, name: &str, near: &Option<String>) -> Diagnostic {
    match (near, name.contains(char::is_whitespace)) {
        (None, true) => fault.help(
            "each word stands in quotes of its own: [\"sort\", \"-u\"]; a line for the shell has no brackets: \"sort | uniq\"",
        ),
        (_, _) => fault.did_you_mean(code(near)),
    }
}

fn no_interpreter(path: &Path, interpreter: &str) -> Diagnostic {
    let path = path.display();
    match interpreter.strip_suffix('\r') {
        Some(name) => Diagnostic::error(format!(
            "the first line of {path} ends with a carriage return, which becomes a part of `{name}`"
        ))
        .help(format!("`sed -i 's/\\r$//' {path}` takes the line ends of Windows out of it")),
        None => Diagnostic::error(format!("there is no {interpreter}, which the first line of {path} names")),
    }
}

fn env_file(file: &EnvFile) -> Option<Diagnostic> {
    match file {
        EnvFile::Good(_) => None,
        EnvFile::Bad { why, near } => Some(Diagnostic::error(why).did_you_mean(code(near))),
    }
}

fn folder(folder: &Folder) -> Option<Diagnostic> {
    match folder {
        Folder::Good => None,
        Folder::Missing { path, near } => {
            Some(Diagnostic::error(format!("there is no folder {}", path.display())).did_you_mean(code(near)))
        }
        Folder::Bad { path, why } => {
            Some(Diagnostic::error(format!("no program can run in {}: {why}", path.display())))
        }
    }
}

fn unknown(what: &str, name: &str, found: &Name) -> Option<Diagnostic> {
    match found {
        Name::Known | Name::Number => None,
        Name::Unknown { near } => {
            Some(Diagnostic::error(format!("there is no {what} `{name}`")).did_you_mean(code(near)))
        }
        Name::NotAnswered(why) => {
            Some(Diagnostic::error(format!("the {what} `{name}` can't be looked up: {why}")))
        }
    }
}

fn folder_as_file(folder: &FolderAsFile) -> Diagnostic {
    match folder {
        FolderAsFile::Read(path) => {
            let path = path.display();
            let fault = Diagnostic::error(format!("{path} is a folder, not a file"));
            fault.help(format!("`{path}/*` means all files in it"))
        }
        FolderAsFile::Written(path) => {
            let fault =
                Diagnostic::error(format!("{} is a folder: no file can be written there", path.display()));
            fault.help("name a file in it")
        }
    }
}

/// It may come before the stage gets there.
fn no_input(path: &Path) -> Diagnostic {
    let warning = Diagnostic::warning(format!("no file matches {}", path.display()));
    warning.help("the stage fails if there is none when it starts; `follow = true` waits for one")
}

/// It may be made, or mounted, before the stage gets there.
fn no_folder(path: &Path) -> Diagnostic {
    let path = path.display();
    let warning = Diagnostic::warning(format!("there is no folder {path}"));
    warning.help(format!("`mkdir -p {path}` makes it; the stage fails if it is not there when it starts"))
}

fn code(near: &Option<String>) -> Option<String> {
    near.as_ref().map(|near| format!("`{near}`"))
}
