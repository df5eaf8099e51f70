//! `mprun FILE` is `mprun run FILE`; a verb with a typo is no file.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;
use super::output::Failure;
use crate::config::diagnostic::{nearest, quote};

/// Words that other tools have for a command.
const INSTEAD: [(&[&str], &str); 8] = [
    (&["list", "ls", "jobs"], "ps"),
    (&["kill", "quit", "exit", "shutdown", "down"], "stop"),
    (&["validate", "lint", "verify", "test"], "check"),
    (&["config", "diff", "show"], "plan"),
    (&["exec", "execute", "up"], "run"),
    (&["log", "tail"], "logs"),
    (&["info", "state", "stats"], "status"),
    (&["new", "create"], "init"),
];

/// Options that people give where a file is run, and what to write there.
const INSTEAD_OF_OPTIONS: [(&[&str], &str); 7] = [
    (&["--version", "-V"], "`mprun --version` stands by itself, and prints the version of mprun"),
    (&["-c", "--config", "--conf", "-f", "--file"], "a file needs no option before it: `mprun FILE`"),
    (
        &["--dry-run", "--check", "--test", "-t", "--validate"],
        "`mprun check FILE` says whether a file is good, `mprun graph FILE` draws it",
    ),
    (
        &["-d", "--daemon", "--daemonize", "--detach", "--background"],
        "a run stays in the foreground; `mprun service install FILE` makes it a service of systemd",
    ),
    (&["--nodaemon", "--foreground", "--no-daemon"], "a run stays in the foreground without it"),
    (
        &["-j", "--jobs", "-p", "-P", "--processes", "--workers", "--scale"],
        "each stage has its own number: `processes` in the file, or `--set stages.NAME.processes=N`",
    ),
    (&["--loglevel", "--log-level", "--debug", "-l"], "-v says more, -q less; each may be given twice"),
];

/// Options of `run` whose next word is their value.
const WITH_VALUE: [&str; 4] = ["--set", "--stages", "--report", "--progress"];

/// Puts in the verb `run` where there is none.
pub(super) fn complete(mut args: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let Some((word, after_dashes)) = first_word(&args) else { return Ok(args) };
    let text = word.to_string_lossy();
    // Names of files have an ending or a folder, as a rule; verbs have not.
    if !after_dashes && text.chars().all(|c| c.is_alphabetic() || c == '-') {
        if ["run", "do"].contains(&text.as_ref()) {
            return Ok(args);
        }
        let mut command = Cli::command();
        command.build(); // its own verb `help` is among them from here on
        let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        if text == "help" {
            return check_help(&args, &command).map(|()| args);
        }
        if verbs.contains(&text.as_ref()) {
            return Ok(args);
        }
        if text.chars().all(char::is_alphabetic) && !Path::new(word).exists() {
            return Err(no_verb(&text, &verbs));
        }
    }
    args.insert(1, "run".into());
    Ok(args)
}

/// What clap says of an option that no file is run with, with what to write instead.
pub(super) fn instead(error: &clap::Error) -> Option<Failure> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = option.split('=').next().unwrap_or(option);
    let (_, do_this) = INSTEAD_OF_OPTIONS.iter().find(|(names, _)| names.contains(&name))?;
    Some(Failure::usage(format!("`mprun FILE` takes no {name}: {do_this}")))
}

/// The words behind `mprun help` are commands, one in another.
fn check_help(args: &[OsString], command: &clap::Command) -> Result<(), Failure> {
    let words = args.iter().map(|arg| arg.to_string_lossy()).filter(|arg| !arg.starts_with('-')).skip(2);
    let (mut command, mut path) = (command, "mprun help".to_owned());
    for word in words {
        let Some(inner) = command.find_subcommand(word.as_ref()) else {
            let names = command.get_subcommands().filter(|verb| !verb.is_hide_set());
            let hint = match nearest(&word, names.map(clap::Command::get_name)) {
                Some(near) => format!("did you mean `{path} {near}`?"),
                None => format!("`{path}` lists them"),
            };
            return Err(Failure::usage(format!("there is no command {}: {hint}", quote(&word))));
        };
        command = inner;
        path = format!("{path} {word}");
    }
    Ok(())
}

fn no_verb(text: &str, verbs: &[&str]) -> Failure {
    let title = format!("there is no command and no file {}", quote(text));
    let file = format!("{text}.toml");
    let instead = INSTEAD.iter().find(|(words, _)| words.contains(&text)).map(|(_, verb)| *verb);
    let hint = match instead.or_else(|| nearest(text, verbs.iter().copied())) {
        _ if Path::new(&file).is_file() => format!("did you mean `mprun {file}`?"),
        Some(verb) => format!("did you mean `mprun {verb}`?"),
        None => "`mprun help` lists the commands".to_owned(),
    };
    Failure::usage(format!("{title}: {hint}"))
}

/// The verb of a complete line.
pub(super) fn verb(args: &[OsString]) -> Option<&OsStr> {
    first_word(args).filter(|(_, after_dashes)| !after_dashes).map(|(word, _)| word)
}

/// The first word that is neither an option nor the value of one, and whether a `--` stands before it.
fn first_word(args: &[OsString]) -> Option<(&OsStr, bool)> {
    let mut words = args.iter().skip(1).map(OsString::as_os_str);
    while let Some(word) = words.next() {
        let text = word.to_str();
        if text == Some("--") {
            return words.next().map(|word| (word, true));
        }
        if WITH_VALUE.iter().any(|option| text == Some(option)) {
            words.next();
        } else if !text.is_some_and(|text| text.len() > 1 && text.starts_with('-')) {
            return Some((word, false));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> Option<String> {
        let args = line.split_whitespace().map(OsString::from).collect();
        let args = complete(args).ok()?;
        Some(args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_file_is_run() {
        for (line, full) in [
            ("mprun x.toml", "mprun run x.toml"),
            ("mprun -v x.toml --help", "mprun run -v x.toml --help"),
            ("mprun --set a=b x.toml", "mprun run --set a=b x.toml"),
            ("mprun --set=a=b ./check", "mprun run --set=a=b ./check"),
            ("mprun -- check", "mprun run -- check"),
            ("mprun -", "mprun run -"),
        ] {
            assert_eq!(completed(line).as_deref(), Some(full));
        }
    }

    #[test]
    fn a_verb_is_left_alone() {
        for line in
            ["mprun", "mprun --help", "mprun -q check x.toml", "mprun schema", "mprun help", "mprun help run"]
        {
            assert_eq!(completed(line).as_deref(), Some(line));
        }
    }

    #[test]
    fn help_of_a_verb_with_a_typo_names_the_nearest() {
        let fault = |line: &str| {
            let args = line.split_whitespace().map(OsString::from).collect();
            complete(args).unwrap_err().to_string()
        };
        assert_eq!(
            fault("mprun help statsu"),
            r#"there is no command "statsu": did you mean `mprun help status`?"#
        );
        assert_eq!(
            fault("mprun help dead lsit"),
            r#"there is no command "lsit": did you mean `mprun help dead list`?"#
        );
        assert_eq!(
            fault("mprun help dead frobnicate"),
            r#"there is no command "frobnicate": `mprun help dead` lists them"#
        );
        assert!(completed("mprun help dead list").is_some() && completed("mprun -q help --").is_some());
    }

    #[test]
    fn a_verb_with_a_typo_is_no_file() {
        assert_eq!(completed("mprun chekc x.toml"), None);
        assert_eq!(completed("mprun frobnicate x.toml"), None);
    }

    #[test]
    fn a_word_of_another_tool_is_told_what_to_use() {
        let verbs: Vec<String> =
            Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        for (words, instead) in INSTEAD {
            assert!(verbs.iter().any(|verb| verb == instead), "{instead}");
            for word in words {
                assert!(!verbs.iter().any(|verb| verb == word), "{word}");
                let fault = complete(vec!["mprun".into(), word.into()]).unwrap_err().to_string();
                assert!(fault.ends_with(&format!("did you mean `mprun {instead}`?")), "{fault}");
            }
        }
    }
}
