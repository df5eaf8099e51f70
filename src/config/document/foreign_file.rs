//! Files of other tools, given by mistake or in hope: one word about the whole says more than fifty about its lines.

use std::sync::Arc;

use crate::config::diagnostic::{Diagnostic, Source, Span};

/// A kind of file that is no pipeline file.
struct Foreign {
    is: &'static str,
    help: &'static str,
    /// The first line by which it is known.
    known_by: fn(&[&str]) -> Option<usize>,
}

const TO_START_FROM: &str = "`mprun init` writes a pipeline file to start from";

const ALL: [Foreign; 6] = [
    Foreign { is: "JSON", help: TO_START_FROM, known_by: json },
    Foreign {
        is: "a file of supervisord",
        help: "`mprun import supervisord FILE > pipeline.toml` makes a pipeline file of it",
        known_by: |lines| {
            let headers = ["[program:", "[supervisord]", "[eventlistener:", "[group:"];
            lines.iter().position(|line| headers.iter().any(|header| line.starts_with(header)))
        },
    },
    Foreign {
        is: "a file of Docker Compose",
        help: "`mprun import compose FILE > pipeline.toml` makes a pipeline file of it",
        known_by: |lines| lines.iter().position(|line| without_comment(line) == "services:"),
    },
    Foreign {
        is: "a unit of systemd",
        help: "`command` takes what stands behind `ExecStart=`; `mprun init` writes a pipeline file to start from",
        known_by: |lines| lines.iter().position(|line| line.starts_with("ExecStart=")),
    },
    Foreign { is: "a Makefile", help: TO_START_FROM, known_by: makefile },
    Foreign {
        is: "a Procfile",
        help: "`mprun import procfile FILE > pipeline.toml` makes a pipeline file of it",
        known_by: procfile,
    },
];

/// What is wrong with all of a text that is not TOML, if it can be seen whose it is.
pub(super) fn fault(source: &Arc<Source>) -> Option<Diagnostic> {
    let lines: Vec<&str> = source.text.lines().collect();
    // A pipeline file with a slip may quote such a one.
    if lines.iter().any(|line| line.trim_start().starts_with("[stages")) {
        return None;
    }
    let (foreign, line) = ALL.iter().find_map(|foreign| Some((foreign, (foreign.known_by)(&lines)?)))?;
    let start: usize = source.text.split_inclusive('\n').take(line).map(str::len).sum();
    let span = Span::new(source, start..start + lines[line].len());
    let title = format!("this is {}, no pipeline file", foreign.is);
    Some(Diagnostic::error(title).at(&span).help(foreign.help))
}

fn without_comment(line: &str) -> &str {
    line.split(" #").next().unwrap_or_default().trim_end()
}

fn says_something(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn json(lines: &[&str]) -> Option<usize> {
    let first = lines.iter().position(|line| !line.trim().is_empty())?;
    lines[first].trim_start().starts_with('{').then_some(first)
}

/// A name with a colon, and a recipe that is indented by a tab.
fn makefile(lines: &[&str]) -> Option<usize> {
    let is_rule = |two: &[&str]| {
        let name = two[0].split_once(':').map_or("", |(name, _)| name);
        !name.is_empty()
            && !name.starts_with([' ', '\t', '#'])
            && !name.contains('=')
            && two[1].starts_with('\t')
    };
    lines.windows(2).position(is_rule)
}

/// Nothing but `name: program …`.
fn procfile(lines: &[&str]) -> Option<usize> {
    let is_process = |line: &&str| {
        line.split_once(':').is_some_and(|(name, command)| {
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
            let begins_as_a_program = |letter: char| letter.is_ascii_alphabetic() || "./$".contains(letter);
            !name.is_empty()
                && name.chars().all(is_name)
                && command.starts_with([' ', '\t'])
                && command.trim_start().starts_with(begins_as_a_program)
        })
    };
    let mut said = lines.iter().filter(|line| says_something(line)).peekable();
    said.peek()?;
    said.all(is_process).then(|| lines.iter().position(|line| says_something(line)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(text: &str, said: Option<&str>) {
        let source = Arc::new(Source { name: "x".into(), text: text.into() });
        let fault = fault(&source).map(|fault| crate::config::Report::from(fault).to_string());
        match said {
            Some(said) => {
                assert!(fault.as_ref().is_some_and(|fault| fault.contains(said)), "{text}: {fault:?}")
            }
            None => assert_eq!(fault, None, "{text}"),
        }
    }

    #[test]
    fn files_of_other_tools_are_known() {
        is("; all\n[program:web]\ncommand=cat\n", Some("mprun import supervisord"));
        is("version: '3'\nservices: # here\n  web:\n    image: x\n", Some("mprun import compose"));
        is("# of the shop\nweb: python3 web.py\n\nworker: ./work --fast\n", Some("mprun import procfile"));
        is("[Unit]\n[Service]\nExecStart=/bin/cat\n", Some("`command` takes what stands behind"));
        is("CC = cc\nall: a b\n\tcc -o all a b\n", Some("a Makefile"));
        is("\n {\n \"stages\": {} }\n", Some("JSON"));
        is("", None);
        is("name: even\nstages:\n  produce:\n    use: random\n", None);
        is("drain_timeout: 5s\n", None);
        is("[stages.a]\ncommand: 'cat'\n", None);
        is("[stages.a]\nprocesses = two\ncommand = '''\nExecStart=x\n'''\n", None);
    }
}
