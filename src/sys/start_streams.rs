//! Standard streams that were closed when the program began (`>&-`).
//!
//! Rust opens `/dev/null` in their place before `main`, so that no other file gets their numbers. But then whatever is
//! written is gone without a word, and can't be told any more. So before Rust comes to it, there is something in their
//! place that can neither be read nor written; workers inherit it, and so does a program after an upgrade.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::io;
use std::os::fd::AsFd;

#[used]
// SAFETY: the loader calls what stands in this section, once, before Rust's runtime; `fill` needs nothing of that.
#[unsafe(link_section = ".init_array")]
static FILL: extern "C" fn() = fill;

extern "C" fn fill() {
    // In this order: what is opened gets the lowest number that is free.
    for fd in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
        // SAFETY: it reads a flag of the descriptor, if there is one.
        let is_open = unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 };
        if !is_open {
            // SAFETY: a plain system call with a string that ends with a zero byte. Without that file Rust's own look
            // at the streams ends the program.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_PATH) };
        }
    }
}

/// Whether there was no standard input.
pub(crate) fn is_input_closed() -> bool {
    is_stand_in(io::stdin())
}

/// Whether there was no standard output.
pub(crate) fn is_output_closed() -> bool {
    is_stand_in(io::stdout())
}

fn is_stand_in(fd: impl AsFd) -> bool {
    fcntl(fd, FcntlArg::F_GETFL).is_ok_and(|flags| OFlag::from_bits_retain(flags).contains(OFlag::O_PATH))
}
