//! What the modes make of a conversation with a program.

pub(crate) mod each;
pub(crate) mod reply;
pub(crate) mod stream;
