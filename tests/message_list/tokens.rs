//! As much of Rust's grammar as the list of messages needs: words, marks and string literals, without comments, attributes
//! and what is there for tests only.

use std::iter::Peekable;

#[derive(Debug, PartialEq, Eq)]
pub enum Token {
    Word(String),
    Mark(char),
    Text(String),
}

pub fn tokens(text: &str) -> Vec<Token> {
    without_attributes(all(text))
}

fn all(text: &str) -> Vec<Token> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '/' if after.starts_with('/') => &rest[rest.find('\n').unwrap_or(rest.len())..],
            '/' if after.starts_with('*') => &rest[rest.find("*/").map_or(rest.len(), |end| end + 2)..],
            '"' => {
                let (text, after) = quoted(after);
                found.push(Token::Text(text));
                after
            }
            'r' if raw(after).is_some() => {
                let (text, after) = raw(after).unwrap();
                found.push(Token::Text(text.to_owned()));
                after
            }
            // A character; else a lifetime.
            '\'' => match after.strip_prefix('\\') {
                Some(escaped) => &escaped[1 + escaped[1..].find('\'').unwrap() + 1..],
                None => {
                    let mut chars = after.char_indices();
                    match (chars.next(), chars.next()) {
                        (_, Some((at, '\''))) => &after[at + 1..],
                        _ => after,
                    }
                }
            },
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                found.push(Token::Word(rest[..end].to_owned()));
                &rest[end..]
            }
            c if c.is_whitespace() => after,
            c => {
                found.push(Token::Mark(c));
                after
            }
        };
    }
    found
}

/// A literal behind its first quote, and what follows its last one.
fn quoted(text: &str) -> (String, &str) {
    let mut content = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (content, &text[at + 1..]),
            '\\' => match chars.next() {
                // The rest of the line and the next one's indentation are not part of it.
                Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                Some((_, 'n')) => content.push('\n'),
                Some((_, c)) => content.push(c),
                None => {}
            },
            c => content.push(c),
        }
    }
    (content, "")
}

/// `"text"` or `#"text"#` behind an `r`.
fn raw(text: &str) -> Option<(&str, &str)> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let content = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &text[..hashes]);
    let at = content.find(&end)?;
    Some((&content[..at], &content[at + end.len()..]))
}

/// `#[cfg(test)]` goes with the item that it stands before.
fn without_attributes(all: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut rest = all.into_iter().peekable();
    while let Some(token) = rest.next() {
        let is_attribute = token == Token::Mark('#') && matches!(rest.peek(), Some(Token::Mark('[' | '!')));
        if !is_attribute {
            kept.push(token);
            continue;
        }
        let words = skip_brackets(&mut rest, false);
        if words == ["cfg", "test"] {
            skip_brackets(&mut rest, true);
        }
    }
    kept
}

/// Up to the end of the next brackets, with the words in between. An item ends with its braces, a semicolon, a comma, or before
/// the bracket that ends what it is in.
fn skip_brackets(rest: &mut Peekable<impl Iterator<Item = Token>>, is_item: bool) -> Vec<String> {
    let (mut depth, mut words) = (0_usize, Vec::new());
    while let Some(token) = rest.next_if(|token| depth > 0 || !matches!(token, Token::Mark(')' | ']' | '}')))
    {
        let is_end = match &token {
            Token::Mark('(' | '[' | '{') => {
                depth += 1;
                false
            }
            Token::Mark(')' | ']' | '}') => {
                depth -= 1;
                depth == 0 && (!is_item || token == Token::Mark('}'))
            }
            Token::Mark(';' | ',') => is_item && depth == 0,
            Token::Mark(_) | Token::Text(_) => false,
            Token::Word(word) => {
                words.push(word.clone());
                false
            }
        };
        if is_end {
            break;
        }
    }
    words
}
