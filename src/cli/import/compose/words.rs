//! A command as words: those that Compose makes of it, by go-shellwords. A shell reads some in another way: `#` begins a comment
//! there, and between double quotes it leaves most backslashes in place.

/// # Errors
/// What has no end, or ends the command for Compose.
pub(super) fn of(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None, None);
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        if quote.is_none() && letter.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        if quote.is_none() && ";&|<>".contains(letter) {
            return Err(format!("Compose takes it up to its `{letter}`"));
        }
        let word = word.get_or_insert_with(String::new);
        match letter {
            '\'' | '"' if quote.is_none() => quote = Some(letter),
            _ if quote == Some(letter) => quote = None,
            '\\' if quote != Some('\'') => word.push(escaped(rest.next().ok_or("a backslash at its end")?)),
            _ => word.push(letter),
        }
    }
    match quote {
        Some(_) => Err("a quote without its end".to_owned()),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

fn escaped(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_words_are_those_that_compose_makes() {
        for (line, words) in [
            ("echo a #b c", &["echo", "a", "#b", "c"][..]),
            ("a  'b \\n c' \"d \\n e\"", &["a", "b \\n c", "d \n e"]),
            ("a\\ b \"\\$HOME\" ''", &["a b", "$HOME", ""]),
            ("", &[]),
        ] {
            assert_eq!(of(line).unwrap(), words, "{line}");
        }
        assert!(of("a 'b").is_err() && of("a\\").is_err());
        assert_eq!(of("a; b").unwrap_err(), "Compose takes it up to its `;`");
    }
}
