//! Dead letters of shared queues: they lie in the broker, so any machine that has the file can see to them.

use super::selection::Selection;
use super::text;
use crate::broker::{Letter, LetterPlace, Retried, Sequence};
use crate::cli::machines::SharedPipeline;
use crate::cli::output::{self, Failure};
use crate::cli::table::{Table, shortened, terminal_width};
use crate::config::diagnostic::quote;
use crate::exit;
use crate::numbers::counted;
use crate::stage::Registry;
use crate::status::Glimpse;

use data_encoding::BASE64;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Letters of one request.
const AT_ONCE: usize = 100;

/// A letter, as it is named: where it lies, and its own name there.
type Id = (LetterPlace, Sequence);

#[derive(Serialize)]
struct Shown {
    id: String,
    run: u64,
    queue: String,
    time: String,
    attempts: u32,
    cause: String,
    encoding: &'static str,
    item: String,
}

/// The letters of all runs that the broker holds, and where they lie.
pub(super) struct Shared {
    pipeline: SharedPipeline,
    /// Only those of this run are meant.
    run: Option<u64>,
}

impl Shared {
    pub(super) fn find(name: Option<&str>, run: Option<u64>, registry: &Registry) -> Result<Shared, Failure> {
        let pipeline = SharedPipeline::named(name, registry)?;
        Ok(Shared { pipeline, run })
    }

    fn shown(&self, place: &LetterPlace, letter: &Letter) -> Shown {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(letter.sequence.0);
        let (encoding, item) = match std::str::from_utf8(&letter.item) {
            Ok(text) => ("utf-8", text.to_owned()),
            Err(_) => ("base64", BASE64.encode(&letter.item)),
        };
        let LetterPlace { run, queue } = place.clone();
        Shown {
            id: format!("{run}/{queue}/{}", letter.sequence),
            run,
            queue,
            time: humantime::format_rfc3339_millis(at).to_string(),
            attempts: letter.attempts,
            cause: letter.cause.clone(),
            encoding,
            item,
        }
    }

    /// All of them, one after the other.
    fn each(
        &self,
        mut act: impl FnMut(&LetterPlace, Letter) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let places = self.pipeline.ask(async |visitor| visitor.letter_places().await)?;
        for place in places.into_iter().filter(|place| self.run.is_none_or(|run| place.run == run)) {
            let mut after = None;
            loop {
                let letters =
                    self.pipeline.ask(async |visitor| visitor.letters(&place, after, AT_ONCE).await)?;
                let Some(last) = letters.last() else { break };
                after = Some(last.sequence);
                for letter in letters {
                    if !act(&place, letter)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn id(&self, word: &str) -> Result<Id, Failure> {
        let read = || {
            let mut parts = word.splitn(3, '/');
            let run = parts.next()?.parse().ok()?;
            let queue = parts.next()?.to_owned();
            Some((LetterPlace { run, queue }, parts.next()?.parse().ok()?))
        };
        read().ok_or_else(|| {
            Failure::usage(format!(
                "{} is no dead letter of a shared queue: such as 1/jobs/1764-0",
                quote(word)
            ))
        })
    }

    /// Those that are meant. One that isn't there is an error: nothing is done by mistake.
    fn choose(&self, selection: &Selection) -> Result<Vec<Id>, Failure> {
        let words = selection.ids()?;
        let mut ids = Vec::new();
        if words.is_empty() {
            self.each(|place, letter| {
                ids.push((place.clone(), letter.sequence));
                Ok(true)
            })?;
        }
        for word in words {
            let (place, id) = self.id(word)?;
            if self.letter(&place, id)?.is_none() {
                return Err(Failure::usage(format!(
                    "there is no dead letter {word}: `mprun dead list --shared` shows those that there are"
                )));
            }
            ids.push((place, id));
        }
        Ok(ids)
    }

    fn letter(&self, place: &LetterPlace, id: Sequence) -> Result<Option<Letter>, Failure> {
        self.pipeline.ask(async |visitor| visitor.letter(place, id).await)
    }
}

fn by_place(ids: Vec<Id>) -> BTreeMap<LetterPlace, Vec<Sequence>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    ids.into_iter().for_each(|(place, id)| all.entry(place).or_default().push(id));
    all
}

pub(super) fn list(shared: &Shared, json: bool) -> Result<u8, Failure> {
    if json {
        return as_json(|each| shared.each(|place, letter| each(&shared.shown(place, &letter))));
    }
    let mut table = Table::new(&["<ID", "<TIME", "TRIES", "<CAUSE", "<ITEM"]);
    shared.each(|place, letter| {
        let Shown { id, time, attempts, cause, .. } = shared.shown(place, &letter);
        let item = Glimpse::text_of(&letter.item[..letter.item.len().min(Glimpse::MAX_BYTES)]);
        let cause = cause.lines().last().unwrap_or_default();
        table.push([
            id,
            time,
            attempts.to_string(),
            shortened(&text::shown(cause), 40),
            shortened(&item, 60),
        ]);
        Ok(true)
    })?;
    let none = table.len() == 0;
    output::print(&if none { text::none(0) } else { table.render(terminal_width()) })?;
    Ok(exit::DONE)
}

/// One by one: a million of them take no memory.
fn as_json(
    each: impl FnOnce(&mut dyn FnMut(&Shown) -> Result<bool, Failure>) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut first = true;
    each(&mut |shown| {
        let text = serde_json::to_string(shown).map_err(|error| Failure::io("write JSON", &error.into()))?;
        let before = if std::mem::take(&mut first) { "[\n" } else { ",\n" };
        output::print_on(&format!("{before}  {text}"))
    })?;
    output::print(if first { "[]\n" } else { "\n]\n" })?;
    Ok(exit::DONE)
}

pub(super) fn show(shared: &Shared, selection: &Selection) -> Result<u8, Failure> {
    let ids = shared.choose(selection)?;
    let letters = || ids.iter().map(|(place, id)| Ok::<_, Failure>((place, shared.letter(place, *id)?)));
    if selection.json {
        return as_json(|each| {
            for found in letters() {
                let (place, letter) = found?;
                if let Some(letter) = letter
                    && !each(&shared.shown(place, &letter))?
                {
                    break;
                }
            }
            Ok(())
        });
    }
    for found in letters() {
        let (place, Some(letter)) = found? else { continue };
        let Shown { id, run, queue, time, attempts, cause, .. } = shared.shown(place, &letter);
        let item = Glimpse::text_of(&letter.item);
        let (tries, bytes) = (counted(attempts.into(), "try"), counted(letter.item.len() as u64, "byte"));
        let cause: Vec<String> = cause.lines().map(text::shown).collect();
        let cause = cause.join("\n             ");
        let text = format!(
            "dead letter {id}\n  given up   {time}, after {tries}\n  cause      {cause}\n  from       queue {queue}, run {run}\n  item       \
             {bytes}: {item}\n"
        );
        if !output::print_on(&text)? {
            break;
        }
    }
    Ok(exit::DONE)
}

/// Each is an item again in the step in which its letter goes.
pub(super) fn retry(shared: &Shared, selection: &Selection) -> Result<u8, Failure> {
    let ids = shared.choose(selection)?;
    if ids.is_empty() {
        output::print("no dead letters to try again\n")?;
        return Ok(exit::DONE);
    }
    let has_queue =
        |place: &LetterPlace| shared.pipeline.broker.queues.iter().any(|queue| queue.name == place.queue);
    let (ids, others): (Vec<Id>, Vec<Id>) = ids.into_iter().partition(|(place, _)| has_queue(place));
    let mut left: Vec<String> = by_place(others)
        .into_iter()
        .map(|(place, letters)| {
            let (kept, file) = (counted(letters.len() as u64, "dead letter"), shared.pipeline.file.display());
            format!("{kept} of run {} kept: {file} has no shared queue {}", place.run, place.queue)
        })
        .collect();
    if ids.is_empty() {
        left.iter().for_each(|why| output::report_error(why));
        return Ok(exit::FAILED);
    }
    // What comes of items of shared queues alone ends with those.
    let sealed: Vec<bool> = shared.pipeline.broker.before.iter().map(Vec::is_empty).collect();
    let run = shared.pipeline.ask(async |visitor| visitor.retry_run(&sealed).await)?;
    let mut put = 0;
    for (place, letters) in by_place(ids) {
        let outcome =
            shared.pipeline.ask(async |visitor| visitor.retry(&place, &letters, run.number).await)?;
        let count = |what| outcome.iter().filter(|outcome| **outcome == what).count() as u64;
        put += count(Retried::Put);
        if count(Retried::Ended) > 0 {
            let (kept, name) = (counted(count(Retried::Ended), "dead letter"), &place.queue);
            left.push(format!(
                "{kept} kept: the queue {name} has ended, and run {} has not; try again once it has",
                run.number
            ));
        }
        if count(Retried::Outrun) > 0 {
            let kept = counted(count(Retried::Outrun), "dead letter");
            left.push(format!("{kept} kept: another run was begun meanwhile; try again"));
        }
    }
    output::print(&format!("{} put back\n", counted(put, "dead letter")))?;
    if run.works_off {
        output::print(&format!(
            "run {} works off dead letters, its sources are off: `mprun run {}` joins it\n",
            run.number,
            shared.pipeline.file.display()
        ))?;
    }
    left.iter().for_each(|why| output::report_error(why));
    Ok(if left.is_empty() { exit::DONE } else { exit::FAILED })
}

pub(super) fn discard(shared: &Shared, selection: &Selection) -> Result<u8, Failure> {
    let ids = shared.choose(selection)?;
    let mut dropped = 0;
    for (place, letters) in by_place(ids) {
        dropped += shared.pipeline.ask(async |visitor| visitor.discard(&place, &letters).await)?;
    }
    output::print(&format!("{dropped} dropped\n"))?;
    Ok(exit::DONE)
}
