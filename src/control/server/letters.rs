//! Dead letters as they are looked at and forgotten, on threads of their own: a slow disk delays no other client.

use super::reply::{self, Response};
use crate::control::protocol::{Dead, DeadGroup, Drop, Dropped, Reason, Refused};
use crate::dead_letter::{self, Entry, Letter, Letters};
use crate::hash::fnv1a;
use crate::text;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Where each letter has another cause, there would be as many groups as letters.
const MAX_GROUPS: usize = 1000;
const MOST: u32 = 1000;
/// The same of keys alone.
const MOST_KEYS: u32 = 20_000;
const USUAL: u32 = 50;
/// Of an item, in an answer.
const SHOWN_BYTES: usize = 64 * 1024;
/// Of the last words of a program, from their end; and of a cause.
const SHOWN_WORDS_BYTES: usize = 8 * 1024;
/// Of the cause that names a group.
const GROUP_CAUSE_BYTES: usize = 1024;
/// Of all texts of an answer. A byte of them may be six of the answer, and many clients may wait for one.
const ANSWER_BYTES: usize = 512 * 1024;

/// The letters of a run.
#[derive(Clone)]
pub(super) struct LetterReader {
    path: Arc<Path>,
    /// Files that are read at once: a large one takes a while.
    turns: Arc<Semaphore>,
}

impl LetterReader {
    pub(super) fn new(path: &Path) -> LetterReader {
        LetterReader { path: path.into(), turns: Arc::new(Semaphore::new(2)) }
    }

    pub(super) async fn groups(&self) -> Result<Response, Refused> {
        let groups = self.aside(groups).await?;
        Ok(reply::value(&groups))
    }

    pub(super) async fn some(&self, wanted: Dead) -> Result<Response, Refused> {
        let letters = self.aside(move |path| some(path, &wanted)).await?;
        Ok(reply::value(&letters))
    }

    pub(super) async fn drop_some(&self, wanted: Drop) -> Result<Dropped, Refused> {
        let keys: BTreeSet<String> = wanted.keys.iter().map(|key| number_of(key).to_owned()).collect();
        let gone = self
            .aside(move |path| {
                dead_letter::drop_some(path, &mut |letter| keys.contains(number_of(&letter.key())))
            })
            .await?;
        let dropped = gone.dropped;
        Ok(Dropped { done: format!("{dropped} dropped"), dropped })
    }

    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let failed = |error: &dyn std::fmt::Display| {
            Refused::new(Reason::Failed, format!("the dead letters can't be read or written: {error}"))
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| failed(&error))?;
        let path = Arc::clone(&self.path);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&path);
            drop(turn);
            done
        });
        done.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

/// A letter may move in its file: its number stays.
fn number_of(key: &str) -> &str {
    key.split('@').next().unwrap_or(key)
}

fn each(path: &Path, mut act: impl FnMut(Letter) -> bool) -> io::Result<()> {
    for entry in Letters::open(path)? {
        if let Entry::Letter(letter) = entry?
            && !act(letter)
        {
            break;
        }
    }
    Ok(())
}

fn group_of(letter: &Letter) -> (String, String) {
    let cause = letter.headline();
    (format!("{:016x}", fnv1a(format!("{}\n{cause}", letter.text.stage).as_bytes())), cause)
}

fn groups(path: &Path) -> io::Result<Vec<DeadGroup>> {
    let mut groups: BTreeMap<String, DeadGroup> = BTreeMap::new();
    each(path, |letter| {
        let (group, cause) = group_of(&letter);
        if groups.len() >= MAX_GROUPS && !groups.contains_key(&group) {
            return true; // as many as a page shows
        }
        let cause = cut(&cause, GROUP_CAUSE_BYTES);
        let (stage, time) = (letter.text.stage, letter.text.time);
        let first = time.clone();
        let new = DeadGroup { group: group.clone(), stage, cause, letters: 0, first, last: String::new() };
        let known = groups.entry(group).or_insert(new);
        known.letters += 1;
        known.last = time;
        true
    })?;
    let mut groups: Vec<DeadGroup> = groups.into_values().collect();
    groups.sort_by(|a, b| b.letters.cmp(&a.letters).then_with(|| a.first.cmp(&b.first)));
    Ok(groups)
}

fn some(path: &Path, wanted: &Dead) -> io::Result<Vec<Value>> {
    let limit = if wanted.keys { MOST_KEYS } else { MOST };
    let most = wanted.most.unwrap_or(USUAL).min(limit) as usize;
    let (mut letters, mut room) = (Vec::new(), ANSWER_BYTES);
    if most == 0 {
        return Ok(letters);
    }
    each(path, |letter| {
        if wanted.group.as_ref().is_none_or(|group| *group == group_of(&letter).0) {
            letters.push(if wanted.keys {
                json!({ "key": letter.key() })
            } else {
                shown(&letter, &mut room)
            });
        }
        letters.len() < most
    })?;
    Ok(letters)
}

/// `room`: bytes of texts that the answer may still have. What is short comes first: a letter without its item says more
/// than an item alone.
fn shown(letter: &Letter, room: &mut usize) -> Value {
    let mut take = |most: usize| {
        let taken = most.min(*room);
        *room -= taken;
        taken
    };
    let names = [&letter.text.time, &letter.text.stage, &letter.text.queue];
    take(names.map(String::len).iter().sum());
    let cause = letter.cause();
    let cause = cut(&cause, take(cause.len().min(SHOWN_WORDS_BYTES)));
    let words: usize = letter.text.stderr.iter().map(String::len).sum();
    let stderr = last_lines(&letter.text.stderr, take(words.min(SHOWN_WORDS_BYTES)));
    let bytes = letter.beginning().unwrap_or_default();
    let item = String::from_utf8_lossy(&bytes[..take(bytes.len().min(SHOWN_BYTES))]);
    json!({
        "key": letter.key(),
        "line": letter.line,
        "time": letter.text.time,
        "stage": letter.text.stage,
        "queue": letter.text.queue,
        "attempts": letter.text.attempts,
        "cause": cause,
        "stderr": stderr,
        "bytes": bytes.len(),
        "item": text::words(&item).unwrap_or_else(|| item.into_owned()),
        "retrying": letter.marked,
    })
}

/// The beginning of a text, of at most `most` bytes, with an ellipsis where it is cut.
fn cut(text: &str, most: usize) -> String {
    match text.len() <= most {
        true => text.to_owned(),
        false => {
            let end = (0..=most).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            format!("{}…", &text[..end])
        }
    }
}

/// The last lines of a program, of at most `most` bytes together. The first of them has an ellipsis where it is cut.
fn last_lines(lines: &[String], mut most: usize) -> Vec<String> {
    let mut shown = Vec::new();
    for line in lines.iter().rev() {
        let is_whole = line.len() <= most;
        shown.push(cut(line, most));
        most = most.saturating_sub(line.len());
        if !is_whole {
            break;
        }
    }
    shown.reverse();
    shown
}
