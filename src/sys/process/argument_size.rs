//! How large the arguments and variables of a program may be.

use std::ffi::{CString, c_char};

/// Bytes of one argument or variable, its end included: the kernel's MAX_ARG_STRLEN of 32 pages.
const LONGEST_STRING: usize = 32 * 4096;

/// The kernel's bound on all of them, whatever the stack may be: three quarters of 8 MiB.
const MOST_STRINGS: usize = 6 << 20;

/// Bytes that all arguments and variables of a program may have together, as far as this process knows.
pub(crate) fn most_argument_bytes() -> usize {
    let most = nix::unistd::sysconf(nix::unistd::SysconfVar::ARG_MAX).ok().flatten();
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(LONGEST_STRING).min(MOST_STRINGS)
}

/// Whether an exec with these would fail for their size, at the least.
pub(crate) fn is_too_large(arguments: &[CString], environment: &[CString]) -> bool {
    // Each string costs its end and a pointer; the file's name and the kernel's own entries need some room, too.
    const RESERVE: usize = 8192;
    let size = |string: &CString| string.count_bytes() + 1;
    let all = || arguments.iter().chain(environment);
    let sum: usize = all().map(|string| size(string) + size_of::<*const c_char>()).sum();
    all().any(|string| size(string) > LONGEST_STRING) || sum + RESERVE > most_argument_bytes()
}
