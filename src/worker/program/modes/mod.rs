//! What the modes make of a conversation with a program.

mod attempt;
pub(crate) mod each;
pub(crate) mod reply;
pub(crate) mod stream;
