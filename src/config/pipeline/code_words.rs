//! Words of a command that a program among them reads as code: `echo` in `sh -c echo`.
//!
//! Each word may be the name of such a program, so that what stands before it (`env`, `sudo`, `timeout 5`) needs no table of its own.
//! Its options are read as the program itself does, up to its first argument that is none: what comes after a script is the script's.

/// A piece of code, and the program that reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CodeWord<'a> {
    pub program: &'a str,
    /// The word, or the part of it behind the option.
    pub text: &'a str,
}

/// How a program is given code.
struct Interpreter {
    names: &'static [&'static str],
    style: Style,
    /// Letters of options whose value is code.
    code: &'static str,
    /// Letters of options whose value is something else: the rest of the word, or the next word.
    values: &'static str,
    /// The same, where the value is in the same word or missing.
    attached: &'static str,
    /// Long options whose value is code.
    long: &'static [&'static str],
    /// Long options whose value is something else, in the next word.
    long_values: &'static [&'static str],
    /// Arguments that options may stand behind.
    arguments: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// The code is the option's value, which may be the rest of the word.
    Value,
    /// The code is the word after the option's.
    NextWord,
    /// The code is the first argument, where the option is there.
    FirstArgument,
    /// The code is the first argument, unless an option has it or names its file.
    Program,
    /// All arguments are code.
    All,
}

const PLAIN: Interpreter = Interpreter {
    names: &[],
    style: Style::Value,
    code: "e",
    values: "",
    attached: "",
    long: &["eval"],
    long_values: &[],
    arguments: 0,
};

const INTERPRETERS: [Interpreter; 14] = [
    Interpreter {
        names: &["sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "lksh", "zsh", "yash"],
        style: Style::FirstArgument,
        code: "c",
        values: "oO",
        long: &[],
        long_values: &["rcfile", "init-file"],
        ..PLAIN
    },
    Interpreter {
        names: &["fish"],
        code: "cC",
        values: "dpDof",
        long: &["command", "init-command"],
        ..PLAIN
    },
    Interpreter { names: &["python", "pypy"], code: "c", values: "WXm", long: &[], ..PLAIN },
    Interpreter { names: &["perl"], code: "eEMm", values: "I", attached: "iFxCDdV", long: &[], ..PLAIN },
    Interpreter { names: &["ruby"], values: "IrCEK", attached: "iFWTx", long: &[], ..PLAIN },
    Interpreter {
        names: &["node", "nodejs", "bun"],
        style: Style::NextWord,
        code: "ep",
        values: "rC",
        long: &["eval", "print"],
        long_values: &["require", "import", "conditions", "loader", "env-file"],
        ..PLAIN
    },
    Interpreter { names: &["lua", "luajit"], values: "l", long: &[], ..PLAIN },
    Interpreter { names: &["Rscript", "R", "julia", "groovy", "elixir", "osascript"], code: "eE", ..PLAIN },
    Interpreter {
        names: &["php"],
        code: "rBRE",
        values: "cdfSzt",
        long: &["run", "process-begin", "process-code", "process-end"],
        ..PLAIN
    },
    Interpreter {
        names: &["su", "runuser"],
        code: "c",
        values: "gGswTu",
        long: &["command", "session-command"],
        arguments: usize::MAX,
        ..PLAIN
    },
    Interpreter {
        names: &["script"],
        code: "c",
        values: "EIOBTmo",
        long: &["command"],
        arguments: usize::MAX,
        ..PLAIN
    },
    Interpreter { names: &["flock"], code: "c", values: "wE", long: &["command"], arguments: 1, ..PLAIN },
    Interpreter {
        names: &["awk", "gawk", "mawk", "nawk", "original-awk"],
        style: Style::Program,
        values: "FvilW",
        long: &["source"],
        long_values: &["assign", "field-separator", "include", "load"],
        ..PLAIN
    },
    Interpreter { names: &["eval"], style: Style::All, code: "", long: &[], ..PLAIN },
];

/// Options of awk that name the file of its program.
const PROGRAM_FILE: [&str; 4] = ["f", "E", "file", "exec"];
/// `env -S`: a line that becomes a command.
const ENV: Interpreter =
    Interpreter { names: &["env"], code: "S", values: "uC", long: &["split-string"], ..PLAIN };

/// All pieces of code in a command.
pub(crate) fn code_words(words: &[String]) -> Vec<CodeWord<'_>> {
    let of = |(at, program): (usize, &'_ String)| Some((interpreter(program)?, at));
    let found = words.iter().enumerate().filter_map(of);
    let codes = |(interpreter, at): (&'static Interpreter, usize)| {
        let texts = Reading::of(interpreter, &words[at + 1..]).code;
        texts.into_iter().map(move |text| CodeWord { program: &words[at], text })
    };
    found.flat_map(codes).collect()
}

/// `python3.12` is a `python`.
fn interpreter(word: &str) -> Option<&'static Interpreter> {
    let name = word.rsplit('/').next().unwrap_or(word);
    let is = |interpreter: &&Interpreter, name: &str| interpreter.names.contains(&name);
    let all = || INTERPRETERS.iter().chain([&ENV]);
    let without_version = name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '.' || end == '-');
    all().find(|one| is(one, name)).or_else(|| all().find(|one| is(one, without_version)))
}

/// The words behind an interpreter, as it reads them.
struct Reading<'a> {
    interpreter: &'static Interpreter,
    rest: &'a [String],
    code: Vec<&'a str>,
    /// An option asks for code, or says where it is.
    has_option: bool,
    is_over: bool,
}

impl<'a> Reading<'a> {
    fn of(interpreter: &'static Interpreter, words: &'a [String]) -> Reading<'a> {
        let mut reading =
            Reading { interpreter, rest: words, code: Vec::new(), has_option: false, is_over: false };
        let mut arguments = 0;
        while let Some(word) = reading.next() {
            let is_option = word.len() > 1 && word.starts_with(['-', '+']);
            match word.strip_prefix("--") {
                Some("") => {
                    reading.argument();
                    break;
                }
                _ if !is_option => {
                    reading.rest = &words[words.len() - reading.rest.len() - 1..];
                    reading.argument();
                    reading.next();
                    arguments += 1;
                }
                Some(long) => reading.long(long),
                None => reading.letters(word),
            }
            if reading.is_over || arguments > interpreter.arguments {
                break;
            }
        }
        reading
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The first argument is next.
    fn argument(&mut self) {
        match self.interpreter.style {
            Style::FirstArgument if self.has_option => {
                self.code.extend(self.rest.first().map(String::as_str))
            }
            Style::Program if !self.has_option => self.code.extend(self.rest.first().map(String::as_str)),
            Style::All => self.code.extend(self.rest.iter().map(String::as_str)),
            _ => {}
        }
    }

    /// `--command=CODE`, `--command CODE`; GNU's programs take the beginning of a name, too.
    fn long(&mut self, word: &'a str) {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let is = |known: &[&str]| known.iter().any(|known| known.starts_with(name));
        self.has_option |= self.interpreter.style == Style::Program && is(&PROGRAM_FILE);
        if is(self.interpreter.long) {
            self.has_option = true;
            let value = value.or_else(|| self.next());
            self.code.extend(value);
        } else if value.is_none() && is(self.interpreter.long_values) {
            self.next();
        }
    }

    /// `-c CODE`, `-cCODE`, `-ec CODE`.
    fn letters(&mut self, word: &'a str) {
        let Interpreter { style, code, values, attached, .. } = *self.interpreter;
        let (is_plus, letters) = (word.starts_with('+'), &word[1..]);
        for (at, letter) in letters.char_indices() {
            let rest = &letters[at + letter.len_utf8()..];
            if code.contains(letter) && !is_plus {
                self.has_option = true;
                match style {
                    Style::FirstArgument => continue,
                    Style::NextWord => return self.code_is_next(),
                    _ if rest.is_empty() => self.code_is_next(),
                    _ => self.code.push(rest),
                }
                // What follows `python3 -c CODE` are its arguments.
                self.is_over = self.interpreter.names.contains(&"python");
                return;
            }
            if style == Style::Program && PROGRAM_FILE.iter().any(|file| file.starts_with(letter)) {
                self.has_option = true;
                return self.skip_value(rest);
            }
            match (values.contains(letter), style) {
                // A shell's `-o` takes the next word, wherever it stands among the letters.
                (true, Style::FirstArgument) => self.skip_value(""),
                (true, _) => {
                    // `python3 -m MODULE` is a script, too.
                    self.is_over = letter == 'm' && self.interpreter.names.contains(&"python");
                    return self.skip_value(rest);
                }
                (false, _) if attached.contains(letter) => return,
                (false, _) => {}
            }
        }
    }

    /// A value that is no code: the rest of the word, or the next one.
    fn skip_value(&mut self, rest: &str) {
        if rest.is_empty() {
            self.next();
        }
    }

    fn code_is_next(&mut self) {
        let next = self.next();
        self.code.extend(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(line: &str) -> Vec<String> {
        let words = shlex::split(line).unwrap();
        let mut codes: Vec<String> =
            code_words(&words).into_iter().map(|code| code.text.to_owned()).collect();
        codes.dedup(); // `su -s sh -c X`: of both
        codes
    }

    #[test]
    fn code_is_found_in_each_form_of_the_option() {
        for line in [
            "sh -c X",
            "sh -ec X",
            "sh -c -e X",
            "sh -c -- X",
            "sh -e -c X a -c b",
            "bash -oc errexit X",
            "bash -o errexit -c X",
            "bash -c -o errexit X",
            "bash +o errexit -O extglob -c X",
            "bash --norc --rcfile r -c X",
            "zsh -fc X",
            "busybox sh -c X",
            "fish -cX",
            "fish --command=X",
            "env -i A=b sh -c X",
            "env -S X",
            "env -uA -SX",
            "nice -n 5 sudo -u me /bin/sh -c X",
            "timeout 5 bash -lc X",
            "xargs -n1 sh -c X",
            "python3 -c X a -c b",
            "python3.12 -cX",
            "python3 -Iuc X",
            "python3 -W ignore -X dev -c X",
            "pypy3 -c X",
            "perl -lane X",
            "perl -i.bak -pe X file",
            "perl -I lib -E X",
            "perl -MX file",
            "ruby -rset -ne X",
            "node -pe X",
            "node --require m --eval=X",
            "nodejs -p X",
            "php -d a=b -r X",
            "lua -l m -e X",
            "lua5.4 -eX",
            "su -c X",
            "su -cX me",
            "su me -s /bin/sh -c X",
            "su - me --command X",
            "su --comm=X me",
            "runuser -u me -c X",
            "script -qec X log",
            "flock lock -c X",
            "flock -w 5 lock --command X",
            "awk X file",
            "awk -F : -va=b X file",
            "gawk -e X file",
            "gawk --source=X file",
            "awk -- X file",
            "eval X",
        ] {
            assert_eq!(codes(line), ["X"], "{line}");
        }
        assert_eq!(codes("perl -e X -e Y f"), ["X", "Y"]);
        assert_eq!(codes("sh -c 'exec \"$@\"' sh perl -e X"), ["exec \"$@\"", "X"]);
    }

    #[test]
    fn what_is_no_code_is_left_alone() {
        for line in [
            "sh X",
            "bash -x X -c Y",
            "bash -o errexit X",
            "sh +c X",
            "python3 X -c Y",
            "python3 -m X -c Y",
            "python3 -W X",
            "perl -i.be X",
            "perl -Ie X",
            "perl -n X -e Y",
            "node X -e Y",
            "node --require e X",
            "ruby -E utf-8 X",
            "php -c X",
            "php X -r Y",
            "su X",
            "runuser -u me -- grep -c X",
            "script -- X -c",
            "flock lock grep -c X",
            "awk -f X Y",
            "awk -fX Y",
            "gawk --file=X Y",
            "env A=b X -S Y",
            "env X",
            "grep -c X sh",
            "echo",
        ] {
            assert!(codes(line).is_empty(), "{line}: {:?}", codes(line));
        }
        assert_eq!(codes("sh -c 'echo $1' sh X"), ["echo $1"]);
        assert_eq!(codes("awk -v x=X '$1 == x' f"), ["$1 == x"]);
        assert_eq!(codes("su -c 'echo $1' me -- sh X"), ["echo $1"]);
    }
}
