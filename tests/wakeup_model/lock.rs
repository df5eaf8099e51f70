//! The robust lock of `src/queue/transaction/lock.rs`, one shared access a step, with kills between any two.

use crate::explore::{Step, Verdict, explore};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Word {
    owner: u8,
    waiters: bool,
    died: bool,
}

const FREE: Word = Word { owner: 0, waiters: false, died: false };

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Outside,
    FastCas,
    Load,
    CasFree(Word),
    CasWaiters(Word),
    Sleep(Word),
    Asleep,
    Inside,
    Wake,
    ClearPending,
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Process {
    at: At,
    others: bool,
    pending: bool,
    rounds: u8,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    word: Word,
    waiters: Vec<u8>,
    processes: Vec<Process>,
    kills: u8,
    to_release: u8,
}

/// The protocol, and what can be left out of it.
#[derive(Clone, Copy)]
pub struct Rules {
    pub unlock_wakes: bool,
    pub keeps_waiters: bool,
    pub release_wakes: bool,
    pub pending: bool,
    /// As the compiler might have it, were there no fence before the clearing.
    pub clears_pending_first: bool,
    /// Kernels differ in when a pending, free word gets a wake: word = 0, or no owner.
    pub kernel_wakes_marked: bool,
}

pub const REAL: Rules = Rules {
    unlock_wakes: true,
    keeps_waiters: true,
    release_wakes: true,
    pending: true,
    clears_pending_first: false,
    kernel_wakes_marked: false,
};

fn wake_one(state: &mut State) {
    if !state.waiters.is_empty() {
        let i = state.waiters.remove(0) as usize;
        state.processes[i].at = At::Load;
        state.processes[i].others = true;
    }
}

fn advance(state: &mut State, i: usize, rules: Rules) {
    let me = i as u8 + 1;
    let word = state.word;
    let mut process = state.processes[i];
    process.at = match process.at {
        At::Outside => {
            process.pending = rules.pending;
            process.others = false;
            At::FastCas
        }
        At::FastCas if word == FREE => {
            state.word.owner = me;
            At::Inside
        }
        At::FastCas => At::Load,
        At::Load if word.owner == 0 => At::CasFree(word),
        At::Load if word.waiters => At::Sleep(word),
        At::Load => At::CasWaiters(word),
        At::CasFree(seen) if seen == word => {
            let waiters = word.waiters || process.others && rules.keeps_waiters;
            state.word = Word { owner: me, waiters, died: false };
            At::Inside
        }
        At::CasWaiters(seen) if seen == word => {
            state.word.waiters = true;
            At::Sleep(state.word)
        }
        At::CasFree(_) | At::CasWaiters(_) => At::Load,
        At::Sleep(seen) if seen == word => {
            state.waiters.push(i as u8);
            At::Asleep
        }
        At::Sleep(_) => {
            process.others = true;
            At::Load
        }
        At::Inside if rules.clears_pending_first && process.pending => {
            process.pending = false;
            At::Inside
        }
        At::Inside => {
            state.word = FREE;
            if word.waiters && rules.unlock_wakes { At::Wake } else { At::ClearPending }
        }
        At::Wake => At::ClearPending,
        At::ClearPending => {
            process.pending = false;
            process.rounds -= 1;
            At::Outside
        }
        At::Asleep | At::Dead => unreachable!("not on its own"),
    };
    let wakes = state.processes[i].at == At::Wake;
    state.processes[i] = process;
    if wakes {
        wake_one(state);
    }
}

/// What the kernel does for a dead thread (`handle_futex_death`).
fn kill(state: &mut State, i: usize, rules: Rules) {
    let process = state.processes[i];
    state.processes[i] = Process { at: At::Dead, others: false, pending: false, rounds: 0 };
    state.waiters.retain(|&waiter| waiter != i as u8);
    state.kills -= 1;
    state.to_release += 1;
    if !process.pending {
        return;
    }
    let word = state.word;
    if word.owner == i as u8 + 1 {
        state.word = Word { owner: 0, waiters: word.waiters, died: true };
        if word.waiters {
            wake_one(state);
        }
    } else if if rules.kernel_wakes_marked { word.owner == 0 } else { word == FREE } {
        wake_one(state);
    }
}

pub fn check(processes: usize, rounds: u8, kills: u8, rules: Rules) -> Verdict {
    let fresh = Process { at: At::Outside, others: false, pending: false, rounds };
    let start =
        State { word: FREE, waiters: vec![], processes: vec![fresh; processes], kills, to_release: 0 };
    explore(
        start,
        |state, out| {
            if state.to_release > 0 {
                let mut after = state.clone();
                after.to_release -= 1;
                if rules.release_wakes {
                    wake_one(&mut after);
                }
                out.push(Step { label: "release".into(), misfortune: false, after });
            }
            for (i, process) in state.processes.iter().enumerate() {
                let gone = process.at == At::Dead || process.at == At::Outside && process.rounds == 0;
                if !gone && process.at != At::Asleep {
                    let mut after = state.clone();
                    advance(&mut after, i, rules);
                    out.push(Step { label: format!("{i} {:?}", process.at), misfortune: false, after });
                }
                if !gone && state.kills > 0 {
                    let mut after = state.clone();
                    kill(&mut after, i, rules);
                    out.push(Step {
                        label: format!("{i} dies in {:?}", process.at),
                        misfortune: true,
                        after,
                    });
                }
            }
        },
        |state, at_rest| {
            let inside = state.processes.iter().filter(|process| process.at == At::Inside).count();
            let asleep = state.processes.iter().any(|process| process.at == At::Asleep);
            if inside > 1 {
                return Some("two are inside the lock".into());
            }
            (at_rest && asleep).then(|| format!("asleep for ever, the word is {:?}", state.word))
        },
    )
}
