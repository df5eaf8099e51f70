//! Command lines that a reader sees, in blocks of the docs (also in those that no test runs) and in the examples of `--help`, are
//! read by mprun's own parser.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::args::{Cli, Verb};
use super::shell_tokens::{TokenKind, tokens};
use super::{one_line, verbless};

/// Commands that start the program named behind them, each with the number of words before that.
const BEFORE: [(&str, usize); 6] =
    [("sudo", 0), ("exec", 0), ("nohup", 0), ("time", 0), ("env", 0), ("timeout", 1)];

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => pages(&path, found),
            false if path.extension().is_some_and(|end| end == "md") => found.push(path),
            false => {}
        }
    }
}

/// What is typed in the blocks of a page.
fn typed(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (mut in_block, mut goes_on) = (false, false);
    for line in page.lines().map(str::trim_start) {
        if line.starts_with("```") {
            (in_block, goes_on) = (!in_block, false);
            continue;
        }
        let first = line.strip_prefix("$ ").or_else(|| {
            let machine = line.strip_prefix("machine ")?;
            machine.split_once(" $ ").map(|(_, line)| line)
        });
        match (first, found.last_mut()) {
            (Some(line), _) if in_block => found.push(line.to_owned()),
            (None, Some(last)) if in_block && goes_on && line.starts_with("> ") => {
                let next = &line[2..];
                *last = match last.strip_suffix('\\') {
                    Some(last) => format!("{last}{next}"),
                    None => format!("{last}\n{next}"),
                };
            }
            _ => {
                goes_on = false;
                continue;
            }
        }
        goes_on = true;
    }
    found
}

/// The words behind each `mprun` of a line, with that.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut found, mut words, mut is_target) = (Vec::new(), Vec::new(), false);
    for token in tokens(line).unwrap_or_else(|why| panic!("{line}: {why}")) {
        match token.kind {
            TokenKind::Word(_) if std::mem::take(&mut is_target) => {}
            TokenKind::Word(word) => words.push(word.text),
            TokenKind::Redirect(_) => is_target = true,
            TokenKind::Join | TokenKind::Pipe | TokenKind::Open | TokenKind::Close => {
                found.push(std::mem::take(&mut words));
            }
        }
    }
    found.push(words);
    found.into_iter().filter_map(of_mprun).collect()
}

fn of_mprun(words: Vec<String>) -> Option<Vec<String>> {
    let mut rest = &words[..];
    loop {
        let first = rest.first()?;
        let before = BEFORE.iter().find(|(name, _)| name == first);
        match before {
            _ if first == "mprun" || first.ends_with("/mprun") => return Some(rest.to_vec()),
            Some((_, own)) => rest = rest.get(1 + own..)?,
            None if first.contains('=') => rest = &rest[1..],
            None => return None,
        }
    }
}

/// Why mprun would not take a line.
fn refusal(words: &[String]) -> Option<String> {
    let args: Vec<OsString> = words.iter().map(OsString::from).collect();
    let args = match verbless::complete(args) {
        Ok(args) => args,
        Err(failure) => return Some(failure.to_string()),
    };
    let verb = verbless::verb(&args).map(ToOwned::to_owned);
    match Cli::parse_line(args, verb.as_deref()) {
        Ok(Cli { verb: Verb::Do(args), .. }) => one_line::text(args).err().map(|failure| failure.to_string()),
        Ok(_) => None,
        Err(answer) if matches!(answer.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => None,
        Err(answer) => Some(answer.to_string()),
    }
}

#[track_caller]
fn all_are_taken(lines: impl Iterator<Item = (String, String)>, least: usize) {
    let (mut seen, mut refused) = (0, Vec::new());
    for (place, line) in lines {
        for words in commands(&line) {
            seen += 1;
            refused.extend(refusal(&words).map(|why| format!("{place}: {line}\n{why}")));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(seen >= least, "only {seen} lines were found");
}

#[test]
fn each_line_in_a_block_of_the_docs_is_one_that_mprun_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"].map(|name| root.join(name)).to_vec();
    pages(&root.join("docs"), &mut all);
    let lines = all.iter().flat_map(|page| {
        let place = page.strip_prefix(root).unwrap().display().to_string();
        typed(&fs::read_to_string(page).unwrap()).into_iter().map(move |line| (place.clone(), line))
    });
    all_are_taken(lines, 100);
}

#[test]
fn each_example_of_the_help_is_one_that_mprun_takes() {
    fn examples(command: &clap::Command, found: &mut Vec<(String, String)>) {
        let help = command.get_after_long_help().or_else(|| command.get_after_help());
        let help = help.map(ToString::to_string).unwrap_or_default();
        let lines = help.lines().filter_map(|line| {
            let line = line.strip_prefix("  ").filter(|line| line.contains("mprun "))?;
            // What is behind three blanks says what it does.
            Some(line.split("   ").next().unwrap_or(line).to_owned())
        });
        found.extend(lines.map(|line| (format!("{} --help", command.get_name()), line)));
        command.get_subcommands().for_each(|command| examples(command, found));
    }
    let mut all = Vec::new();
    examples(&Cli::command(), &mut all);
    all_are_taken(all.into_iter(), 60);
}

#[test]
fn what_is_typed_is_found_in_its_block() {
    let page = "$ mprun no\n```console\n$ a && mprun b > c | time mprun d \\\n> -e\nmprun f\n> g\n```\n1. i\n   ```\n   machine 2 $ sudo A=b /x/mprun h\n   ```\n";
    let found: Vec<Vec<String>> = typed(page).iter().flat_map(|line| commands(line)).collect();
    assert_eq!(found, [vec!["mprun", "b"], vec!["mprun", "d", "-e"], vec!["/x/mprun", "h"]]);
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (line, is_good) in [
        ("mprun check a.toml", true),
        ("mprun status --chek", false),
        ("mprun stats", false),
        ("mprun do -j2 echo ::: a", true),
        ("mprun do --jj 2 echo", false),
        ("mprun help scale", true),
    ] {
        assert_eq!(refusal(&words(line)).is_none(), is_good, "{line}");
    }
}
