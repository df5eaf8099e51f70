//! A line of xargs.

use super::options::{Grammar, options};
use super::place::Placed;
use super::{Carried, Split, input_of, jobs};

/// Items for a command that is given no number: as many as fit, there.
const MANY: &str = "1000";

const GRAMMAR: Grammar = Grammar {
    letters_with_value: "anPIdLsE",
    letters_with_optional_value: "ile",
    words_with_value: &[
        "arg-file",
        "max-args",
        "max-procs",
        "delimiter",
        "max-lines",
        "max-chars",
        "process-slot-var",
    ],
};

pub(super) fn carried(placed: Placed) -> Result<Carried, String> {
    let Placed { words, mut input, around, tail, notes } = placed;
    let (given, mut command) = options(words, &GRAMMAR);
    let mut carried = Carried::of(around, tail, notes);
    let (mut split, mut is_counted, mut mark) = (Split::Blanks, false, None);
    for option in given {
        let value = option.value.text.as_str();
        match option.name.as_str() {
            "-0" | "--null" => split = Split::Nul,
            "-d" | "--delimiter" => split = delimiter(value)?,
            "-a" | "--arg-file" => input = input_of(&option.value),
            "-P" | "--max-procs" => match jobs(&option.value) {
                Some(jobs) => carried.option("-j", Some(&jobs)),
                None => carried.leave_out_for(&format!("-P {value}"), "write the number into `processes`"),
            },
            "-n" | "--max-args" => {
                is_counted = true;
                carried.option("-n", Some(value));
            }
            "-L" | "-l" | "--max-lines" => {
                is_counted = true;
                if split == Split::Blanks {
                    split = Split::Line;
                    carried
                        .notes
                        .push("each line is one argument here; xargs also splits it at blanks".into());
                }
                carried.option("-n", Some(if value.is_empty() { "1" } else { value }));
            }
            "-I" | "-i" | "--replace" => {
                mark = Some(if value.is_empty() { "{}".to_owned() } else { value.to_owned() });
                if split == Split::Blanks {
                    split = Split::Line;
                }
            }
            "-r" | "--no-run-if-empty" => {}
            name => carried.leave_out(name, value),
        }
    }
    carried.items(input, &split);
    let is_live = command.iter().any(|word| word.is_live);
    carried.note_live(&command);
    for word in &mut command {
        // Only `-I` makes a mark of anything; other braces are what they are.
        word.text = marked(&word.text, mark.as_deref());
        word.raw = marked(&word.raw, mark.as_deref());
    }
    let takes_one = mark.is_some() && command.iter().any(|word| word.text.contains("{}"));
    carried.command = match is_live {
        true => vec![command.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>().join(" ")],
        false => command.into_iter().map(|word| word.text).collect(),
    };
    if !takes_one && !is_counted {
        carried
            .notes
            .push(format!("xargs hands over as many items as fit into a command; here it is up to {MANY}"));
        carried.option("-n", Some(MANY));
    }
    if carried.command.is_empty() {
        carried.command.push("echo".to_owned());
    }
    Ok(carried)
}

/// A word with the mark as `{}`; braces that are none are doubled.
fn marked(word: &str, mark: Option<&str>) -> String {
    match mark {
        Some(mark) if word.contains(mark) => {
            word.split(mark).map(|part| part.replace("{}", "{{}}")).collect::<Vec<_>>().join("{}")
        }
        _ => word.replace("{}", "{{}}"),
    }
}

pub(super) fn delimiter(value: &str) -> Result<Split, String> {
    match value {
        "\\n" | "\n" => Ok(Split::Line),
        "\\0" | "" => Ok(Split::Nul),
        _ if value.starts_with('\\') || (value.len() == 1 && value.is_ascii()) => {
            Ok(Split::By(value.to_owned()))
        }
        _ => Err(format!(
            "-d {value}: items that end with more than one byte are made into lines by a program before it: sed 's/{value}/\\n/g'"
        )),
    }
}
