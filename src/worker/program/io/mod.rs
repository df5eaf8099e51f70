//! The edge: a program's pipes, and the bytes on their way through them.

pub(crate) mod answers;
pub(crate) mod feed;
pub(crate) mod helper_protocol;
pub(crate) mod outputs;
pub(crate) mod session;
pub(crate) mod stderr;
pub(crate) mod waker;
