//! The state as it was after some message of the log, written into the stream itself: who joins reads it and what comes behind it. Then
//! what nothing needs any more is deleted, so the stream holds live items, letters and a bounded part of the log.
//!
//! Invariant: only messages up to the last one of the snapshot *before* are deleted, and none that the state needs. So who has just read that
//! snapshot finds all that comes behind it; who is further behind meets a gap, and begins with the next snapshot. Where there is no room for
//! a snapshot, [`make_room`] deletes up to the last one itself: then who has just read the one before meets that gap, too.
//!
//! | the machine that writes it is killed | what is left |
//! |---|---|
//! | before the head | parts that no head names; the next cleaning deletes them |
//! | between the head and the deletions, or among them | more messages than needed; the next cleaning deletes them, for the state names those until it hears that they are gone |
//! | in [`make_room`], among the deletions or behind them | nothing that the state needs is gone; the next cleaning deletes the rest |
//! | after the deletions, before that is said | nothing more; the next cleaning deletes again what is gone |
//! | the server, before its disk knows what it has deleted | messages of before; each machine that joins deletes them again |
//! | the server, while a machine that has more than the next one knows of stands still | all of it: that machine deletes nothing ([`is_there`]) |
//! | two machines write one at once | one head is refused: it expects the head before it to be the last |

use super::api::{Api, Refusal, Stored};
use super::names::Names;
use super::replica::{Inner, Loaded, Replica};
use super::reserve::{append, tell};
use super::state::{Request, State};
use super::store;
use super::wire::{FORMAT, other_version};
use crate::broker::Fault;
use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages, or bytes, of the log after which the state is written anew: a joiner reads that much.
const MESSAGES: u64 = 2000;
const BYTES: u64 = 8 << 20;
/// A large state is written only after so much more than its own length.
const TIMES_ITS_LENGTH: u64 = 2;
/// Machines that are behind each other by that many messages write it one after the other, mostly.
const SPREAD: u64 = 500;
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// While the store is full what has ended is deleted at once, twice: the second snapshot finds what the first has left.
const SAVES_IF_SHORT: Duration = Duration::from_millis(300);
/// Deletions under way at once.
const DELETIONS: usize = 64;

/// Where a snapshot is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// The last message that is in it.
    through: u64,
    len: u64,
    /// Messages that hold it.
    parts: Vec<u64>,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let head = postcard::to_allocvec(self).unwrap_or_default(); // it fails for types only that this one has none of
        [&[FORMAT], &head[..]].concat()
    }

    fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        Ok(unframed(bytes)?.and_then(|bytes| postcard::from_bytes(bytes).ok()))
    }
}

/// Without its format.
fn unframed(bytes: &[u8]) -> Result<Option<&[u8]>, Fault> {
    match bytes {
        [FORMAT, rest @ ..] => Ok(Some(rest)),
        [format, ..] => Err(other_version(*format)),
        [] => Ok(None),
    }
}

/// The last snapshot; `None`: it has just been replaced.
pub(super) async fn load(api: &Api, names: &Names) -> Result<Option<Loaded>, Fault> {
    let Stored { sequence, data } = match api.last_of(&names.stream, &names.heads()).await {
        Ok(stored) => stored,
        Err(Refusal::NoMessage) => return begin(api, names).await,
        Err(refusal) => return Err(refusal.fault()),
    };
    let lost = || {
        Fault::Fatal(format!(
            "the snapshot in the stream {} can't be read; `mprun shared drop` deletes what is left",
            names.stream
        ))
    };
    let head = Head::read(&data)?.ok_or_else(lost)?;
    let mut bytes = Vec::new();
    for part in try_get(api, names, &head.parts).await? {
        let Some(part) = part else { return Ok(None) };
        bytes.extend_from_slice(unframed(&part)?.ok_or_else(lost)?);
    }
    let state = postcard::from_bytes(&bytes).map_err(|_| lost())?;
    Ok(Some(Loaded { state, through: head.through, head: sequence, len: head.len }))
}

async fn try_get(api: &Api, names: &Names, places: &[u64]) -> Result<Vec<Option<Bytes>>, Fault> {
    let get = async |place: u64| match api.get(&names.stream, place).await {
        Ok(stored) => Ok(Some(stored.data)),
        Err(Refusal::NoMessage) => Ok(None),
        Err(refusal) => Err(refusal.fault()),
    };
    try_join_all(places.iter().map(|&place| get(place))).await
}

/// Nothing was written yet: the log is whole.
async fn begin(api: &Api, names: &Names) -> Result<Option<Loaded>, Fault> {
    let info = api.info(&names.stream).await.map_err(Refusal::fault)?;
    let number = |path| info.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    if number("/state/first_seq") > 1 {
        // A snapshot may have come this moment; without one somebody else has deleted messages.
        return match api.last_of(&names.stream, &names.heads()).await {
            Ok(_) => Ok(None),
            Err(Refusal::NoMessage) => Err(Fault::Fatal(format!(
                "the stream {} has lost its beginning, as if it was purged; `mprun shared drop` deletes what is left",
                names.stream
            ))),
            Err(refusal) => Err(refusal.fault()),
        };
    }
    Ok(Some(Loaded { state: State::default(), through: 0, head: 0, len: 0 }))
}

/// A head has come, of whichever machine.
pub(super) fn note_head(replica: &Replica, place: u64, bytes: &[u8]) {
    if let Ok(Some(head)) = Head::read(bytes) {
        let mut inner = replica.lock();
        (inner.head, inner.snapshot_through, inner.snapshot_len) = (place, head.through, head.len);
        inner.bytes_since = 0;
        inner.head_came = Instant::now();
        inner.overhead = head.len.saturating_sub(inner.state.weight());
    }
}

fn is_due(inner: &Inner, spread: u64) -> bool {
    let messages = inner.at.saturating_sub(inner.snapshot_through);
    let is_long = messages >= MESSAGES + spread || inner.bytes_since >= BYTES + (spread << 11);
    let is_worth_it = inner.bytes_since >= inner.snapshot_len * TIMES_ITS_LENGTH;
    let may_try = inner.saves_again_at.is_none_or(|at| at <= Instant::now());
    // Where room is short it is looked for, by one machine after the other.
    let pause = SAVES_IF_SHORT + Duration::from_millis(inner.snapshot_len >> 10);
    let is_pressed = inner.state.is_short
        && inner.head_came.elapsed() >= pause.mul_f64(1.0 + spread as f64 / SPREAD as f64);
    !inner.is_saving && (is_long && is_worth_it || is_pressed) && may_try
}

/// Writes the state, if the log has grown by enough, and deletes what nothing needs.
pub(super) fn save_if_due(api: &Api, names: &Names, replica: &Arc<Replica>) {
    let mut inner = replica.lock();
    if !is_due(&inner, replica.connection() % SPREAD) {
        return;
    }
    inner.is_saving = true;
    let snapshot = Snapshot::of(&inner);
    drop(inner);
    let (api, names, replica) = (api.clone(), names.clone(), Arc::clone(replica));
    tokio::spawn(async move {
        let saved = snapshot.save(&api, &names, &replica).await;
        let mut inner = replica.lock();
        inner.is_saving = false;
        let pause = if inner.state.is_short { SAVES_IF_SHORT } else { TRY_AGAIN };
        inner.saves_again_at = saved.is_err().then(|| Instant::now() + pause);
    });
}

struct Snapshot {
    state: Vec<u8>,
    through: u64,
    /// The head that is the last one.
    before: u64,
    /// The last message of the snapshot before.
    deletes_through: u64,
    /// Before this message nothing is needed.
    floor: u64,
    /// Nor are these behind it, which lie there still.
    garbage: Vec<u64>,
}

impl Snapshot {
    fn of(inner: &Inner) -> Snapshot {
        let deletes_through = inner.snapshot_through;
        let floor = inner.state.blobs.floor(deletes_through);
        Snapshot {
            state: postcard::to_allocvec(&inner.state).unwrap_or_default(), // as above
            through: inner.at,
            before: inner.head,
            deletes_through,
            floor,
            garbage: inner.state.blobs.garbage(floor, deletes_through),
        }
    }

    async fn save(&self, api: &Api, names: &Names, replica: &Replica) -> Result<(), Refusal> {
        let most = api.0.server_info().max_payload.saturating_sub(1).max(1);
        let mut parts = Vec::new();
        for part in self.state.chunks(most) {
            let part = [&[FORMAT], part].concat();
            parts.push(append(api, names, names.snapshots(), None, part).await?);
        }
        let head = Head { through: self.through, len: self.state.len() as u64, parts };
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", self.before.to_string().as_str());
        match append(api, names, names.heads(), Some(headers), head.encode()).await {
            Err(Refusal::Late) => return Ok(()),
            place => place?,
        };
        if !is_there(api, names).await? {
            return Ok(());
        }
        self.clean(api, names).await?;
        store::fill(api, names, replica).await
    }

    async fn clean(&self, api: &Api, names: &Names) -> Result<(), Refusal> {
        api.purge(&names.stream, self.floor).await?;
        delete(api, names, &self.garbage).await?;
        let Snapshot { through, deletes_through, .. } = *self;
        tell(api, names, &Request::Cleaned { through, deletes_through }).await
    }
}

/// One by one: a server (2.9.10) counts what it purges by subject as there, until it is started again.
async fn delete(api: &Api, names: &Names, messages: &[u64]) -> Result<(), Refusal> {
    for some in messages.chunks(DELETIONS) {
        try_join_all(some.iter().map(|&message| api.delete(&names.stream, message))).await?;
    }
    Ok(())
}

/// The last way to some room, where even the reserve has none: what has ended before the last snapshot is deleted, with the snapshot before
/// that; then there is room for the next one. A machine that is further behind meets a gap, and begins anew.
pub(super) async fn make_room(api: &Api, names: &Names, replica: &Replica) -> Result<(), Refusal> {
    if !is_there(api, names).await? {
        return Ok(());
    }
    let (floor, garbage) = {
        let inner = replica.lock();
        let floor = inner.state.blobs.floor(inner.snapshot_through);
        (floor, inner.state.blobs.garbage(floor, inner.snapshot_through))
    };
    api.purge(&names.stream, floor).await?;
    delete(api, names, &garbage).await?;
    let next = Snapshot::of(&replica.lock());
    match next.save(api, names, replica).await {
        Err(Refusal::Full(_)) => Ok(()),
        saved => saved,
    }
}

/// Whether the server has all that was there when this connection was made, and since: it has not been another process meanwhile. What a
/// snapshot or an end makes superfluous is needed where that is lost.
async fn is_there(api: &Api, names: &Names) -> Result<bool, Refusal> {
    // A machine that stood still hears of a broken connection behind an answer of the next one.
    api.info(&names.stream).await?;
    Ok(!api.has_reconnected())
}

/// A server that was killed may have messages again that it had deleted: 2.9 writes down every two minutes which these are. They would
/// fill the store for good. A deletion needs no room.
pub(super) async fn delete_again(api: &Api, names: &Names, replica: &Replica) -> Result<(), Fault> {
    let (floor, deleted) = replica.lock().state.blobs.deleted();
    let again = async {
        api.purge(&names.stream, floor).await?;
        let info = api.info(&names.stream).await?;
        let there = info.pointer("/state/num_deleted").and_then(Value::as_u64).unwrap_or(0);
        match there < deleted.len() as u64 {
            true => delete(api, names, &deleted).await,
            false => Ok(()),
        }
    };
    again.await.map_err(Refusal::fault)
}
