//! The words and operators of a line for a shell.

use std::ops::Range;

/// One of them, and where it stands in the line.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Token {
    pub kind: TokenKind,
    pub at: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum TokenKind {
    Word(Word),
    /// `;`, a line end, `&`, `&&` or `||`.
    Join,
    Pipe,
    /// As written, with the number before it: `2>`. The next word belongs to it.
    Redirect(String),
    Open,
    Close,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Word {
    /// Without its quotes. What the shell puts a value for is as written.
    pub text: String,
    /// As written.
    pub raw: String,
    /// Only the shell knows what it comes to: a variable, a pattern of file names, `$(…)`.
    pub is_live: bool,
    /// The shell leaves it out where the values in it are empty: it has nothing else, and no quotes around them.
    pub may_be_nothing: bool,
    /// Where in `raw` a line stands that a shell runs: between the parentheses of `$(…)`, `<(…)` and `>(…)`, or the backquotes.
    pub inner: Vec<Range<usize>>,
}

impl Word {
    /// The name of the program, without its folder.
    pub(in crate::cli) fn program(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is `NAME=…`, also `NAME+=…`.
    pub(in crate::cli) fn is_assignment(&self) -> bool {
        let name = self.raw.split_once('=').map_or("", |(name, _)| name.strip_suffix('+').unwrap_or(name));
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        name.bytes().all(is_letter) && name.starts_with(|first: char| !first.is_ascii_digit())
    }

    /// The lines inside of it that a shell runs: `x=$(a | b)`.
    pub(in crate::cli) fn inner_lines(&self) -> Vec<&str> {
        self.inner.iter().map(|at| &self.raw[at.clone()]).collect()
    }
}

/// `{NAME}`, beside an operator of redirection: the variable that gets the number of the descriptor.
pub(in crate::cli) fn is_descriptor(raw: &str) -> bool {
    let name = raw.strip_prefix('{').and_then(|raw| raw.strip_suffix('}'));
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Words of the shell before a command.
pub(in crate::cli) const BEFORE_COMMAND: [&str; 10] =
    ["{", "!", "if", "then", "else", "elif", "do", "while", "until", "time"];

/// The words of each simple command, from its name on: without the shell's own words and the variables before it.
pub(in crate::cli) fn commands(tokens: &[Token]) -> Vec<Vec<&Word>> {
    let ends = |token: &Token| {
        matches!(token.kind, TokenKind::Join | TokenKind::Pipe | TokenKind::Open | TokenKind::Close)
    };
    let is_before = |word: &Word| BEFORE_COMMAND.contains(&word.raw.as_str()) || word.is_assignment();
    let words = tokens.split(ends).map(|part| {
        let (mut words, mut is_target) = (Vec::new(), false);
        for token in part {
            match &token.kind {
                TokenKind::Word(word) if !is_target => words.push(word),
                _ => {}
            }
            is_target = matches!(token.kind, TokenKind::Redirect(_));
        }
        let before = words.iter().take_while(|word| is_before(word)).count();
        words.split_off(before)
    });
    words.filter(|words| !words.is_empty()).collect()
}

const JOINS: [&str; 6] = ["&&", "||", ";;", ";", "\n", "&"];
const PIPES: [&str; 2] = ["|&", "|"];
const REDIRECTS: [&str; 11] = ["&>>", "&>", "<<<", "<<", "<>", "<&", "<", ">>", ">&", ">|", ">"];

/// All of a line.
///
/// # Errors
/// A quote or parenthesis has no end, or the line has a here-document.
pub(in crate::cli) fn tokens(line: &str) -> Result<Vec<Token>, String> {
    Reader { line, at: 0, texts: None }.tokens()
}

/// The same of a line that may have here-documents, whose texts are no tokens.
///
/// # Errors
/// A quote or parenthesis has no end.
pub(in crate::cli) fn tokens_around_texts(line: &str) -> Result<Vec<Token>, String> {
    Reader { line, at: 0, texts: Some(Texts::default()) }.tokens()
}

/// The here-documents of a line of text.
#[derive(Default)]
struct Texts {
    /// The next word is the end of one; what is behind `<<` stands here.
    is_named_next: bool,
    /// What ends each that begins behind the line end.
    ends: Vec<String>,
}

struct Reader<'a> {
    line: &'a str,
    at: usize,
    /// None: a here-document is an error.
    texts: Option<Texts>,
}

impl<'a> Reader<'a> {
    fn tokens(mut self) -> Result<Vec<Token>, String> {
        let mut found = Vec::new();
        while let Some(token) = self.token()? {
            self.skip_texts(&token);
            found.push(token);
        }
        Ok(found)
    }

    /// Behind the line end that this token may be.
    fn skip_texts(&mut self, token: &Token) {
        let Some(texts) = &mut self.texts else { return };
        let is_named = std::mem::take(&mut texts.is_named_next);
        match &token.kind {
            TokenKind::Redirect(how) => {
                texts.is_named_next = how.ends_with("<<") && !how.ends_with("<<<");
            }
            TokenKind::Word(word) if is_named => {
                texts.ends.push(word.text.trim_start_matches('-').to_owned());
            }
            TokenKind::Join if self.line[token.at.clone()].starts_with('\n') => {
                for end in std::mem::take(&mut texts.ends) {
                    let mut lines = self.line[self.at..].split_inclusive('\n');
                    let is_text = |line: &&str| line.trim_end_matches('\n').trim_start_matches('\t') != end;
                    self.at += lines.by_ref().take_while(is_text).map(str::len).sum::<usize>();
                    let rest = &self.line[self.at..];
                    self.at += rest.find('\n').map_or(rest.len(), |end| end + 1);
                }
            }
            _ => {}
        }
    }

    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.rest() {
                rest if rest.starts_with("\\\n") => self.at += 2,
                rest if rest.starts_with([' ', '\t', '\r']) => self.at += 1,
                rest if rest.starts_with('#') => self.at += rest.find('\n').unwrap_or(rest.len()),
                _ => return,
            }
        }
    }

    fn token(&mut self) -> Result<Option<Token>, String> {
        self.skip_blanks();
        let (start, rest) = (self.at, self.rest());
        let begins = |all: &[&'static str]| all.iter().copied().find(|one| rest.starts_with(one));
        let number = rest.bytes().take_while(u8::is_ascii_digit).count();
        let is_substitution = rest.starts_with("<(") || rest.starts_with(">(");
        let redirect =
            REDIRECTS.iter().find(|one| rest[number..].starts_with(**one)).filter(|_| !is_substitution);
        let kind = if rest.is_empty() {
            return Ok(None);
        } else if let Some(redirect) = redirect {
            if *redirect == "<<" && self.texts.is_none() {
                return Err(
                    "a here-document can't be carried over: put its lines into a file, and write `< FILE`"
                        .into(),
                );
            }
            self.at += number + redirect.len();
            TokenKind::Redirect(self.line[start..self.at].to_owned())
        } else if let Some(join) = begins(&JOINS).filter(|_| !rest.starts_with("&>")) {
            self.at += join.len();
            TokenKind::Join
        } else if let Some(pipe) = begins(&PIPES) {
            self.at += pipe.len();
            TokenKind::Pipe
        } else if rest.starts_with('(') {
            self.at += 1;
            TokenKind::Open
        } else if rest.starts_with(')') {
            self.at += 1;
            TokenKind::Close
        } else {
            TokenKind::Word(self.word()?)
        };
        Ok(Some(Token { kind, at: start..self.at }))
    }

    fn word(&mut self) -> Result<Word, String> {
        let (start, mut word, mut has_more) = (self.at, Word::default(), false);
        while let Some(letter) = self.peek() {
            let rest = self.rest();
            let (before, is_value) = (self.at, letter == '`' || letter == '$' && !rest.starts_with("$'"));
            match letter {
                '<' | '>' if rest[1..].starts_with('(') => {
                    self.at += 1;
                    word.is_live = true;
                    let group = self.inner_group(&mut word)?;
                    word.text.extend([&letter.to_string(), group]);
                }
                ' ' | '\t' | '\r' | '\n' | ';' | '|' | '&' | '<' | '>' | '(' | ')' => break,
                '\'' => word.text.push_str(self.single()?),
                '"' => self.double(&mut word)?,
                '\\' => {
                    self.at += 1;
                    word.text.extend(self.next().filter(|letter| *letter != '\n'));
                }
                '$' if rest.starts_with("$'") => self.escaped(&mut word)?,
                '$' => self.dollar(&mut word, false)?,
                '`' => self.backticks(&mut word)?,
                _ => {
                    word.is_live |= is_pattern(rest) || (letter == '~' && self.at == start);
                    word.text.extend(self.next());
                }
            }
            // A plain `$` is a letter.
            has_more |= !is_value && !rest.starts_with("\\\n") || self.at - before == 1;
        }
        self.line[start..self.at].clone_into(&mut word.raw);
        word.may_be_nothing = !has_more;
        word.inner.iter_mut().for_each(|at| *at = at.start - start..at.end - start);
        Ok(word)
    }

    /// A group that is a line for a shell. Until the word is whole, the place is one in the whole line.
    fn inner_group(&mut self, word: &mut Word) -> Result<&'a str, String> {
        let start = self.at;
        let group = self.group()?;
        word.inner.push(start + 1..self.at - 1);
        Ok(group)
    }

    fn single(&mut self) -> Result<&'a str, String> {
        let inner = &self.rest()[1..];
        let end = inner.find('\'').ok_or("the line has a quote without its end")?;
        self.at += end + 2;
        Ok(&inner[..end])
    }

    fn double(&mut self, word: &mut Word) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.peek().ok_or("the line has a quote without its end")? {
                '"' => break self.at += 1,
                '$' => self.dollar(word, true)?,
                '`' => self.backticks(word)?,
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(letter @ ('$' | '`' | '"' | '\\')) => word.text.push(letter),
                        Some(letter) => word.text.extend(['\\', letter]),
                    }
                }
                _ => word.text.extend(self.next()),
            }
        }
        Ok(())
    }

    /// `$'…'`
    fn escaped(&mut self, word: &mut Word) -> Result<(), String> {
        self.at += 2;
        loop {
            match self.next().ok_or("the line has a quote without its end")? {
                '\'' => return Ok(()),
                '\\' => match self.next() {
                    Some('n') => word.text.push('\n'),
                    Some('t') => word.text.push('\t'),
                    Some('r') => word.text.push('\r'),
                    Some('0') => word.text.push_str("\\0"),
                    Some(letter) => word.text.push(letter),
                    None => {}
                },
                letter => word.text.push(letter),
            }
        }
    }

    /// A variable, `${…}` or `$(…)`; else a plain `$`. `is_quoted`: in double quotes.
    fn dollar(&mut self, word: &mut Word, is_quoted: bool) -> Result<(), String> {
        self.at += 1;
        word.text.push('$');
        let rest = self.rest();
        let name = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        if rest.starts_with('(') {
            let group = self.inner_group(word)?;
            word.text.push_str(group);
        } else if rest.starts_with('{') {
            let parameter = self.parameter(word, is_quoted)?;
            word.text.push_str(parameter);
        } else if name > 0 {
            word.text.push_str(&rest[..name]);
            self.at += name;
        } else if rest.starts_with(['@', '*', '#', '?', '$', '!', '-']) {
            word.text.extend(self.next());
        } else {
            return Ok(());
        }
        word.is_live = true;
        Ok(())
    }

    /// From `{` to its `}`. In double quotes a single one is a letter like any other.
    fn parameter(&mut self, word: &mut Word, is_quoted: bool) -> Result<&'a str, String> {
        let start = self.at;
        let mut value = Word::default();
        loop {
            match self.peek().ok_or("the line has a `${` without its end")? {
                '}' => break self.at += 1,
                '\'' if !is_quoted => drop(self.single()?),
                '"' if !is_quoted => self.double(&mut value)?,
                '$' => self.dollar(&mut value, is_quoted)?,
                '`' => self.backticks(&mut value)?,
                '\\' => {
                    self.at += 1;
                    self.next();
                }
                _ => drop(self.next()),
            }
        }
        word.inner.append(&mut value.inner);
        Ok(&self.line[start..self.at])
    }

    fn backticks(&mut self, word: &mut Word) -> Result<(), String> {
        let end = self.rest()[1..].find('`').ok_or("the line has a quote without its end")?;
        word.inner.push(self.at + 1..self.at + end + 1);
        word.text.push_str(&self.rest()[..end + 2]);
        word.is_live = true;
        self.at += end + 2;
        Ok(())
    }

    /// From a parenthesis to its end.
    fn group(&mut self) -> Result<&'a str, String> {
        let (start, mut depth) = (self.at, 0);
        let mut ignored = Word::default();
        loop {
            match self.peek().ok_or("the line has a parenthesis without its end")? {
                '\'' => drop(self.single()?),
                '"' => self.double(&mut ignored)?,
                '\\' => {
                    self.at += 1;
                    self.next();
                }
                letter => {
                    self.next();
                    depth += i32::from(letter == '(') - i32::from(letter == ')');
                    if depth == 0 {
                        return Ok(&self.line[start..self.at]);
                    }
                }
            }
        }
    }
}

/// Whether a pattern of file names, or a list in braces, begins here.
fn is_pattern(rest: &str) -> bool {
    let word = rest.split([' ', '\t', '\n']).next().unwrap_or_default();
    match rest.chars().next() {
        Some('*' | '?') => true,
        Some('[') => word.contains(']'),
        Some('{') => word.find('}').is_some_and(|end| {
            let inner = &word[1..end];
            inner.contains(',') || inner.find("..").is_some_and(|at| at > 0 && at + 2 < inner.len())
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let all = tokens(line).unwrap();
        let one = |token: &Token| match &token.kind {
            TokenKind::Word(word) => format!("{}{}", word.text, if word.is_live { "!" } else { "" }),
            TokenKind::Join => "J".to_owned(),
            TokenKind::Pipe => "P".to_owned(),
            TokenKind::Redirect(how) => format!("R{how}"),
            TokenKind::Open => "O".to_owned(),
            TokenKind::Close => "C".to_owned(),
        };
        all.iter().map(one).collect::<Vec<_>>().join("_")
    }

    #[test]
    fn the_lines_in_a_word_are_known() {
        for (line, wanted) in [
            ("x$(a \"$(b)\")y`c`\"$(d ')')\"<(e)", vec!["a \"$(b)\"", "c", "d ')'", "e"]),
            ("${x:-$(a)$(b)}", vec!["a", "b"]),
            ("'$(a)'\\$b$c", vec![]),
        ] {
            let tokens = tokens(line).unwrap();
            let [Token { kind: TokenKind::Word(word), .. }] = &tokens[..] else { panic!("{tokens:?}") };
            assert_eq!(word.inner_lines(), wanted, "{line}");
        }
    }

    #[test]
    fn words_and_operators_are_those_of_a_shell() {
        for (line, wanted) in [
            ("a 'b c'\"d $e\" \\$f", "a_b cd $e!_$f"),
            ("a|b||c&&d;e&", "a_P_b_J_c_J_d_J_e_J"),
            ("a <b 2>c 2>&1 &>d >>e", "a_R<_b_R2>_c_R2>&_1_R&>_d_R>>_e"),
            ("a *.x {} {.} {1..3} {a,b} ~/x s{2}", "a_*.x!_{}_{.}_{1..3}!_{a,b}!_~/x!_s{2}"),
            ("a $(b 'c)' | d) `e` <(f | g)", "a_$(b 'c)' | d)!_`e`!_<(f | g)!"),
            ("(a) # b | c", "O_a_C"),
            ("a \\\n b\nc", "a_b_J_c"),
            ("a $'\\t' \"\\$x\" $ 100% [ a ]", "a_\t_$x_$_100%_[_a_]"),
        ] {
            assert_eq!(shown(line), wanted, "{line}");
        }
        let texts = tokens_around_texts("a <<E; b\n'c\nE\nd <<-\"F G\" | e\n\tf\n\tF G\ng <<< h").unwrap();
        let words = texts.iter().filter_map(|token| match &token.kind {
            TokenKind::Word(word) => Some(word.text.as_str()),
            _ => None,
        });
        assert_eq!(words.collect::<Vec<_>>(), ["a", "E", "b", "d", "-F G", "e", "g", "h"]);
        for line in ["a 'b", "a \"b", "a $(b", "a <<E\nb\nE", "a `b", "a ${b"] {
            assert!(tokens(line).is_err(), "{line}");
        }
    }
}
