//! Where the tool stands in a line for a shell, and what stands around it.

use crate::cli::shell_tokens::{Token, TokenKind, Word, tokens};
use std::ops::Range;

/// Programs that start another one; their own options are not carried over.
const WRAPPERS: [&str; 17] = [
    "sudo",
    "doas",
    "timeout",
    "ionice",
    "stdbuf",
    "chrt",
    "taskset",
    "setsid",
    "caffeinate",
    "numactl",
    "unbuffer",
    "strace",
    "systemd-run",
    "systemd-inhibit",
    "chronic",
    "torsocks",
    "proxychains",
];

/// What a line has of one tool, and around it.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// The words behind the tool's name.
    pub words: Vec<Word>,
    pub input: Input,
    pub around: Surroundings,
    /// The rest of the line: where the output goes, and what comes next.
    pub tail: String,
    pub notes: Vec<String>,
}

/// What the tool's command gets from what stands before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub cwd: Option<String>,
    pub env: Vec<(String, String)>,
    pub nice: Option<i32>,
}

/// A path as seen from where a folder was changed.
pub(super) fn joined(folder: Option<&str>, path: &str) -> String {
    match folder {
        Some(folder) if !path.starts_with(['/', '~']) => format!("{}/{path}", folder.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}

/// Where the tool's standard input comes from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Input {
    #[default]
    Stdin,
    File(String),
    /// What these commands print.
    Shell(String),
}

/// # Errors
/// The line can't be read, or it has the tool not once.
pub(super) fn place(line: &str, tool: &str) -> Result<Placed, String> {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    if backslashes % 2 == 1 {
        return Err("the line ends in a backslash: is there more of it?".to_owned());
    }
    let tokens = tokens(line)?;
    let steps = steps(&tokens);
    let mut found = Vec::new();
    for (step, commands) in steps.iter().enumerate() {
        for (n, command) in commands.iter().enumerate() {
            if let Some(simple) = Simple::of(&tokens[command.clone()])
                && let Some(prefix) = Prefix::before(tool, &simple.words)
            {
                found.push((step, n, simple, prefix));
            }
        }
    }
    // The name of the tool may be left out where its options begin.
    if found.is_empty()
        && let [commands] = &steps[..]
        && let [command] = &commands[..]
        && let Some(simple) = Simple::of(&tokens[command.clone()])
        && simple.words.first().is_some_and(|word| word.text.starts_with('-'))
    {
        found.push((0, 0, simple, Prefix::default()));
    }
    if found.len() > 1 {
        return Err(format!("the line has `{tool}` {} times: import each by itself", found.len()));
    }
    let Some((step, n, simple, prefix)) = found.pop() else {
        return Err(format!(
            "the line has no command `{tool}`; inside of a loop, a function or parentheses it can't be taken out: \
             give the line of {tool} alone"
        ));
    };
    let mut placed = Placed { notes: prefix.notes, ..Placed::default() };
    placed.before(line, &tokens, &steps[..step]);
    placed.around.env.extend(prefix.env);
    placed.around.nice = prefix.nice;
    let commands = &steps[step];
    if n > 0 {
        placed.input = source(line, &tokens, commands[0].start..commands[n - 1].end);
    }
    let mut tail = String::new();
    for (how, target) in &simple.redirects {
        match how.as_str() {
            "<" | "0<" if target.is_live => placed.input = Input::Shell(format!("cat < {}", target.raw)),
            "<" | "0<" => placed.input = Input::File(target.text.clone()),
            "<<<" => placed.input = Input::Shell(format!("printf '%s\\n' {}", target.raw)),
            _ => tail += &format!(" {how}{}", target.raw),
        }
    }
    let end = commands[n].end;
    let rest = tokens.get(end).map_or("", |next| line[next.at.start..].trim());
    let is_over = rest.chars().all(|letter| letter == ';' || letter.is_whitespace());
    placed.tail = if is_over { tail } else { format!("{tail} {rest}") };
    placed.words = simple.words.into_iter().skip(prefix.words).collect();
    Ok(placed)
}

impl Placed {
    /// Commands that end before the tool is run.
    fn before(&mut self, line: &str, tokens: &[Token], steps: &[Vec<Range<usize>>]) {
        for commands in steps {
            let (Some(first), Some(last)) = (commands.first(), commands.last()) else { continue };
            let text = &line[tokens[first.start].at.start..tokens[last.end - 1].at.end];
            let simple = Simple::of(&tokens[first.clone()])
                .filter(|simple| commands.len() == 1 && simple.redirects.is_empty());
            let words = simple.map(|simple| simple.words).unwrap_or_default();
            match &words[..] {
                [cd, folder] if cd.text == "cd" && !folder.is_live => {
                    self.around.cwd = Some(joined(self.around.cwd.as_deref(), &folder.text));
                }
                [export, variables @ ..]
                    if export.text == "export" && variables.iter().all(|word| assignment(word).is_some()) =>
                {
                    self.around.env.extend(variables.iter().filter_map(assignment));
                }
                [export, functions, ..] if export.text == "export" && functions.text == "-f" => {
                    self.notes.push(format!(
                        "not carried over: {text} (commands get no functions of a shell: make a script of it)"
                    ))
                }
                _ => self.notes.push(format!("not carried over: {text} (run it before)")),
            }
        }
    }
}

fn source(line: &str, tokens: &[Token], commands: Range<usize>) -> Input {
    let simple = Simple::of(&tokens[commands.clone()]);
    let plain = simple.as_ref().filter(|simple| simple.redirects.is_empty()).map(|simple| &simple.words[..]);
    match plain {
        Some([cat, file]) if cat.text == "cat" && !file.is_live && !file.text.starts_with('-') => {
            Input::File(file.text.clone())
        }
        _ => Input::Shell(line[tokens[commands.start].at.start..tokens[commands.end - 1].at.end].to_owned()),
    }
}

/// Between `;`, `&&` and the like: the commands of each pipe. A loop, a function, what is in parentheses: one command.
fn steps(tokens: &[Token]) -> Vec<Vec<Range<usize>>> {
    let mut steps = vec![Vec::new()];
    let (mut start, mut is_first, mut ends): (usize, bool, Vec<&str>) = (0, true, Vec::new());
    let mut is_piped = false;
    for (n, token) in tokens.iter().enumerate() {
        let was_first = is_first;
        // Line ends behind a pipe.
        if is_piped && token.kind == TokenKind::Join {
            start = n + 1;
            continue;
        }
        is_piped = token.kind == TokenKind::Pipe;
        is_first = false;
        match &token.kind {
            TokenKind::Word(word) if was_first => match word.raw.as_str() {
                "for" | "while" | "until" | "select" => ends.push("done"),
                "if" => ends.push("fi"),
                "case" => ends.push("esac"),
                "{" => {
                    ends.push("}");
                    is_first = true;
                }
                "then" | "do" | "else" | "elif" | "!" => is_first = true,
                end if ends.last() == Some(&end) => drop(ends.pop()),
                _ => {}
            },
            TokenKind::Word(_) | TokenKind::Redirect(_) => {}
            TokenKind::Open => {
                ends.push(")");
                is_first = true;
            }
            TokenKind::Close => {
                if ends.last() == Some(&")") {
                    ends.pop();
                }
                is_first = ends.last() == Some(&"esac");
            }
            TokenKind::Join | TokenKind::Pipe => {
                is_first = true;
                if ends.is_empty() {
                    if n > start
                        && let Some(step) = steps.last_mut()
                    {
                        step.push(start..n);
                    }
                    if token.kind == TokenKind::Join {
                        steps.push(Vec::new());
                    }
                    start = n + 1;
                }
            }
        }
    }
    if tokens.len() > start
        && let Some(step) = steps.last_mut()
    {
        step.push(start..tokens.len());
    }
    steps.retain(|step| !step.is_empty());
    steps
}

/// A command of words and redirections.
struct Simple {
    words: Vec<Word>,
    redirects: Vec<(String, Word)>,
}

impl Simple {
    fn of(tokens: &[Token]) -> Option<Simple> {
        let mut simple = Simple { words: Vec::new(), redirects: Vec::new() };
        let mut tokens = tokens.iter();
        while let Some(token) = tokens.next() {
            match &token.kind {
                TokenKind::Word(word) => simple.words.push(word.clone()),
                TokenKind::Redirect(how) => match &tokens.next()?.kind {
                    TokenKind::Word(target) => simple.redirects.push((how.clone(), target.clone())),
                    _ => return None,
                },
                _ => return None,
            }
        }
        Some(simple)
    }
}

/// `NAME=VALUE` that says the value.
fn assignment(word: &Word) -> Option<(String, String)> {
    let (name, value) = word.text.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_name && !word.is_live).then(|| (name.to_owned(), value.to_owned()))
}

/// What stands between the start of a command and the tool.
#[derive(Default)]
struct Prefix {
    /// Words with the tool's name.
    words: usize,
    env: Vec<(String, String)>,
    nice: Option<i32>,
    notes: Vec<String>,
}

/// `nice` without a number.
const NICE: i32 = 10;

impl Prefix {
    fn before(tool: &str, words: &[Word]) -> Option<Prefix> {
        let mut prefix = Prefix::default();
        loop {
            let word = words.get(prefix.words)?;
            prefix.words += 1;
            if word.program() == tool {
                return Some(prefix);
            }
            if let Some(variable) = assignment(word) {
                prefix.env.push(variable);
                continue;
            }
            match word.program() {
                name if name.contains('=') => prefix.leave_out(&word.raw, "only the shell knows its value"),
                "env" if !words.get(prefix.words).is_some_and(|word| word.text.starts_with('-')) => {}
                "nohup" | "exec" | "command" | "!" => {}
                "time" => {
                    prefix.leave_out("time", "the end of a run says how long it took");
                    while words.get(prefix.words).is_some_and(|word| word.text.starts_with('-')) {
                        prefix.words += 1;
                    }
                }
                "nice" => prefix.nice(words),
                name if name == "env" || WRAPPERS.contains(&name) => {
                    let from = prefix.words - 1;
                    let tool = words[from..].iter().position(|word| word.program() == tool)?;
                    let shown: Vec<&str> =
                        words[from..from + tool].iter().map(|word| word.raw.as_str()).collect();
                    prefix.leave_out(&shown.join(" "), "put it before `mprun run`");
                    prefix.words = from + tool;
                }
                _ => return None,
            }
        }
    }

    fn leave_out(&mut self, what: &str, why: &str) {
        self.notes.push(format!("not carried over: {what} ({why})"));
    }

    /// `-n N`, `-nN`, `-N`, `--adjustment=N`, or nothing.
    fn nice(&mut self, words: &[Word]) {
        let option = words.get(self.words).map_or("", |word| word.text.as_str());
        let next = words.get(self.words + 1).and_then(|word| word.text.parse().ok());
        let (value, taken) = match option {
            "-n" | "--adjustment" => (next, 2),
            _ if option.starts_with('-') => {
                let number = option.trim_start_matches("--adjustment=");
                let number = number.strip_prefix("-n").or(number.strip_prefix('-')).unwrap_or(number);
                (number.parse().ok(), 1)
            }
            _ => (Some(NICE), 0),
        };
        self.nice = value;
        self.words += taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let placed = place(line, "parallel").unwrap();
        let words: Vec<&str> = placed.words.iter().map(|word| word.text.as_str()).collect();
        let input = match placed.input {
            Input::Stdin => String::new(),
            Input::File(file) => format!("{file} > "),
            Input::Shell(text) => format!("[{text}] > "),
        };
        let Surroundings { cwd, env, nice } = placed.around;
        let env: String = env.iter().map(|(name, value)| format!("{name}={value} ")).collect();
        let cwd = cwd.map(|cwd| format!("{cwd}: ")).unwrap_or_default();
        let nice = nice.map(|nice| format!("nice {nice} ")).unwrap_or_default();
        format!("{cwd}{input}{env}{nice}{}{} #{}", words.join(" "), placed.tail, placed.notes.len())
    }

    #[test]
    fn what_stands_before_the_tool_is_its_source_and_what_stands_behind_it_is_left() {
        for (line, wanted) in [
            ("parallel -j2 a", "-j2 a #0"),
            ("-j2 a", "-j2 a #0"),
            ("find . -name '*.x' | parallel a", "[find . -name '*.x'] > a #0"),
            ("find . |\n  # those\n\n parallel a |& b", "[find .] > a |& b #0"),
            ("a | b |\nparallel c\nd", "[a | b] > c d #0"),
            ("cat 'a list' | /usr/bin/parallel a", "a list > a #0"),
            ("cat a b | sort | parallel c", "[cat a b | sort] > c #0"),
            ("parallel a < list > out", "list > a >out #0"),
            ("< list parallel a 2>&1 | sort", "list > a 2>&1 | sort #0"),
            ("parallel a ::: b && c; d", "a ::: b && c; d #0"),
            ("parallel a ::: b;", "a ::: b #0"),
            ("parallel a <<< 'b c'", "[printf '%s\\n' 'b c'] > a #0"),
            ("cd x && cd y; parallel a", "x/y: a #0"),
            ("mkdir -p o && ls | parallel a", "[ls] > a #1"),
            ("export A=1 B=2; env C=3 nice -n 5 parallel a", "A=1 B=2 C=3 nice 5 a #0"),
            ("X=1 time -p sudo -u me parallel a", "X=1 a #2"),
            ("nice parallel a", "nice 10 a #0"),
            ("export -f f; parallel f", "f #1"),
            ("A=$B parallel a", "a #1"),
            (
                "for i in 1 2; do echo $i | tr a b; done | parallel a",
                "[for i in 1 2; do echo $i | tr a b; done] > a #0",
            ),
            ("(a; b) | parallel c", "[(a; b)] > c #0"),
            ("if a; then b | c; fi | parallel d", "[if a; then b | c; fi] > d #0"),
            ("case x in a) b;; esac | parallel d", "[case x in a) b;; esac] > d #0"),
        ] {
            assert_eq!(shown(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_line_without_the_tool_or_with_two_of_it_is_refused() {
        for (line, why) in [
            ("echo parallel", "no command `parallel`"),
            ("while read x; do parallel a $x; done", "no command `parallel`"),
            ("parallel a | parallel b", "2 times"),
            ("", "no command `parallel`"),
        ] {
            assert!(place(line, "parallel").unwrap_err().contains(why), "{line}");
        }
    }
}
