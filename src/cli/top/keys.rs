//! From what a terminal sends to what was meant. Pure.

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The stage above.
    Up,
    /// The stage below.
    Down,
    /// One process more.
    More,
    /// One process less.
    Fewer,
    /// Pause the stage, or resume it.
    Pause,
    /// The same for all stages.
    PauseAll,
    /// Fresh workers.
    Restart,
    Quit,
    /// Stop the process, as Ctrl-Z does; the shell continues it.
    Suspend,
}

const ESCAPE: u8 = 0x1b;
const CTRL_C: u8 = 3;
const CTRL_Z: u8 = 26;

/// All keys in these bytes. Escape alone means nothing: over a slow line it may be the first half of an arrow.
pub(super) fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = bytes {
        let key;
        (key, bytes) = match (*first, rest) {
            (ESCAPE, [b'[' | b'O', rest @ ..]) => sequence(rest),
            (letter, rest) => (plain(letter), rest),
        };
        keys.extend(key);
    }
    keys
}

/// The rest of an escape sequence, up to its last letter.
fn sequence(bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let end = bytes.iter().position(|byte| (0x40..=0x7e).contains(byte)).unwrap_or(bytes.len());
    let key = match bytes.get(end) {
        Some(b'A') => Some(Key::Up),
        Some(b'B') => Some(Key::Down),
        _ => None,
    };
    (key, bytes.get(end + 1..).unwrap_or_default())
}

fn plain(letter: u8) -> Option<Key> {
    match letter {
        b'k' => Some(Key::Up),
        b'j' => Some(Key::Down),
        b'+' | b'=' => Some(Key::More),
        b'-' => Some(Key::Fewer),
        b'p' => Some(Key::Pause),
        b'P' => Some(Key::PauseAll),
        b'r' => Some(Key::Restart),
        b'q' | CTRL_C => Some(Key::Quit),
        CTRL_Z => Some(Key::Suspend),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_come_in_two_forms_and_what_is_unknown_means_nothing() {
        assert_eq!(keys(b"\x1b[A\x1bOB+"), [Key::Up, Key::Down, Key::More]);
        assert_eq!(keys(b"\x1b[1;5A\x1b[3~-\x1b"), [Key::Up, Key::Fewer]);
        assert_eq!(keys("\x1b[200~ü\x1b".as_bytes()), []);
        assert_eq!(keys(b"\x1b[12"), []);
        assert_eq!(keys(&[CTRL_C, CTRL_Z]), [Key::Quit, Key::Suspend]);
    }
}
