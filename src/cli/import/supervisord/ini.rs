//! The file's grammar: that of Python's `RawConfigParser` with `;` and `#` for comments also behind a space within a
//! line. No crate has just this one: continued lines, two kinds of comments and of separators, a key that comes again.

use super::values::with_known;

/// A `[KIND:NAME]` or `[KIND]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Block {
    pub kind: String,
    pub name: String,
    /// Keys in lower case; of two the later one counts.
    pub keys: Vec<(String, String)>,
}

impl Block {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// Writes this folder in place of the name that stands for it.
    pub(super) fn expand_here(&mut self, folder: &str) {
        let folder = folder.replace('%', "%%");
        self.keys.iter_mut().for_each(|(_, value)| *value = value.replace("%(here)s", &folder));
    }

    /// Puts variables whose values the file says in place of their names.
    pub(super) fn expand_variables(&mut self, is_meant: impl Fn(&str) -> bool, known: &[(String, String)]) {
        let meant = self.keys.iter_mut().filter(|(key, _)| is_meant(key));
        meant.for_each(|(_, value)| *value = with_known(value, known));
    }

    fn set(&mut self, key: String, value: String) {
        match self.keys.iter_mut().find(|(own, _)| *own == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
    }
}

/// All blocks of a text. The lines of a block that is opened twice are joined.
///
/// # Errors
/// The number of a line that is none of these, and why.
pub(super) fn parse(text: &str) -> Result<Vec<Block>, (usize, String)> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut now: Option<usize> = None;
    let mut last: Option<String> = None;
    for (n, line) in text.lines().enumerate() {
        let bare = without_comment(line);
        let content = bare.trim();
        if content.is_empty() {
            continue;
        }
        let is_continued = bare.starts_with([' ', '\t']) && last.is_some();
        if let (true, Some(block), Some(key)) = (is_continued, now, &last) {
            let so_far = blocks[block].get(key).unwrap_or_default();
            let value = format!("{so_far}\n{content}");
            blocks[block].set(key.clone(), value);
        } else if let Some(header) = content.strip_prefix('[') {
            let end = header.rfind(']').ok_or_else(|| (n + 1, "a `[` without its `]`".to_owned()))?;
            now = Some(block_of(&header[..end], &mut blocks));
            last = None;
        } else {
            let block = now.ok_or_else(|| (n + 1, "a setting before the first `[section]`".to_owned()))?;
            let (key, value) = content
                .find(['=', ':'])
                .map(|at| (content[..at].trim().to_lowercase(), content[at + 1..].trim().to_owned()))
                .ok_or_else(|| (n + 1, "no `KEY = VALUE`".to_owned()))?;
            blocks[block].set(key.clone(), value);
            last = Some(key);
        }
    }
    Ok(blocks)
}

/// Adds the blocks of a further file: of a key that both have the later one counts.
pub(super) fn merge(blocks: &mut Vec<Block>, more: Vec<Block>) {
    for block in more {
        match blocks.iter_mut().find(|old| old.kind == block.kind && old.name == block.name) {
            Some(old) => block.keys.into_iter().for_each(|(key, value)| old.set(key, value)),
            None => blocks.push(block),
        }
    }
}

fn block_of(header: &str, blocks: &mut Vec<Block>) -> usize {
    let (kind, name) = header.split_once(':').unwrap_or((header, ""));
    let (kind, name) = (kind.trim(), name.trim());
    let found = blocks.iter().position(|block| block.kind == kind && block.name == name);
    found.unwrap_or_else(|| {
        blocks.push(Block { kind: kind.to_owned(), name: name.to_owned(), keys: Vec::new() });
        blocks.len() - 1
    })
}

/// A comment fills its line, or stands behind a space.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let bytes = line.as_bytes();
    let begins = |at: usize| {
        matches!(bytes[at], b'#' | b';')
            && at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_whitespace())
    };
    let end = (0..bytes.len()).find(|at| begins(*at)).unwrap_or(line.len());
    line[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<(String, String)> {
        parse(&format!("[program:x]\n{text}")).unwrap().remove(0).keys
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn keys_values_and_comments() {
        let text =
            "; one\n# two\nCommand = /bin/cat -a=1;2#3 ; not this\nuser: me\t# nor this\nempty=\nuser=you\n";
        assert_eq!(
            keys(text),
            [pair("command", "/bin/cat -a=1;2#3"), pair("user", "you"), pair("empty", "")]
        );
    }

    #[test]
    fn an_indented_line_goes_on_with_the_value() {
        let text = "environment=A=1,\n  B=2,\n\n    ; not this\n  C=3\ncommand=x\n";
        assert_eq!(keys(text), [pair("environment", "A=1,\nB=2,\nC=3"), pair("command", "x")]);
    }

    #[test]
    fn blocks_have_a_kind_and_a_name() {
        let blocks = parse("[a:b:c]\nk=1\n[d]\n[a:b:c]\nl=2\n").unwrap();
        assert_eq!((blocks[0].kind.as_str(), blocks[0].name.as_str(), blocks[0].keys.len()), ("a", "b:c", 2));
        assert_eq!((blocks[1].kind.as_str(), blocks[1].name.as_str()), ("d", ""));
    }

    #[test]
    fn what_is_no_setting_has_its_line() {
        assert_eq!(parse("[a]\n\nk\n").unwrap_err().0, 3);
        assert_eq!(parse("k=1\n").unwrap_err().0, 1);
        assert_eq!(parse("[a\n").unwrap_err().0, 1);
    }
}
