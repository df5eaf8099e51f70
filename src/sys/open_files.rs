//! The limit of open descriptors (`ulimit -n`): raised for this program, and given back to those that it starts. Some
//! programs wait by `select`, which knows 1,024 descriptors only: a higher limit than they expect would harm them.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The soft limit before it was raised; 0: it was not.
static ORIGINAL: AtomicU64 = AtomicU64::new(0);

/// Raises the soft limit to the hard one. Returns what this process may open now.
pub(crate) fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        ORIGINAL.store(soft, Relaxed);
        return Ok(hard);
    }
    Ok(soft)
}

/// The soft limit that this process was started with, if it has another one now.
pub(crate) fn original() -> Option<u64> {
    Some(ORIGINAL.load(Relaxed)).filter(|soft| *soft > 0)
}

/// Lowers it to what it was: for a program that takes this one's place. What is open stays open.
pub(crate) fn give_back() {
    if let (Some(soft), Ok((_, hard))) = (original(), getrlimit(Resource::RLIMIT_NOFILE)) {
        // It is a limit that was in force before: it can't be refused, and if it is, the higher one does no harm here.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_given_back() {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, before.min(512).min(hard), hard).unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise(), Ok(hard));
        assert_eq!(original(), (soft < hard).then_some(soft));
        give_back();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE), Ok((soft, hard)));
        setrlimit(Resource::RLIMIT_NOFILE, before, hard).unwrap();
    }
}
