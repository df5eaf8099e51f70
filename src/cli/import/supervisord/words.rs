//! A command as words: those that Python's `shlex.split` makes of it, as supervisord does. A shell reads some in another way: there
//! a backslash between double quotes also takes the meaning from `$` and a backtick, and `#` begins a comment.

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// # Errors
/// What has no end.
pub(super) fn of(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word) = (Vec::new(), None);
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        if SPACES.contains(&letter) {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(String::new);
        match letter {
            '\'' | '"' => quoted(&mut rest, letter, word)?,
            '\\' => word.push(rest.next().ok_or("a backslash at its end")?),
            _ => word.push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Up to the quote that closes; between double ones a backslash takes the meaning from a quote and a backslash only.
fn quoted(rest: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), &'static str> {
    const UNCLOSED: &str = "a quote without its end";
    loop {
        match rest.next().ok_or(UNCLOSED)? {
            letter if letter == quote => return Ok(()),
            '\\' if quote == '"' => {
                let next = rest.next().ok_or(UNCLOSED)?;
                if !['"', '\\'].contains(&next) {
                    word.push('\\');
                }
                word.push(next);
            }
            letter => word.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use std::process::{Command, Stdio};

    /// Every text of up to five of these.
    fn lines() -> Vec<String> {
        const PARTS: [&str; 8] = ["a", " ", "'", "\"", "\\", "$", "#", "\n"];
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..5 {
            last = last.iter().flat_map(|line| PARTS.map(|part| line.clone() + part)).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn the_words_are_those_that_python_makes() {
        const SCRIPT: &str = "import json, shlex, sys\n\
            def words(line):\n\
            \x20   try: return shlex.split(line)\n\
            \x20   except ValueError: return None\n\
            print(json.dumps([words(line) for line in json.load(sys.stdin)]))";
        let lines = lines();
        let mut python = Command::new("python3");
        let mut python =
            python.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It prints nothing before it has read all of it.
        serde_json::to_writer(python.stdin.take().unwrap(), &lines).unwrap();
        let said = python.wait_with_output().unwrap();
        let expected: Vec<Option<Vec<String>>> = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(expected.len(), lines.len());
        for (line, expected) in lines.iter().zip(expected) {
            assert_eq!(of(line).ok(), expected, "{line:?}");
        }
    }
}
