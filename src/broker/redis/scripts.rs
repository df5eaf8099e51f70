//! The scripts, each beside its file, with what they share before it.

use redis::{Cmd, Script};

/// The call of a script, with its keys; words follow. Unlike an invocation of the crate's it has them in one piece of memory.
pub(super) fn call(script: &Script, keys: &[&str]) -> Cmd {
    call_with(script, keys, (0, 0))
}

/// The same, with room for so many words of so many bytes.
pub(super) fn call_with(script: &Script, keys: &[&str], (words, bytes): (usize, usize)) -> Cmd {
    const HEAD_WORDS: usize = 16;
    const HEAD_BYTES: usize = 1 << 10;
    let mut call = Cmd::with_capacity(HEAD_WORDS + words, HEAD_BYTES + bytes);
    call.arg("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(keys);
    call
}

macro_rules! scripts {
    ($($name:ident),*) => {
        pub(super) struct Scripts { $(pub(super) $name: Script),* }

        impl Scripts {
            pub(super) fn new() -> Scripts {
                Scripts {
                    $($name: Script::new(concat!(
                        include_str!("scripts/lib.lua"),
                        include_str!(concat!("scripts/", stringify!($name), ".lua"))
                    ))),*
                }
            }
        }
    };
}

scripts!(
    audit, begin, claim, commit, discard, drop, ended, extend, finish, forget, give_back, hear, held, join,
    leave, order, probe, register, resign, retry, see, show, take, work_off
);
