//! `mprun run --progress`: a bar for each stage of a run that ends by itself, or lines now and then. `mprun do --bar`: one line.
//!
//! A thread asks the supervisor for its status, as any client of the control socket does. Where there are bars, one more
//! thread has the terminal for itself ([`terminal_thread`]): it draws, and above the bars it writes the lines of the log,
//! which come through the log pipe ([`logs`](crate::logs)). Standard output is never touched. There are no bars on a
//! terminal that a stage prints to or reads from; the line of `mprun do` has a row of its own there ([`status_line`]).
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the supervisor | the bars as they were last | the cursor is in the line below them, no mode of the terminal was changed |
//! | the supervisor of a line | the line, and a scrolling region without its row | the guardian gives the terminal back |
//! | a worker, in the middle of a line | the beginning of it in the pipe | it is shown, the next line follows it |

mod bars;
mod estimate;
mod lines;
mod screen;
mod show;
mod status_line;
mod terminal_thread;

pub(crate) use show::Show;
pub(crate) use status_line::GIVE_BACK;
pub(crate) use terminal_thread::TerminalThread;

use crate::config::Pipeline;
use crate::stage::Registry;
use crate::terminal;
use std::str::FromStr;
use std::time::Duration;

/// When progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// Of runs that will end.
    #[default]
    Auto,
    /// Of all runs.
    Always,
    /// Of none.
    Never,
    /// As one line at the bottom of the terminal, whatever is printed there.
    OneLine,
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<When, String> {
        match text {
            "auto" => Ok(When::Auto),
            "always" => Ok(When::Always),
            "never" => Ok(When::Never),
            _ => Err("it is auto, always or never".to_owned()),
        }
    }
}

/// How progress is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A bar for each stage.
    Bars,
    /// One line, about this stage.
    OneLine(String),
    /// A line now and then, the first one after this time.
    Lines(Duration),
}

/// The first line of `auto`: short runs show none.
const AUTO_FIRST_LINE: Duration = Duration::from_secs(10);
/// The first line of `always`.
const ALWAYS_FIRST_LINE: Duration = Duration::from_secs(1);

/// What is on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminals {
    stdin: bool,
    stdout: bool,
    /// And can move the cursor.
    stderr: bool,
}

impl Terminals {
    /// Those of this process.
    pub(crate) fn here() -> Terminals {
        Terminals {
            stdin: terminal::stdin().is_terminal,
            stdout: terminal::stdout().is_terminal,
            stderr: terminal::stderr().moves_cursor,
        }
    }
}

/// How the progress of a run is shown, if at all.
pub(crate) fn form(wanted: When, pipeline: &Pipeline, registry: &Registry, on: Terminals) -> Option<Form> {
    let sources = || pipeline.stages.iter().filter(|stage| stage.work.inputs.is_empty());
    let ends = sources().all(|stage| stage.work.ends(registry));
    let prints = pipeline.stages.iter().any(|stage| stage.work.prints(registry));
    let types = sources().any(|stage| stage.work.reads_stdin(registry));
    let is_free = on.stderr && !(on.stdout && prints) && !(on.stdin && types);
    match wanted {
        When::Never => None,
        When::Auto if !ends => None,
        When::Auto | When::Always if is_free => Some(Form::Bars),
        When::Auto => Some(Form::Lines(AUTO_FIRST_LINE)),
        When::OneLine if on.stderr => Some(Form::OneLine(last_command(pipeline))),
        When::Always | When::OneLine => Some(Form::Lines(ALWAYS_FIRST_LINE)),
    }
}

/// What comes behind it only prints.
fn last_command(pipeline: &Pipeline) -> String {
    let mut stages = pipeline.stages.iter().rev();
    let last = stages.find(|stage| stage.work.command().is_some());
    last.map(|stage| stage.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, Texts, load_texts};

    fn of(wanted: When, text: &str, on: [bool; 3]) -> Option<Form> {
        let registry = Registry::builtin();
        let texts = Texts { main: text.to_owned(), ..Texts::default() };
        let loaded = load_texts("p.toml".as_ref(), texts, &LoadOptions::default(), &registry).unwrap();
        let [stdin, stdout, stderr] = on;
        form(wanted, &loaded.pipeline, &registry, Terminals { stdin, stdout, stderr })
    }

    const FINITE: &str = "[stages.a]\nuse = 'count'\nwith = { to = 9 }\noutput = 'q'\n\
                          [stages.b]\nuse = 'discard'\ninput = 'q'\n";

    #[test]
    fn a_run_that_will_end_has_bars_where_the_terminal_is_free() {
        let endless = FINITE.replace("with = { to = 9 }", "");
        let program = FINITE.replace("use = 'count'\nwith = { to = 9 }", "command = 'seq 9'");
        let prints = FINITE.replace("use = 'discard'", "use = 'words'");
        let types = FINITE.replace("use = 'count'\nwith = { to = 9 }", "use = 'stdin'");
        let (all, log) = ([true; 3], [false; 3]);
        let (soon, later) = (|| Some(Form::Lines(ALWAYS_FIRST_LINE)), || Some(Form::Lines(AUTO_FIRST_LINE)));
        for (text, on, auto, always) in [
            (FINITE, all, Some(Form::Bars), Some(Form::Bars)),
            (FINITE, log, later(), soon()),
            (&endless, all, None, Some(Form::Bars)),
            (&endless, log, None, soon()),
            (&program, all, None, Some(Form::Bars)),
            (&prints, all, later(), soon()),
            (&prints, [true, false, true], Some(Form::Bars), Some(Form::Bars)),
            (&types, all, later(), soon()),
            (&types, [false, true, true], Some(Form::Bars), Some(Form::Bars)),
        ] {
            assert_eq!(of(When::Auto, text, on), auto, "{text}");
            assert_eq!(of(When::Always, text, on), always, "{text}");
            assert_eq!(of(When::Never, text, on), None);
            let stage = if text.contains("command") { "a" } else { "" };
            let line = if on[2] { Some(Form::OneLine(stage.to_owned())) } else { soon() };
            assert_eq!(of(When::OneLine, text, on), line, "{text}");
        }
    }
}
