//! What of a line the shell itself looks at: enough of its grammar to tell `"$1"` from a `$1` that is meant for `awk`.

/// Whether the line names its first argument, which is the item where one is at hand.
pub(crate) fn names_item(line: &str) -> bool {
    let open = open(line);
    open.contains("$1")
        || open.split("${1").skip(1).any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// Whether `{}` stands where the shell would hand it on as it is, and a reader of the file may take it for the item.
pub(crate) fn has_braces(line: &str) -> bool {
    open(line).contains("{}")
}

/// The line with all that is in single quotes, escaped or a comment replaced by blanks.
fn open(line: &str) -> String {
    let mut open = String::new();
    let (mut is_double, mut begins_word) = (false, true);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
                open.push(' ');
            }
            '\'' if !is_double => {
                letters.by_ref().find(|&end| end == '\'');
                open.push(' ');
            }
            '#' if begins_word && !is_double => {
                letters.by_ref().find(|&end| end == '\n');
                open.push('\n');
            }
            _ => {
                is_double ^= letter == '"';
                open.push(letter);
            }
        }
        begins_word = letter.is_whitespace() || ";&|()".contains(letter);
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shells_own_first_argument_is_the_item_and_that_of_others_is_not() {
        for line in [r#"gzip "$1""#, "echo $1", r#"echo "it's ${1%.gz}""#, "x '$2' $1", "# it's\necho $1"] {
            assert!(names_item(line), "{line}");
        }
        for line in
            ["awk '{ print $1 }'", r"echo \$1", "echo $2 ${10}", "cat # not $1", "echo 'a'\\''$1'", ""]
        {
            assert!(!names_item(line), "{line}");
        }
    }

    #[test]
    fn braces_in_single_quotes_are_meant_as_they_are() {
        for line in ["gzip {}", "curl -d \"{}\" x", "find . -exec ls {} \\;"] {
            assert!(has_braces(line), "{line}");
        }
        for line in ["find . -exec ls '{}' \\;", "awk '{}'", "echo {a,b} { }", r"echo \{}"] {
            assert!(!has_braces(line), "{line}");
        }
    }
}
