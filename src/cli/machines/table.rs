//! A run over all its machines, as tables.

use crate::broker::MemberState;
use crate::cli::table::Table;
use crate::machines::{MachineView, NOWHERE, OpenWriter, QueueSum, StageSum, Whole};
use crate::numbers::{counted, rate, time};

/// All of it, for a terminal of this width.
pub(super) fn render(whole: &Whole, width: Option<usize>) -> String {
    let mut parts = vec![head(whole), stages(whole).render(width), queues(whole).render(width)];
    let machines = machines(whole);
    if machines.len() > 0 {
        parts.push(machines.render(width));
    }
    let notes = notes(whole);
    if !notes.is_empty() {
        parts.push(notes.join("\n") + "\n");
    }
    parts.join("\n")
}

/// The machines, and what is to be said beside what limits them.
pub(super) fn machines_and_notes(whole: &Whole) -> (String, Vec<String>) {
    let limit = usize::from(whole.bottleneck.is_some());
    (machines(whole).render(None), notes(whole).split_off(limit))
}

fn head(whole: &Whole) -> String {
    let run = &whole.run;
    let state = match &run.ended {
        Some(at) => format!("ended {at}"),
        None if run.works_off => "works off dead letters, its sources are off".to_owned(),
        None => "running".to_owned(),
    };
    let (begun, place) = (time(run.age), &whole.broker);
    format!("{}: run {}, {state}, begun {begun} ago ({place}, {})\n", whole.pipeline, run.number, whole.file)
}

fn stages(whole: &Whole) -> Table {
    let heads =
        ["<STAGE", "<STATE", "MACHINES", "PROCESSES", "DONE", "EMITTED", "DONE/S", "EMITTED/S", "RESTARTS"];
    let mut table = Table::new(&heads);
    for stage in &whole.stages {
        let of_items = |text: String| if stage.is_source { "-".to_owned() } else { text };
        table.push([
            stage.name.clone(),
            if stage.state == NOWHERE && whole.run.ended.is_some() {
                "-".to_owned()
            } else {
                stage.state.clone()
            },
            stage.machines.to_string(),
            format!("{}/{}", stage.running, stage.processes),
            of_items(stage.totals.done.to_string()),
            stage.totals.emitted.to_string(),
            of_items(rate(stage.rate.done)),
            rate(stage.rate.emitted),
            stage.restarts.to_string(),
        ]);
    }
    table
}

fn queues(whole: &Whole) -> Table {
    let heads = [
        "<QUEUE", "WAITING", "LEASED", "OF", "OLDEST", "PUT", "DONE", "DROPPED", "DEAD", "LETTERS", "<STATE",
    ];
    let mut table = Table::new(&heads);
    for queue in &whole.queues {
        table.push([
            queue.name.clone(),
            queue.waiting.to_string(),
            queue.leased.to_string(),
            queue.capacity.to_string(),
            queue.oldest.map_or("-".to_owned(), time),
            queue.put.to_string(),
            queue.done.to_string(),
            queue.dropped.to_string(),
            queue.dead.to_string(),
            queue.letters.to_string(),
            queue_state(queue).to_owned(),
        ]);
    }
    table
}

fn queue_state(queue: &QueueSum) -> &'static str {
    match queue {
        queue if queue.has_ended() => "ended",
        QueueSum { sealed: true, .. } => "no more come",
        queue if queue.waiting + queue.leased >= queue.capacity => "full",
        _ => "",
    }
}

fn machines(whole: &Whole) -> Table {
    let mut table =
        Table::new(&["<MACHINE", "<HOST", "<STATE", "SEEN", "UP", "LEASED", "COMMITS", "<STAGES"]);
    // Those that are gone are counted in a note.
    let has_ended = whole.run.ended.is_some();
    let is_shown = |machine: &&MachineView| {
        machine.state == MemberState::Alive || machine.state == MemberState::Silent && !has_ended
    };
    for machine in whole.machines.iter().filter(is_shown) {
        table.push(row(machine));
    }
    table
}

pub(super) fn row(machine: &MachineView) -> [String; 8] {
    let shown = machine.shown.as_ref();
    let stages = shown.into_iter().flat_map(|shown| &shown.stages);
    let stages = stages.map(|stage| format!("{} {}/{}", stage.name, stage.running, stage.processes));
    [
        machine.short(),
        shown.map_or(String::new(), |shown| shown.host.clone()),
        state(machine.state).to_owned(),
        machine.age.map_or("-".to_owned(), |age| format!("{} ago", time(age))),
        shown.map_or("-".to_owned(), |shown| time(shown.uptime)),
        machine.leased.to_string(),
        shown.map_or("-".to_owned(), |shown| shown.commits.to_string()),
        stages.collect::<Vec<_>>().join(", "),
    ]
}

fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Alive => "alive",
        MemberState::Silent => "silent",
        MemberState::Left => "left",
        MemberState::Struck => "struck off",
    }
}

/// What limits the run, and what is not as it should be.
fn notes(whole: &Whole) -> Vec<String> {
    let mut notes: Vec<String> = whole.bottleneck.iter().map(|found| found.text.clone()).collect();
    notes.extend(full_broker(whole));
    if whole.run.ended.is_none() {
        notes.extend(whole.machines.iter().filter_map(|machine| silent(machine, whole)));
        let is_off = |stage: &&StageSum| whole.run.works_off && stage.is_source;
        let nowhere = whole.stages.iter().filter(|stage| stage.state == NOWHERE && !is_off(stage));
        notes.extend(nowhere.map(|stage| format!("no machine runs {}", stage.name)));
        notes.extend(whole.queues.iter().filter_map(waits_for_the_gone(whole)));
    }
    for (state, what) in [(MemberState::Left, "left"), (MemberState::Struck, "struck off")] {
        let count = whole.machines.iter().filter(|machine| machine.state == state).count();
        if count > 0 {
            notes.push(format!("{}: {what}", counted(count as u64, "machine")));
        }
    }
    let letters: u64 = whole.queues.iter().map(|queue| queue.letters).sum();
    if letters > 0 {
        let it = if letters == 1 { "it" } else { "them" };
        let shown = format!("`mprun dead list --shared {}` shows {it}", whole.file);
        notes.push(format!("{} in the broker: {shown}", counted(letters, "dead letter")));
    }
    let own = |(machine, shown): (&MachineView, &crate::status::MachineStatus)| {
        let letters = counted(shown.dead_letters, "dead letter");
        (shown.dead_letters > 0)
            .then(|| format!("{letters} on {}: `mprun dead list` there shows them", machine.called()))
    };
    notes.extend(whole.alive().filter_map(own));
    notes
}

/// The server has no room for what stages of a machine have for it: of those machines the one that says it for longest.
pub(super) fn full_broker(whole: &Whole) -> Option<String> {
    let full = whole.alive().filter_map(|(machine, shown)| Some((machine, shown.full.as_ref()?)));
    let (machine, full) = full.max_by(|(_, one), (_, other)| one.seconds.total_cmp(&other.seconds))?;
    Some(format!("{}: {}", machine.called(), full.says()))
}

fn silent(machine: &MachineView, whole: &Whole) -> Option<String> {
    if machine.state != MemberState::Silent {
        return None;
    }
    let since = machine.age.map_or("over an hour".to_owned(), time);
    let holds = match machine.leased {
        0 => String::new(),
        leased => format!(", with {} leased to it", counted(leased, "item")),
    };
    Some(format!(
        "{} has fallen silent: nothing was heard of it for {since}{holds}; if it is gone for good: `mprun forget {} {}`",
        machine.called(),
        whole.file,
        machine.short()
    ))
}

/// A queue whose end waits for a machine that has gone.
fn waits_for_the_gone(whole: &Whole) -> impl Fn(&QueueSum) -> Option<String> {
    move |queue| {
        let gone = |writer: &&OpenWriter| {
            whole
                .machines
                .iter()
                .any(|machine| machine.id == writer.machine && machine.state == MemberState::Left)
        };
        let writer = queue.open_writers.iter().find(gone)?;
        let machine = whole.machines.iter().find(|machine| machine.id == writer.machine)?;
        Some(format!(
            "{} does not end: {} has left before its stage {} had ended; if it does not come back: `mprun forget {} {}`",
            queue.name,
            machine.called(),
            writer.stage,
            whole.file,
            machine.short()
        ))
    }
}
