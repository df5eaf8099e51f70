//! The events of `src/queue/transaction/event.rs` as `take`, `commit`, `put`, `release` and the supervisor use them. The lock is
//! checked on its own, so what happens under it is one step here; wakes after the unlock, the fall asleep, and
//! `wake_all` (which takes no lock) are steps of their own. Sequence numbers are known only by whether they have
//! changed since a waiter read them.

use crate::explore::{Step, Verdict, explore};

/// One bit for each event: queue q has NOT_EMPTY, NOT_FULL, BYTES_FREE.
type Events = u8;
const KINDS: usize = 3;
fn not_empty(q: usize) -> usize {
    q * KINDS
}
fn not_full(q: usize) -> usize {
    q * KINDS + 1
}
fn bytes_free(q: usize) -> usize {
    q * KINDS + 2
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Queue {
    /// The sizes of the items, the oldest first.
    pub waiting: Vec<u8>,
    pub capacity: u8,
    /// 0: not bounded.
    pub max_bytes: u8,
    pub bytes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Takes up to `max` at once from any of the queues, so many times.
    Read { inputs: Vec<usize>, max: usize, takes: u8 },
    /// Puts these outputs (queues, size), as many at once as fit.
    Write { outputs: Vec<(Vec<usize>, u8)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Work,
    /// Unlocked, not asleep yet; `true`: a sequence number has changed meanwhile.
    FallsAsleep(Events, bool),
    Asleep(Events),
    /// Not running yet. In a wait for several events it stays in the kernel's queues of the others until it does.
    Woken(Events),
    Gone,
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    job: Job,
    at: At,
    /// The events it slept on before this try.
    slept: Events,
    /// Wake-ups to be made now that the lock is free: of one, or of all.
    owed: Vec<(usize, bool)>,
    /// The leased items: queue and size.
    leases: Vec<(usize, u8)>,
    /// The reserved bytes of the next output, by queue.
    reserved: Vec<(usize, u8)>,
    may_leave: bool,
    leaves: bool,
    stopped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    Return(usize),
    SetStopped,
    Capacity(usize, u8),
    Announce(usize),
    Ring(usize),
    WakeAll(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    queues: Vec<Queue>,
    idle: Events,
    processes: Vec<Process>,
    admin: Vec<Task>,
    stopped_known: bool,
    kills: u8,
    stops: u8,
}

/// The protocol, and what can be left out of it.
#[derive(Clone, Copy)]
pub struct Rules {
    pub take_passes_on: bool,
    pub put_passes_on: bool,
    pub moving_on_passes_on: bool,
    pub woken_announces: bool,
    pub takes_before_leaving: bool,
    pub release_wakes_all: bool,
    pub stops_are_reported: bool,
    pub capacity_rings: bool,
    pub bytes_wake_all: bool,
}

pub const REAL: Rules = Rules {
    take_passes_on: true,
    put_passes_on: true,
    moving_on_passes_on: true,
    woken_announces: true,
    takes_before_leaving: true,
    release_wakes_all: true,
    stops_are_reported: true,
    capacity_rings: true,
    bytes_wake_all: true,
};

/// Who is there and what may go wrong.
#[derive(Clone, Default)]
pub struct Scene {
    pub queues: Vec<Queue>,
    pub jobs: Vec<Job>,
    /// These may leave by a deadline or an order.
    pub leavers: Vec<usize>,
    pub kills: u8,
    pub stops: u8,
    pub new_capacity: Option<(usize, u8)>,
}

pub fn queue(capacity: u8) -> Queue {
    Queue { waiting: vec![], capacity, max_bytes: 0, bytes: 0 }
}

pub fn read(inputs: &[usize], max: usize, takes: u8) -> Job {
    Job::Read { inputs: inputs.to_vec(), max, takes }
}

pub fn write(outputs: &[&[usize]]) -> Job {
    Job::Write { outputs: outputs.iter().map(|queues| (queues.to_vec(), 1)).collect() }
}

impl State {
    fn ring(&mut self, event: usize) {
        self.idle &= !(1 << event);
        self.change(event);
    }

    /// The sequence number goes up.
    fn change(&mut self, event: usize) {
        for process in &mut self.processes {
            if let At::FallsAsleep(events, stale) = &mut process.at
                && *events >> event & 1 == 1
            {
                *stale = true;
            }
        }
    }

    fn notify(&mut self, i: usize, event: usize) {
        if self.stopped_known {
            self.ring(event);
            self.processes[i].owed.push((event, true));
        } else if self.idle >> event & 1 == 1 {
            self.ring(event);
            self.processes[i].owed.push((event, false));
        }
    }

    fn notify_all_idle(&mut self, i: usize, event: usize, all: bool) {
        if self.idle >> event & 1 == 1 {
            self.ring(event);
            self.processes[i].owed.push((event, all));
        }
    }

    fn waiters(&self, event: usize) -> Vec<usize> {
        let on = |at: At| matches!(at, At::Asleep(e) | At::Woken(e) if e >> event & 1 == 1);
        (0..self.processes.len()).filter(|&i| on(self.processes[i].at)).collect()
    }

    fn wake(&mut self, i: usize, event: usize) {
        if let At::Asleep(events) | At::Woken(events) = self.processes[i].at {
            self.processes[i].at = At::Woken(events & !(1 << event));
        }
    }

    fn announce(&mut self, i: usize, events: Events) {
        self.idle |= events;
        self.processes[i].at = At::FallsAsleep(events, false);
    }

    fn end_leases(&mut self, i: usize, rules: Rules) {
        let mut freed: Events = 0;
        for (q, size) in std::mem::take(&mut self.processes[i].leases) {
            if self.queues[q].max_bytes > 0 {
                self.queues[q].bytes -= size;
                freed |= 1 << bytes_free(q);
            }
        }
        for event in (0..8).filter(|event| freed >> event & 1 == 1) {
            self.notify_all_idle(i, event, rules.bytes_wake_all);
        }
    }

    /// `try_take`.
    fn take(&mut self, i: usize, inputs: &[usize], max: usize, rules: Rules) {
        let mine: Events = inputs.iter().map(|&q| 1 << not_empty(q)).sum();
        if self.processes[i].slept != 0 && rules.woken_announces {
            self.idle |= mine;
        }
        let mut got = Vec::new();
        for &q in inputs {
            let n = self.queues[q].waiting.len().min(max - got.len());
            got.extend(self.queues[q].waiting.drain(..n).map(|size| (q, size)));
        }
        self.end_leases(i, rules);
        for &q in inputs {
            let left = self.queues[q].waiting.len();
            if left > 0 && rules.take_passes_on {
                self.notify(i, not_empty(q));
            }
            if !got.is_empty() && left < self.queues[q].capacity as usize {
                self.notify(i, not_full(q));
            }
        }
        if got.is_empty() {
            if self.processes[i].leaves {
                self.processes[i].at = At::Gone;
            } else {
                self.announce(i, mine);
            }
            return;
        }
        let process = &mut self.processes[i];
        process.leases = got;
        process.slept = 0;
        if let Job::Read { takes, .. } = &mut process.job {
            *takes -= 1;
        }
    }

    /// `try_reserve` for the first output; true when it has all its bytes.
    fn reserve(&mut self, i: usize, queues: &[usize], size: u8) -> bool {
        for &q in queues.iter().filter(|&&q| self.queues[q].max_bytes > 0).collect::<Vec<_>>() {
            if self.processes[i].reserved.iter().any(|reserved| reserved.0 == q) {
                continue;
            }
            let queue = &mut self.queues[q];
            if queue.bytes > 0 && queue.bytes + size > queue.max_bytes {
                if self.processes[i].leaves {
                    self.processes[i].at = At::Gone;
                } else {
                    self.announce(i, 1 << bytes_free(q));
                }
                return false;
            }
            queue.bytes += size;
            self.processes[i].reserved.push((q, size));
        }
        true
    }

    fn is_full(&self, q: usize, more: usize) -> bool {
        self.queues[q].waiting.len() + more >= self.queues[q].capacity as usize
    }

    /// `try_publish`: as many outputs as fit (one at a time where bytes are reserved).
    fn publish(&mut self, i: usize, outputs: &[(Vec<usize>, u8)], rules: Rules) {
        let slept = self.processes[i].slept;
        if rules.woken_announces {
            self.idle |= slept;
        }
        let (mut known, mut fits, mut used) = (vec![], 0, vec![0; self.queues.len()]);
        let mut full = None;
        let limit = if self.processes[i].reserved.is_empty() { outputs.len() } else { 1 };
        for (queues, _) in &outputs[..limit] {
            known.extend_from_slice(queues);
            full = queues.iter().copied().find(|&q| self.is_full(q, used[q]));
            if full.is_some() {
                break;
            }
            queues.iter().for_each(|&q| used[q] += 1);
            fits += 1;
        }
        if let Some(q) = full
            && fits == 0
        {
            let event = not_full(q);
            if rules.moving_on_passes_on {
                (0..8).filter(|&e| slept >> e & 1 == 1 && e != event).for_each(|e| self.notify(i, e));
            }
            if self.processes[i].leaves {
                self.processes[i].at = At::Gone;
            } else {
                self.announce(i, 1 << event);
            }
            return;
        }
        for (queues, size) in &outputs[..fits] {
            queues.iter().for_each(|&q| self.queues[q].waiting.push(*size));
        }
        let process = &mut self.processes[i];
        process.reserved.clear();
        process.slept = 0;
        if let Job::Write { outputs } = &mut process.job {
            outputs.drain(..fits);
        }
        known.sort_unstable();
        known.dedup();
        for q in known {
            if used[q] > 0 {
                self.notify(i, not_empty(q));
            }
            if rules.put_passes_on && !self.is_full(q, 0) {
                self.notify(i, not_full(q));
            }
        }
    }

    fn work(&mut self, i: usize, rules: Rules) {
        match self.processes[i].job.clone() {
            Job::Read { takes: 0, .. } => {
                self.end_leases(i, rules);
                self.processes[i].at = At::Gone;
            }
            Job::Read { inputs, max, .. } => self.take(i, &inputs, max, rules),
            Job::Write { outputs } => match outputs.first() {
                None => self.processes[i].at = At::Gone,
                Some((queues, size)) => {
                    if self.reserve(i, queues, *size) {
                        self.publish(i, &outputs, rules);
                    }
                }
            },
        }
    }

    fn wake_all(&mut self) {
        for event in (0..self.queues.len() * KINDS).rev() {
            self.admin.splice(0..0, [Task::Announce(event), Task::Ring(event), Task::WakeAll(event)]);
        }
    }

    fn admin(&mut self, rules: Rules) {
        match self.admin.remove(0) {
            Task::Return(i) => {
                let process = &mut self.processes[i];
                let (leases, reserved) =
                    (std::mem::take(&mut process.leases), std::mem::take(&mut process.reserved));
                for (q, size) in leases.into_iter().rev() {
                    self.queues[q].waiting.insert(0, size);
                }
                reserved.into_iter().for_each(|(q, size)| self.queues[q].bytes -= size);
                if rules.release_wakes_all {
                    self.wake_all();
                }
            }
            Task::SetStopped => {
                self.stopped_known = true;
                self.wake_all();
            }
            Task::Capacity(q, capacity) => {
                self.queues[q].capacity = capacity;
                if rules.capacity_rings {
                    self.ring(not_full(q));
                    self.admin.insert(0, Task::WakeAll(not_full(q)));
                }
            }
            Task::Announce(event) => self.idle |= 1 << event,
            Task::Ring(event) => self.change(event),
            Task::WakeAll(event) => self.waiters(event).into_iter().for_each(|i| self.wake(i, event)),
        }
    }

    /// Whether a waiter could continue: then it must not be asleep for ever.
    fn could_go_on(&self, i: usize) -> bool {
        match &self.processes[i].job {
            Job::Read { inputs, .. } => inputs.iter().any(|&q| !self.queues[q].waiting.is_empty()),
            Job::Write { outputs } => {
                let Some((queues, size)) = outputs.first() else { return true };
                queues.iter().all(|&q| {
                    let queue = &self.queues[q];
                    let reserved = self.processes[i].reserved.iter().any(|reserved| reserved.0 == q);
                    let bytes = queue.max_bytes == 0
                        || reserved
                        || queue.bytes == 0
                        || queue.bytes + size <= queue.max_bytes;
                    bytes && !self.is_full(q, 0)
                })
            }
        }
    }
}

type Out = Vec<Step<State>>;

fn push(out: &mut Out, state: &State, label: String, change: impl FnOnce(&mut State)) {
    let mut after = state.clone();
    change(&mut after);
    out.push(Step { label, misfortune: false, after });
}

fn own_steps(state: &State, i: usize, rules: Rules, out: &mut Out) {
    let process = &state.processes[i];
    if let Some(&(event, all)) = process.owed.first() {
        let waiters = state.waiters(event);
        if all || waiters.is_empty() {
            push(out, state, format!("{i} wakes all on {event}"), |after| {
                after.processes[i].owed.remove(0);
                waiters.iter().for_each(|&waiter| after.wake(waiter, event));
            });
            return;
        }
        for waiter in waiters {
            push(out, state, format!("{i} wakes {waiter} on {event}"), |after| {
                after.processes[i].owed.remove(0);
                after.wake(waiter, event);
            });
        }
        return;
    }
    match process.at {
        At::Work => push(out, state, format!("{i} works"), |after| after.work(i, rules)),
        At::FallsAsleep(events, stale) => push(out, state, format!("{i} falls asleep"), |after| {
            after.processes[i].slept = events;
            after.processes[i].at = if stale { At::Work } else { At::Asleep(events) };
        }),
        At::Woken(_) => push(out, state, format!("{i} gets up"), |after| {
            let blind = after.processes[i].leaves && !rules.takes_before_leaving;
            after.processes[i].at = if blind { At::Gone } else { At::Work };
        }),
        At::Asleep(events) if process.may_leave && !process.leaves => {
            // The time is up; until it runs again it is still in the kernel's queues, and may be chosen.
            push(out, state, format!("{i}'s time is up"), |after| {
                after.processes[i].leaves = true;
                after.processes[i].at = At::Woken(events);
            });
        }
        At::Asleep(_) | At::Gone | At::Dead => {}
    }
}

fn misfortunes(state: &State, i: usize, out: &mut Out, rules: Rules) {
    let gone = matches!(state.processes[i].at, At::Dead | At::Gone) && state.processes[i].owed.is_empty();
    if state.kills > 0 && !gone {
        let mut after = state.clone();
        after.kills -= 1;
        let process = &mut after.processes[i];
        (process.at, process.stopped) = (At::Dead, false);
        process.owed.clear();
        after.admin.push(Task::Return(i));
        out.push(Step { label: format!("{i} dies"), misfortune: true, after });
    }
    if state.stops > 0 && !gone && !state.processes[i].stopped {
        let mut after = state.clone();
        after.stops -= 1;
        after.processes[i].stopped = true;
        if rules.stops_are_reported {
            after.admin.push(Task::SetStopped);
        }
        out.push(Step { label: format!("{i} is stopped"), misfortune: true, after });
    }
}

pub fn check(scene: &Scene, rules: Rules) -> Verdict {
    let process = |(i, job): (usize, &Job)| Process {
        job: job.clone(),
        at: At::Work,
        slept: 0,
        owed: vec![],
        leases: vec![],
        reserved: vec![],
        may_leave: scene.leavers.contains(&i),
        leaves: false,
        stopped: false,
    };
    let start = State {
        queues: scene.queues.clone(),
        idle: 0,
        processes: scene.jobs.iter().enumerate().map(process).collect(),
        admin: scene.new_capacity.map(|(q, capacity)| Task::Capacity(q, capacity)).into_iter().collect(),
        stopped_known: false,
        kills: scene.kills,
        stops: scene.stops,
    };
    explore(
        start,
        |state, out| {
            if !state.admin.is_empty() {
                let label = format!("admin: {:?}", state.admin[0]);
                push(out, state, label, |after| after.admin(rules));
            }
            for i in 0..state.processes.len() {
                if !state.processes[i].stopped {
                    own_steps(state, i, rules, out);
                }
                misfortunes(state, i, out, rules);
            }
        },
        |state, at_rest| {
            let stuck = |&i: &usize| {
                let process = &state.processes[i];
                matches!(process.at, At::Asleep(_)) && !process.stopped && state.could_go_on(i)
            };
            let first = (0..state.processes.len()).find(stuck).filter(|_| at_rest)?;
            Some(format!("{first} sleeps for ever although it could go on: {:?}", state.queues))
        },
    )
}
