//! Checks of services (`ready`, `health`), made by one helper process for all of them: whatever a check waits for, and
//! however it ends, the supervisor waits for none.
//!
//! ```text
//! supervisor ── what is to be found out about which process ──> __check: a course of tries for each
//!            <──── what is new (ready, a failed check, …) ─────
//! ```
//!
//! The supervisor keeps what is wanted, by slot, and sends what has changed; a thread of it ([`link`]) does the writing and
//! the reading. So a helper that stands still costs no more memory than what is wanted.
//!
//! | killed, or it stands still … | left behind | why that's fine |
//! |---|---|---|
//! | a check's program | its process group, and what has left that | the group is killed with it, as that of one that takes too long; the rest comes to the helper, which knows it by the number of its try ([`tries`]) |
//! | the helper | check programs, and what they have started | the programs die with it (`PR_SET_PDEATHSIG`), what they have started is found as any orphan; the next helper is sent all that is wanted, and begins anew: a try that nobody has seen the end of has no result |
//! | the helper stands still (SIGSTOP, a frozen machine) | tries that seem to have taken too long | none of them counts ([`course::Outcome::Void`]) |
//! | the supervisor | the helper, check programs | both die with it; the guardian ends what these have started, by the run's id |
//! | the supervisor stands still | news in the socket | the helper waits for room, and makes no more tries then |
//! | the supervisor, in an upgrade | the helper of the program before | its socket is closed by the exec, which ends it; the next program starts its own, and checks begin anew |

mod course;
mod hand;
mod handle;
mod link;
mod message;
mod probe;
mod process;
mod program;
mod tries;

pub(crate) use handle::Checker;
pub(crate) use message::{Report, Task};
pub(crate) use process::run;

/// In the environment of a check's program, with the number of the try: it is none of the service's own.
pub(crate) const VARIABLE: &str = "MPRUN_CHECK";

/// The hidden verb of the helper.
pub(crate) const VERB: &str = "__check";
