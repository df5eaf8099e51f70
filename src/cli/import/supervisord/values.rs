//! Values: `%(NAME)s` in them, and what lists and tables look like.

use crate::cli::toml_text::{piece, text, unnumbered, variable};
use std::path::Path;

/// What a program's values may name.
pub(super) struct Names<'a> {
    /// The folder of the file, absolute.
    pub here: &'a Path,
    pub program: &'a str,
    pub group: &'a str,
    /// How many processes its stage has; each of several has a number.
    pub processes: u64,
    /// How many it has on the other side, where several stages may be made of one program.
    pub numprocs: u64,
    /// The number of the first one (`numprocs_start`).
    pub first: u64,
}

impl Names<'_> {
    /// The value with variables in our way. `%(process_num)…` is the worker's number where `worker` may stand.
    ///
    /// # Errors
    /// What it names and we don't know.
    pub(super) fn expand(&self, value: &str, worker: Option<&str>) -> Result<String, String> {
        // Where that number may stand, the same text of the file is none.
        let plain = |text: &str| if worker.is_some() { unnumbered(&piece(text)) } else { piece(text) };
        let mut out = String::new();
        let mut rest = value;
        while let Some(at) = rest.find('%') {
            out += &plain(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                out.push('%');
                rest = after;
                continue;
            }
            let named = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
            let (name, after) = named.ok_or("a % that names nothing")?;
            let letter = after.find(['s', 'd']).ok_or("a % without its s or d")?;
            let width = after[..letter].strip_prefix('0').and_then(|width| width.parse::<usize>().ok());
            let width = width.filter(|width| *width <= 20).unwrap_or(0);
            out += &"0".repeat(width.saturating_sub(self.digits(name).unwrap_or(width)));
            out += &self.named(name, worker)?;
            rest = &after[letter + 1..];
        }
        Ok(out + &plain(rest))
    }

    /// How long a number is, if that is the same for all processes.
    fn digits(&self, name: &str) -> Option<usize> {
        match name {
            "process_num" if self.processes <= 1 => Some(self.first.to_string().len()),
            "process_num" if self.processes <= 10 => Some(1),
            "numprocs" => Some(self.numprocs.to_string().len()),
            _ => None,
        }
    }

    /// A path, in which the home folder may be `~`.
    pub(super) fn path(&self, value: &str) -> Result<String, String> {
        let path = self.expand(value, None)?;
        Ok(match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => variable("HOME", None) + rest,
            Some(_) | None => path,
        })
    }

    fn named(&self, name: &str, worker: Option<&str>) -> Result<String, String> {
        if let Some(variable) = name.strip_prefix("ENV_") {
            return Ok(self::variable(variable, None));
        }
        match (name, worker) {
            ("here", _) => Ok(piece(&self.here.display().to_string())),
            ("program_name", _) => Ok(piece(self.program)),
            ("group_name", _) => Ok(piece(self.group)),
            ("host_node_name", _) => Ok(piece(&host_name())),
            // A number that a variable holds isn't known here.
            ("numprocs", _) if self.numprocs < u64::MAX => Ok(self.numprocs.to_string()),
            ("process_num", _) if self.processes <= 1 => Ok(self.first.to_string()),
            ("process_num", Some(_)) if self.first > 0 => {
                Err("the number of the first worker is 0, and its number is in no sum".to_owned())
            }
            ("process_num", Some(worker)) => Ok(worker.to_owned()),
            ("process_num", None) => Err("a worker's number can't stand here".to_owned()),
            _ => Err(format!("%({name}) is not known here")),
        }
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// `A="1",B=2`, over several lines if need be.
pub(super) fn pairs(value: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = value.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(|| format!("`{rest}` is no NAME=value"))?;
        let after = after.trim_start();
        let (value, end) = match after.chars().next().filter(|quote| ['"', '\''].contains(quote)) {
            Some(quote) => {
                let end = after[1..].find(quote).ok_or("a quote without its end")?;
                if after[end + 2..].starts_with(|next: char| !next.is_whitespace() && next != ',') {
                    return Err(format!("what follows the quote in `{after}`"));
                }
                (&after[1..=end], end + 2)
            }
            None => {
                let end = after.find([',', '\n']).unwrap_or(after.len());
                (after[..end].trim_end(), end)
            }
        };
        pairs.push((name.trim().to_owned(), value.to_owned()));
        rest = after[end..].trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
    }
    Ok(pairs)
}

/// The text with these variables in place of `%(ENV_NAME)s`; of two of a name the later one counts.
pub(super) fn with_known(text: &str, known: &[(String, String)]) -> String {
    const BEGIN: &str = "%(ENV_";
    let (mut made, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(BEGIN) {
        let (before, named) = (&rest[..at], &rest[at + BEGIN.len()..]);
        let found = named.split_once(")s").and_then(|(name, after)| {
            let (_, value) = known.iter().rev().find(|(own, _)| own == name)?;
            Some((value, after))
        });
        made += before;
        match found.filter(|_| !before.ends_with('%')) {
            Some((value, after)) => {
                made += value;
                rest = after;
            }
            None => {
                made += BEGIN;
                rest = named;
            }
        }
    }
    made + rest
}

/// `50MB`: their units are powers of 1,024.
pub(super) fn size(value: &str) -> Option<String> {
    let value = value.trim().to_uppercase();
    let (number, unit) = ["KB", "MB", "GB"]
        .iter()
        .find_map(|unit| Some((value.strip_suffix(unit)?, format!("{}iB", &unit[..1]))))
        .unwrap_or((value.as_str(), "B".to_owned()));
    let number: u64 = number.trim().parse().ok()?;
    match number {
        0 => Some(text("1TiB")), // never rotated
        number => Some(text(&format!("{number}{unit}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_values() {
        let names = Names {
            here: Path::new("/etc/x"),
            program: "p",
            group: "g",
            processes: 10,
            numprocs: 10,
            first: 0,
        };
        for (value, expanded) in [
            ("%(here)s/a %(program_name)s", "/etc/x/a p"),
            ("%(ENV_HOME)s $HOME 100%%", "${HOME} $$HOME 100%"),
            ("--port=80%(process_num)02d", "--port=800{worker}"),
            ("--port=80%(process_num)d", "--port=80{worker}"),
            ("{worker} %(process_num)d", "{{worker}} {worker}"),
            ("%(numprocs)d of %(numprocs)03d", "10 of 010"),
        ] {
            assert_eq!(names.expand(value, Some("{worker}")).as_deref(), Ok(expanded));
        }
        let hundred = Names { processes: 100, ..names };
        assert_eq!(hundred.expand("%(process_num)02d", Some("{worker}")).as_deref(), Ok("{worker}"));
        assert_eq!(hundred.path("~/log").as_deref(), Ok("${HOME}/log"));
        for value in ["50%", "%(unknown)s", "%(here"] {
            assert!(hundred.expand(value, Some("{worker}")).is_err(), "{value}");
        }
        assert!(hundred.expand("%(process_num)d", None).is_err());
        let twelfth = Names { processes: 1, first: 12, ..hundred };
        assert_eq!(twelfth.expand("80%(process_num)03d %(process_num)d", None).as_deref(), Ok("80012 12"));
    }

    #[test]
    fn variables_that_the_file_says_are_put_in_once() {
        let known = [("A", "1"), ("PATH", "/x:%(ENV_PATH)s"), ("A", "2")];
        let known = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let text = with_known("%(ENV_A)s %(ENV_PATH)s %(ENV_B)s %%(ENV_A)s %(ENV_A", &known);
        assert_eq!(text, "2 /x:%(ENV_PATH)s %(ENV_B)s %%(ENV_A)s %(ENV_A");
    }

    #[test]
    fn pairs_may_be_quoted_and_stand_on_several_lines() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = pairs("A=\"1,2\",B='it is',\nC=plain text , D=").unwrap();
        assert_eq!(read, [pair("A", "1,2"), pair("B", "it is"), pair("C", "plain text"), pair("D", "")]);
        assert!(pairs("A").is_err() && pairs("A=\"x").is_err() && pairs("A='e''f',B=1").is_err());
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let read: Vec<_> = ["50MB", "1kb", "12", "0", "x"].iter().map(|value| size(value)).collect();
        let texts = ["\"50MiB\"", "\"1KiB\"", "\"12B\"", "\"1TiB\""].map(|text| Some(text.to_owned()));
        assert_eq!(read, [texts.as_slice(), &[None]].concat());
    }
}
