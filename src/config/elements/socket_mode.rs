//! The permissions of a socket.

use serde_json::{Value, json};

use super::{Element, or_variable, reject, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::{Content, Node};

/// Octal digits. A socket is connected to by who can write to it.
pub(crate) struct SocketMode;

/// Its owner can read and write: `mprun` itself is a client.
const OWNER: u32 = 0o600;

impl Element for SocketMode {
    type Output = u32;

    fn read(node: &Node, report: &mut Report) -> Option<u32> {
        let Some(text) = node.text() else {
            let guess = match node.content {
                Content::Integer(number) => Some(format!("\"{number:04}\", in quotes")),
                _ => None,
            };
            report.push(wrong_kind::<Self>(node, "a string").did_you_mean(guess));
            return None;
        };
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
        let fault = match mode {
            None => reject::<Self>(node, "not a set of permissions"),
            Some(mode) if mode & OWNER != OWNER => {
                reject::<Self>(node, "the verbs of the pipeline's own user could not connect")
            }
            Some(mode) if mode & 0o007 != 0 => {
                reject::<Self>(node, "every user of this machine could control the pipeline")
                    .help("give a team its own group: `socket_group`, and \"0660\"")
            }
            Some(mode) => return Some(mode),
        };
        report.push(fault);
        None
    }

    fn accepted() -> String {
        r#"octal digits in quotes: "0600", or "0660" for a group"#.into()
    }

    fn schema() -> Value {
        or_variable(json!({ "type": "string", "pattern": "^0?[67][0-7]0$", "examples": ["0660"] }))
    }

    fn written(mode: &u32) -> Value {
        format!("{mode:04o}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn a_socket_is_for_its_owner_and_a_group() {
        accepts::<SocketMode>(&["\"0600\"", "\"660\""]);
        refuses::<SocketMode>(&[
            ("660", "did you mean \"0660\", in quotes?"),
            ("\"0060\"", "could not connect"),
            ("\"0666\"", "every user of this machine"),
            ("\"0680\"", "not a set of permissions"),
            ("\"rw\"", "not a set of permissions"),
        ]);
    }
}
