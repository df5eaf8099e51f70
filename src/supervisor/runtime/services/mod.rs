//! Services: programs with neither input nor output. The supervisor is their parent; one thread ([`relay`]) reads what they
//! say, and brings it to the log and, by the helper that writes outside ([`printer`]), to standard output.
//!
//! | who waits | for what | what follows |
//! |---|---|---|
//! | the supervisor's own thread | nothing: a start is a fork, and the exec tells by a pipe | |
//! | the relay's thread | for any of its pipes | a log that takes nothing costs lines, each service's are counted |
//! | the helper | for standard output | the relay reads no more of what is to be printed: the programs wait, as in a shell pipe |
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | a program | what is in its pipes | it is read before its end is told |
//! | a program, or it ends by itself | a daemon that it has started, in another session and without its environment | it has the program's mark: the supervisor, whose child it is then, kills it in the same round |
//! | a program in the moment in which a daemon forks | a daemon that the look has missed | the end of that one's parent is the next round; the end of the run sweeps all |
//! | the helper | what it had read and not written, at most a packet or a line | lost, as with a killed worker; the supervisor keeps both ends of every pipe and socket, so no program notices, and the next helper goes on with the packets that wait |
//! | the supervisor | programs | they die with it (`PR_SET_PDEATHSIG`); the guardian ends their groups ([`roster`]), and by the run's mark what has left them ([`mark`](crate::sys::mark)) |
//! | the supervisor, between the fork and the line in the roster | a program that the roster does not name | the same without the roster: PDEATHSIG, and the run's mark, which it has before its exec |
//! | the supervisor, between a service's READY=1 and its being taken in | a message in a socket that is gone | the service goes with it |
//! | the supervisor, in an upgrade | the marks of programs | they name the run and the program's pid, and both stay |
//! | the supervisor, in an upgrade | pipes, half lines, notification sockets | all go to the next program with the rest ([`saved_services`](crate::supervisor::recovery::saved_services)) |

mod announcement;
mod entry;
pub(crate) mod identities;
pub(crate) mod printer;
mod relay;
pub(crate) mod roster;
mod start;
mod thread;

pub(crate) use entry::Adopted;
pub(crate) use relay::{Held, LastWords, Services};
pub(crate) use start::pipes;
