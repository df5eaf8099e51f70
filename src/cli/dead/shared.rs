//! Dead letters of shared queues: they lie in the broker, so any machine that has the file can see to them.

use super::selection::Selection;
use super::text;
use crate::broker::{Letter, Retried, Sequence};
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
use std::time::{Duration, SystemTime};

/// Letters of one request.
const AT_ONCE: usize = 100;

/// A letter, as it is named: by its queue's place, and its own name there.
type Id = (usize, Sequence);

#[derive(Serialize)]
struct Shown {
    id: String,
    queue: String,
    time: String,
    attempts: u32,
    cause: String,
    encoding: &'static str,
    item: String,
}

impl Shown {
    fn of(queue: &str, letter: &Letter) -> Shown {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(letter.sequence.0);
        let (encoding, item) = match std::str::from_utf8(&letter.item) {
            Ok(text) => ("utf-8", text.to_owned()),
            Err(_) => ("base64", BASE64.encode(&letter.item)),
        };
        Shown {
            id: format!("{queue}/{}", letter.sequence),
            queue: queue.to_owned(),
            time: humantime::format_rfc3339_millis(at).to_string(),
            attempts: letter.attempts,
            cause: letter.cause.clone(),
            encoding,
            item,
        }
    }
}

/// The letters of a run, and where they lie.
pub(super) struct Shared {
    pipeline: SharedPipeline,
    queues: Vec<String>,
}

impl Shared {
    pub(super) fn find(name: Option<&str>, registry: &Registry) -> Result<Shared, Failure> {
        let pipeline = SharedPipeline::named(name, registry)?;
        let queues = pipeline.broker.queues.iter().map(|queue| queue.name.clone()).collect();
        Ok(Shared { pipeline, queues })
    }

    /// All of them, one after the other.
    fn each(&self, mut act: impl FnMut(usize, Letter) -> Result<bool, Failure>) -> Result<(), Failure> {
        for queue in 0..self.queues.len() {
            let mut after = None;
            loop {
                let letters =
                    self.pipeline.ask(async |visitor| visitor.letters(queue, after, AT_ONCE).await)?;
                let Some(last) = letters.last() else { break };
                after = Some(last.sequence);
                for letter in letters {
                    if !act(queue, letter)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn id(&self, word: &str) -> Result<Id, Failure> {
        let no_id = || {
            Failure::usage(format!(
                "{} is no dead letter of a shared queue: such as jobs/1764-0",
                quote(word)
            ))
        };
        let (queue, sequence) = word.rsplit_once('/').ok_or_else(no_id)?;
        let place = self.queues.iter().position(|name| name == queue).ok_or_else(no_id)?;
        Ok((place, sequence.parse().map_err(|_| no_id())?))
    }

    /// Those that are meant. One that isn't there is an error: nothing is done by mistake.
    fn choose(&self, selection: &Selection) -> Result<Vec<Id>, Failure> {
        let words = selection.ids()?;
        let mut ids = Vec::new();
        if words.is_empty() {
            self.each(|queue, letter| {
                ids.push((queue, letter.sequence));
                Ok(true)
            })?;
        }
        for word in words {
            let (queue, id) = self.id(word)?;
            if self.letter(queue, id)?.is_none() {
                return Err(Failure::usage(format!(
                    "there is no dead letter {word}: `mprun dead list --shared` shows those that there are"
                )));
            }
            ids.push((queue, id));
        }
        Ok(ids)
    }

    fn letter(&self, queue: usize, id: Sequence) -> Result<Option<Letter>, Failure> {
        self.pipeline.ask(async |visitor| visitor.letter(queue, id).await)
    }

    fn of_queue(ids: &[Id], queue: usize) -> Vec<Sequence> {
        ids.iter().filter(|(place, _)| *place == queue).map(|(_, id)| *id).collect()
    }
}

pub(super) fn list(shared: &Shared, json: bool) -> Result<u8, Failure> {
    if json {
        return as_json(|each| shared.each(|queue, letter| each(&Shown::of(&shared.queues[queue], &letter))));
    }
    let mut table = Table::new(&["<ID", "<TIME", "TRIES", "<CAUSE", "<ITEM"]);
    shared.each(|queue, letter| {
        let Shown { id, time, attempts, cause, .. } = Shown::of(&shared.queues[queue], &letter);
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
    let letters = || ids.iter().map(|&(queue, id)| Ok::<_, Failure>((queue, shared.letter(queue, id)?)));
    if selection.json {
        return as_json(|each| {
            for found in letters() {
                let (queue, letter) = found?;
                if let Some(letter) = letter
                    && !each(&Shown::of(&shared.queues[queue], &letter))?
                {
                    break;
                }
            }
            Ok(())
        });
    }
    for found in letters() {
        let (queue, Some(letter)) = found? else { continue };
        let Shown { id, queue, time, attempts, cause, .. } = Shown::of(&shared.queues[queue], &letter);
        let item = Glimpse::text_of(&letter.item);
        let (tries, bytes) = (counted(attempts.into(), "try"), counted(letter.item.len() as u64, "byte"));
        let cause: Vec<String> = cause.lines().map(text::shown).collect();
        let cause = cause.join("\n             ");
        let text = format!(
            "dead letter {id}\n  given up   {time}, after {tries}\n  cause      {cause}\n  from       queue {queue}\n  item       \
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
    let (mut put, mut left) = (0_u64, Vec::new());
    for (queue, name) in shared.queues.iter().enumerate() {
        let letters = Shared::of_queue(&ids, queue);
        let outcome = shared.pipeline.ask(async |visitor| visitor.retry(queue, &letters).await)?;
        let count = |what| outcome.iter().filter(|outcome| **outcome == what).count() as u64;
        put += count(Retried::Put);
        if count(Retried::Ended) > 0 {
            let kept = counted(count(Retried::Ended), "dead letter");
            left.push(format!("{kept} kept: the queue {name} has ended, nothing takes its items any more"));
        }
    }
    output::print(&format!("{} put back\n", counted(put, "dead letter")))?;
    left.iter().for_each(|why| output::report_error(why));
    Ok(if left.is_empty() { exit::DONE } else { exit::FAILED })
}

pub(super) fn discard(shared: &Shared, selection: &Selection) -> Result<u8, Failure> {
    let ids = shared.choose(selection)?;
    let mut dropped = 0;
    for queue in 0..shared.queues.len() {
        let letters = Shared::of_queue(&ids, queue);
        dropped += shared.pipeline.ask(async |visitor| visitor.discard(queue, &letters).await)?;
    }
    output::print(&format!("{dropped} dropped\n"))?;
    Ok(exit::DONE)
}
