//! Dead letters that lie in the broker, for those who ask from outside.
//!
//! | `dead retry` is killed | what is left |
//! |---|---|
//! | before `work_off.lua` | nothing of it |
//! | after it | a run without items; the next retry puts its letters there, a machine that joins it ends it |
//! | among the requests of `retry.lua` | some letters are items, the others are letters |

use super::answer;
use super::connect::{self, when_full};
use super::keys::QueueKeys;
use super::visit::Visitor;
use crate::broker::{Fault, Letter, LetterPlace, Retried, RetryRun, Sequence};
use std::collections::BTreeSet;

/// Letters of one request: a script holds up the server for as long as it runs.
const AT_ONCE: usize = 200;

impl Visitor {
    fn keys_of(&self, place: &LetterPlace) -> QueueKeys {
        self.pipeline.run(place.run).named(&place.queue)
    }

    /// The names of the queues of all runs.
    async fn names(&self) -> Result<BTreeSet<String>, Fault> {
        let fields: Vec<String> = self.query(redis::cmd("HKEYS").arg(self.pipeline.pipeline())).await?;
        let known = fields.iter().filter_map(|field| field.strip_prefix("queue:"));
        let own = self.queues.iter().map(|queue| queue.name.as_str());
        Ok(known.chain(own).map(str::to_owned).collect())
    }

    pub async fn letter_places(&self) -> Result<Vec<LetterPlace>, Fault> {
        let names = self.names().await?;
        let mut runs: Vec<u64> = self.query(redis::cmd("SMEMBERS").arg(self.pipeline.runs())).await?;
        runs.sort_unstable();
        let places = |&run: &u64| names.iter().cloned().map(move |queue| LetterPlace { run, queue });
        let places: Vec<LetterPlace> = runs.iter().flat_map(places).collect();
        let mut pipe = redis::pipe();
        for place in &places {
            pipe.cmd("XLEN").arg(self.keys_of(place).letters);
        }
        let lengths: Vec<u64> = self.pipe(&pipe).await?;
        Ok(places
            .into_iter()
            .zip(lengths)
            .filter(|(_, length)| *length > 0)
            .map(|(place, _)| place)
            .collect())
    }

    /// Dead letters of a queue, the oldest first, after `after`.
    pub async fn letters(
        &self,
        place: &LetterPlace,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault> {
        let from = after.map_or("-".to_owned(), |sequence| format!("({sequence}"));
        let mut range = redis::cmd("XRANGE");
        range.arg(self.keys_of(place).letters).arg(from).arg("+").arg("COUNT").arg(n);
        answer::letters(self.query(&range).await?)
    }

    /// The letter of that name.
    pub async fn letter(&self, place: &LetterPlace, id: Sequence) -> Result<Option<Letter>, Fault> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.keys_of(place).letters).arg(id.to_string()).arg(id.to_string());
        Ok(answer::letters(self.query(&range).await?)?.pop())
    }

    /// See [`crate::broker::Visitor::retry_run`].
    pub async fn retry_run(&self, sealed: &[bool]) -> Result<RetryRun, Fault> {
        connect::probe(&mut self.connection.clone(), &self.scripts, &self.pipeline).await?;
        let next = self.pipeline.run(self.run + 1);
        let mut script = self.scripts.work_off.prepare_invoke();
        script.key(self.pipeline.pipeline()).key(self.pipeline.runs()).key(self.keys.run()).key(next.run());
        script.arg(self.run);
        for ((settings, keys), is_sealed) in self.queues.iter().zip(next.queues()).zip(sealed) {
            script.key(&keys.stream).key(&keys.about);
            script.arg(&settings.name).arg(settings.capacity).arg(when_full(settings));
            script.arg(u8::from(*is_sealed));
        }
        let (number, works_off): (u64, u8) = self.ask(&script).await?;
        Ok(RetryRun { number, works_off: works_off == 1 })
    }

    /// They become items of their queue in that run; what became of each.
    pub async fn retry(
        &self,
        place: &LetterPlace,
        letters: &[Sequence],
        into: u64,
    ) -> Result<Vec<Retried>, Fault> {
        let (from, to) = (self.keys_of(place), self.pipeline.run(into));
        let queue = to.named(&place.queue);
        let mut all = Vec::new();
        for some in letters.chunks(AT_ONCE) {
            let mut script = self.scripts.retry.prepare_invoke();
            script.key(&from.about).key(&from.letters).key(&queue.stream).key(&queue.about);
            script.key(to.machines()).key(self.pipeline.pipeline()).arg(into);
            for id in some {
                script.arg(id.to_string());
            }
            let words: Vec<String> = self.ask(&script).await?;
            all.extend(words.iter().map(|word| match word.as_str() {
                "put" => Retried::Put,
                "ended" => Retried::Ended,
                "outrun" => Retried::Outrun,
                _ => Retried::Missing,
            }));
        }
        Ok(all)
    }

    /// They are dropped for good; how many there were.
    pub async fn discard(&self, place: &LetterPlace, letters: &[Sequence]) -> Result<u64, Fault> {
        let keys = self.keys_of(place);
        let mut dropped = 0;
        for some in letters.chunks(AT_ONCE) {
            let mut script = self.scripts.discard.prepare_invoke();
            script.key(&keys.about).key(&keys.letters);
            for id in some {
                script.arg(id.to_string());
            }
            dropped += self.ask::<u64>(&script).await?;
        }
        Ok(dropped)
    }
}
