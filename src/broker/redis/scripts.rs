//! The scripts, each beside its file, with what they share before it.

use redis::Script;

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
