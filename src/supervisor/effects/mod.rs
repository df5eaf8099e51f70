//! Does what was decided. Every effect of the supervisor is here or in what this calls.
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the supervisor, anywhere | workers, their children, the guardian | workers die with it (`PR_SET_PDEATHSIG`); the guardian sees the end of its pipe and kills the rest. Kept queues ([`queue_store`](crate::supervisor::recovery::queue_store)) go on at the next start, which waits until the last of them is gone |
//! | the guardian | nothing | SIGCHLD: another one is started |
//! | both at once | grandchildren that left their group | workers are gone by PDEATHSIG; the rest is ended by the next start, by the run's id, if the queues are kept |
//! | between `open_slot` and the fork | a slot with settings | the next worker that gets it overwrites them |
//! | the child, between fork and exec | nothing: it holds no lease | the error pipe ends without a word, and its death is seen as any worker's |
//! | the supervisor, there | a child whose parent is gone | PDEATHSIG, or the check of `getppid` after it |
//! | between exec and `set_pid` | a worker whose group the arena doesn't name | PDEATHSIG; its children carry the run's id in their environment |
//! | anything of a service | see [`services`](crate::supervisor::runtime::services) | |
//! | anything of a check | see [`checker`](crate::supervisor::runtime::checker) | |
//! | the worker, before it is ready | nothing | a failed start: back-off, or the reload goes back |
//! | the worker, anywhere later | leases, staged outputs | the release gives them back (crash table of the queue) |
//! | between reap and release | leases of a dead worker | only the supervisor's own death does that: the run is over, or the run that recovers its queues releases every slot |
//! | in a release | some holdings given back | each in one transaction; see the queue |
//! | while a dead letter is written for a dead worker | see [`dead_letter`](crate::supervisor::runtime::dead_letter_writer) | |
//! | in a reload | some workers of the new version | nothing of it is kept anywhere but in memory; kept queues of either version are found by their labels, and those that the file does not name are kept while they hold items |
//! | between the last release and the summary | kept queues in which all is through | the work is done, only the exit code is lost: the next start sees at once that it is through, and ends |
//! | starting: before the arena is stored or has its magic | nothing that holds an item | made anew |
//! | in taking over | some slots released, some tokens reopened | the next start does the rest: each step is the same the second time |
//! | after the release of the last slot, before the new run is noted | the old run's id in the arena | no process of either run lives |

mod answers;
mod ask;
mod checks;
mod dead_letters;
mod deaths;
mod errands;
mod failing;
mod link;
mod perform;
pub(super) mod performer;
mod queues;
mod schedule;
mod serve;
mod service;
mod service_hands;
mod services;
mod settle;
pub(crate) mod setup;
mod upgrade;
mod workers;
