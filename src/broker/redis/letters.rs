//! Dead letters that lie in the broker, for those who ask from outside.

use super::answer;
use super::visit::Visitor;
use crate::broker::{Fault, Letter, Retried, Sequence};

/// Letters of one request: a script holds up the server for as long as it runs.
const AT_ONCE: usize = 200;

impl Visitor {
    /// Dead letters of a queue (by its place in the layout), the oldest first, after `after`.
    pub async fn letters(
        &self,
        queue: usize,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault> {
        let from = after.map_or("-".to_owned(), |sequence| format!("({sequence}"));
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.keys.queues()[queue].letters).arg(from).arg("+").arg("COUNT").arg(n);
        answer::letters(self.query(&range).await?)
    }

    /// The letter of that name.
    pub async fn letter(&self, queue: usize, id: Sequence) -> Result<Option<Letter>, Fault> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.keys.queues()[queue].letters).arg(id.to_string()).arg(id.to_string());
        Ok(answer::letters(self.query(&range).await?)?.pop())
    }

    /// They become items of their queue again; what became of each.
    pub async fn retry(&self, queue: usize, letters: &[Sequence]) -> Result<Vec<Retried>, Fault> {
        let keys = &self.keys.queues()[queue];
        let mut all = Vec::new();
        for some in letters.chunks(AT_ONCE) {
            let mut script = self.scripts.retry.prepare_invoke();
            script.key(&keys.stream).key(&keys.about).key(&keys.letters);
            for id in some {
                script.arg(id.to_string());
            }
            let words: Vec<String> = self.ask(&script).await?;
            all.extend(words.iter().map(|word| match word.as_str() {
                "put" => Retried::Put,
                "ended" => Retried::Ended,
                _ => Retried::Missing,
            }));
        }
        Ok(all)
    }

    /// They are dropped for good; how many there were.
    pub async fn discard(&self, queue: usize, letters: &[Sequence]) -> Result<u64, Fault> {
        let keys = &self.keys.queues()[queue];
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
