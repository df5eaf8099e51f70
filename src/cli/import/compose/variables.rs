//! `${NAME}` and its kin in the values of a compose file.

use crate::cli::toml_text::{piece, variable};

/// The same in our way. An unset variable is empty there, unless the file demands it.
///
/// # Errors
/// What has no counterpart.
pub(super) fn expanded(value: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        out += &piece(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out += "$$";
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inside, after) = after.split_once('}').ok_or("a ${ without its }")?;
            out += &braced(inside)?;
            rest = after;
        } else {
            let end = rest.find(|letter: char| !is_letter(letter)).unwrap_or(rest.len());
            out += &match &rest[..end] {
                "" => "$$".to_owned(),
                name => variable(name, Some("")),
            };
            rest = &rest[end..];
        }
    }
    Ok(out + &piece(rest))
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn braced(inside: &str) -> Result<String, String> {
    let end = inside.find(|letter: char| !is_letter(letter)).unwrap_or(inside.len());
    let (name, how) = inside.split_at(end);
    let how = how.strip_prefix(':').unwrap_or(how);
    match how.chars().next() {
        _ if how.contains('$') => Err(format!("${{{inside}}} has a variable within a variable")),
        None => Ok(variable(name, Some(""))),
        Some('-') => Ok(variable(name, Some(&how[1..]))),
        Some('?') => Ok(variable(name, None)),
        Some(_) => Err(format!("${{{inside}}} has no counterpart")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_their_defaults() {
        for (value, written) in [
            ("a $B-${C} $$D 5$", "a ${B:-}-${C:-} $$D 5$$"),
            ("${A:-x y}${A-z}", "${A:-x y}${A:-z}"),
            ("${A:?must be set}", "${A}"),
        ] {
            assert_eq!(expanded(value).as_deref(), Ok(written));
        }
        for value in ["${A:+x}", "${A:-${B}}", "${A"] {
            assert!(expanded(value).is_err(), "{value}");
        }
    }
}
