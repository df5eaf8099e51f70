//! The log of a pipeline: a stream in which every request has its place. What is asked is appended; the answer is what this machine's
//! own copy of the state says at that place.
//!
//! | what happens | what follows |
//! |---|---|
//! | the connection breaks with a request under way | it may be in the log or not: the link joins anew, and asks again |
//! | a message comes that is not the next one | this machine was too slow, or the server has lost what it had: the same |
//! | the server says nothing for as long as an answer may take, though it beats every 2 s | the same |
//! | a message of another version of mprun | an error: it may mean what this version can't know |

use super::api::{Api, Refusal, Stored, ms};
use super::connect::{self, Connection};
use super::names::Names;
use super::replica::{self, Logged, Pending, Replica};
use super::reserve;
use super::server::{self, Settings};
use super::snapshot;
use super::state::{Answer, ItemRef, Request, Reserved};
use super::store;
use super::subjects;
use super::wire::{self, Framed, RequestId, Unreadable};
use crate::broker::{Access, Fault, Layout, SharedQueue};
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The server says something at least that often.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Snapshots change while they are read: so often that is tried.
const LOADS: usize = 5;

/// What is wanted of a log that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// A machine: the stream is made if it is not there, and its settings are looked at.
    Machine { allow_loss: bool },
    /// One who looks.
    Visitor,
}

pub(super) struct Log {
    api: Api,
    names: Names,
    replica: Arc<Replica>,
    connection: u64,
    next: AtomicU64,
    max_payload: usize,
    /// How long an answer may take: a server that says nothing for so long is away.
    answer_timeout: Duration,
    /// What the stream's settings don't protect from.
    pub warnings: Vec<String>,
    /// End with it.
    _tasks: JoinSet<()>,
}

impl Log {
    /// `None`: there is no stream for one who looks.
    pub(super) async fn open(access: &Access, layout: &Layout, what_for: For) -> Result<Option<Log>, Fault> {
        let mut connection = connect::connect(access).await?;
        let info = connection.client.server_info();
        server::check_server(&info.version, info.jetstream)?;
        let api = Api(connection.client.clone());
        let names = Names::new(&layout.prefix, &layout.pipeline);
        let Some(warnings) = connection.or_end(prepare(&api, &names, layout, what_for)).await? else {
            return Ok(None);
        };
        let answer_timeout = access.answer_timeout;
        let (id, is_machine) = (fastrand::u64(..), what_for != For::Visitor);
        let (replica, messages) = connection.or_end(load(&api, &names, id, is_machine)).await?;
        let Connection { mut ends, .. } = connection;
        let replica = Arc::new(replica);
        let mut tasks = JoinSet::new();
        let reader = Reader {
            api: api.clone(),
            names: names.clone(),
            replica: Arc::clone(&replica),
            saves: is_machine,
            silence: answer_timeout,
            next: 1,
        };
        tasks.spawn(reader.run(messages));
        let failing = Arc::clone(&replica);
        tasks.spawn(async move {
            while let Some(fault) = ends.recv().await {
                failing.fail(fault);
            }
        });
        let (next, max_payload) = (AtomicU64::new(1), info.max_payload);
        let log = Log {
            api,
            names,
            replica,
            connection: id,
            next,
            max_payload,
            answer_timeout,
            warnings,
            _tasks: tasks,
        };
        if is_machine {
            log.catch_up().await?;
            snapshot::delete_again(&log.api, &log.names, &log.replica).await?;
            if log.replica.see(|state, _| state.reserved == Reserved::default())? {
                store::begin(&log.api, &log.names, layout).await?;
            }
        }
        Ok(Some(log))
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Appends the request, and returns what the state answers at its place. `data`: what its spans are of. Where the store is full
    /// the reserve makes room for it.
    pub(super) async fn append(
        &self,
        request: &Request,
        data: &[u8],
        wants: Option<(SharedQueue, u32)>,
    ) -> Result<Answer, Refusal> {
        let mut is_last = false;
        loop {
            match self.append_once(request, data, wants).await {
                Err(Refusal::Full(why)) => {
                    let least = store::for_snapshots(&self.replica.lock());
                    if !reserve::give_back(&self.api, &self.names, data.len(), least).await? {
                        if is_last {
                            return Err(Refusal::Full(why));
                        }
                        // Nothing else may come that would lead to it: a machine that hears of a full store begins anew.
                        snapshot::make_room(&self.api, &self.names, &self.replica).await?;
                        is_last = true;
                    }
                    self.tell_short().await?;
                }
                answer => return answer,
            }
        }
    }

    /// The same for what may wait: the reserve is not for it.
    pub(super) async fn append_if_room(&self, request: &Request, data: &[u8]) -> Result<Answer, Refusal> {
        let appended = self.append_once(request, data, None).await;
        if let Err(Refusal::Full(_)) = appended {
            // What has ended is to be deleted now: nothing else may come that would lead to it.
            self.tell_short().await?;
        }
        appended
    }

    /// The store is full, as far as the state does not know that yet.
    async fn tell_short(&self) -> Result<(), Refusal> {
        if self.replica.see(|state, _| state.is_short).map_err(Refusal::Fault)? {
            return Ok(());
        }
        loop {
            match self.append_once(&Request::Short, &[], None).await {
                Err(Refusal::Full(why)) if !reserve::give_back(&self.api, &self.names, 0, 0).await? => {
                    return Err(Refusal::Full(why));
                }
                Err(Refusal::Full(_)) => {}
                answer => return answer.map(drop),
            }
        }
    }

    /// Bytes of the reserve that are for what stages make of items, also while the store is full.
    pub(super) async fn spare(&self) -> Result<u64, Refusal> {
        let there = reserve::len(&self.api, &self.names).await?;
        Ok(there.saturating_sub(store::kept(&self.replica.lock())))
    }

    /// Makes the reserve larger, if the state is to grow by that weight, or by a commit of that length.
    pub(super) async fn reserve(&self, weight: u64, longest: u64) -> Result<(), Refusal> {
        let lacks = store::lacks(&self.replica.lock(), weight, longest);
        match lacks {
            None => Ok(()),
            Some(larger) => store::grow(&self.api, &self.names, &self.replica, larger).await,
        }
    }

    async fn append_once(
        &self,
        request: &Request,
        data: &[u8],
        wants: Option<(SharedQueue, u32)>,
    ) -> Result<Answer, Refusal> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = RequestId { connection: self.connection, number };
        let part_len = wire::part_len(self.max_payload);
        let mut message = wire::message(part_len, id, request, data);
        let (parts, rest) = wire::split(wire::of_message(&message), self.max_payload);
        let is_plain = data.is_empty() && parts.is_empty();
        let parts = self.append_parts(&parts).await?;
        if !parts.is_empty() {
            message = wire::last(&parts, part_len, rest);
        }
        let (sender, answer) = oneshot::channel();
        self.replica.expect(number, Pending { answer: sender, wants }).map_err(Refusal::Fault)?;
        let subject = if is_plain { self.names.requests() } else { self.names.data() };
        let appended = self.answer(subject, message.into(), answer).await;
        self.replica.forget(number);
        if let Err(Refusal::Full(_)) = appended {
            self.abandon(parts).await?;
        }
        appended
    }

    async fn append_parts(&self, parts: &[&[u8]]) -> Result<Vec<u64>, Refusal> {
        let append = |bytes: &&[u8]| self.api.append(self.names.data(), None, wire::part(bytes).into());
        let (mut there, mut refusal) = (Vec::new(), None);
        for appended in join_all(parts.iter().map(append)).await {
            match appended {
                Ok(place) => there.push(place),
                Err(why) => refusal = Some(why),
            }
        }
        match refusal {
            None => Ok(there),
            Some(why) => {
                if let Refusal::Full(_) = why {
                    self.abandon(there).await?;
                }
                Err(why)
            }
        }
    }

    /// Marks the parts of a message that was not appended as unused: the next deletion takes them.
    async fn abandon(&self, parts: Vec<u64>) -> Result<(), Refusal> {
        match parts.is_empty() {
            true => Ok(()),
            false => reserve::tell(&self.api, &self.names, &Request::Abandon { parts }).await,
        }
    }

    async fn answer(
        &self,
        subject: String,
        message: Bytes,
        mut answer: oneshot::Receiver<Answer>,
    ) -> Result<Answer, Refusal> {
        let gone = || {
            let fault = self.replica.fault();
            Refusal::Fault(fault.unwrap_or_else(|| Fault::Away("the connection broke".into())))
        };
        tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(|_| gone()),
            appended = self.api.append(subject, None, message) => if let Err(refusal) = appended {
                return Err(self.last_words(refusal).await);
            },
        }
        match tokio::time::timeout(self.answer_timeout, answer).await {
            Ok(answer) => answer.map_err(|_| gone()),
            Err(_) => Err(Refusal::Fault(Fault::no_answer())),
        }
    }

    /// A stream that is gone may have been dropped, which is the last that it has said.
    async fn last_words(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Fault(Fault::Away(why)) => {
                Refusal::Fault(self.replica.last_fault().await.unwrap_or(Fault::Away(why)))
            }
            other => other,
        }
    }

    /// Waits until all that is in the log by now is applied here.
    pub(super) async fn catch_up(&self) -> Result<(), Fault> {
        let info = match self.api.info(&self.names.stream).await {
            // Why it was deleted is the last that has come from it.
            Err(Refusal::NoStream) => return Ok(()),
            info => info.map_err(Refusal::fault)?,
        };
        let last = info.pointer("/state/last_seq").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let reached = tokio::time::timeout(self.answer_timeout, self.replica.reach(last)).await;
        reached.unwrap_or_else(|_| Err(Fault::Away("the server does not send what is in the stream".into())))
    }

    /// The bytes of items; `None` where nothing holds it any more.
    pub(super) async fn fetch(&self, items: &[ItemRef]) -> Result<Vec<Option<Bytes>>, Fault> {
        match self.at_hand(items) {
            Some(all) => Ok(all.into_iter().map(Some).collect()),
            None => self.fetch_apart(items).await,
        }
    }

    /// The items, if each lies in one message that is in memory. Mostly those behind each other lie in the same one.
    fn at_hand(&self, items: &[ItemRef]) -> Option<Vec<Bytes>> {
        let inner = self.replica.lock();
        let (mut last, mut all) = (None, Vec::with_capacity(items.len()));
        for item in items {
            let (message, range) = inner.place(*item)?;
            if last.as_ref().is_none_or(|(known, _)| *known != message) {
                last = Some((message, inner.cached(message)?));
            }
            let (_, bytes) = last.as_ref()?;
            bytes.get(range.clone())?;
            all.push(bytes.slice(range));
        }
        Some(all)
    }

    async fn fetch_apart(&self, items: &[ItemRef]) -> Result<Vec<Option<Bytes>>, Fault> {
        let places: Vec<_> = {
            let inner = self.replica.lock();
            items.iter().map(|item| inner.places(*item)).collect()
        };
        let mut wanted: BTreeMap<u64, Option<Bytes>> = BTreeMap::new();
        for (message, _) in places.iter().flatten().flatten() {
            wanted.insert(*message, None);
        }
        let found = wanted.keys().map(|&message| message_of(&self.api, &self.names, &self.replica, message));
        let found = join_all(found).await;
        for (bytes, found) in wanted.values_mut().zip(found) {
            *bytes = found?;
        }
        let item = |places: Option<Vec<(u64, Range<usize>)>>| {
            let parts = places?
                .into_iter()
                .map(|(message, range)| wanted.get(&message)?.as_ref()?.get(range).map(<[u8]>::to_vec));
            parts.collect::<Option<Vec<Vec<u8>>>>().map(|parts| parts.concat().into())
        };
        Ok(places.into_iter().map(item).collect())
    }
}

/// The bytes of a message behind its head; `None`: it is gone.
async fn message_of(
    api: &Api,
    names: &Names,
    replica: &Replica,
    message: u64,
) -> Result<Option<Bytes>, Fault> {
    if let Some(bytes) = replica.lock().cached(message) {
        return Ok(Some(bytes));
    }
    match api.get(&names.stream, message).await {
        Ok(Stored { data, .. }) => Ok(match replica::read(&data) {
            Ok(Framed::Part(bytes) | Framed::Last { bytes, .. }) => Some(bytes),
            Err(_) => None,
        }),
        Err(Refusal::NoMessage) => Ok(None),
        Err(refusal) => Err(refusal.fault()),
    }
}

/// Makes the streams of a machine; `None`: there is none for one who looks. What their settings don't protect from.
async fn prepare(
    api: &Api,
    names: &Names,
    layout: &Layout,
    what_for: For,
) -> Result<Option<Vec<String>>, Fault> {
    let allow_loss = match what_for {
        For::Machine { allow_loss } => allow_loss,
        For::Visitor => {
            return match api.info(&names.stream).await {
                Ok(_) => Ok(Some(Vec::new())),
                Err(Refusal::NoStream) => Ok(None),
                Err(refusal) => Err(refusal.fault()),
            };
        }
    };
    make(api, names, layout).await?;
    let settings = Settings::of(&api.info(&names.stream).await.map_err(Refusal::fault)?)?;
    let warnings = settings.check(&names.stream, allow_loss)?;
    Ok(Some(warnings))
}

async fn make(api: &Api, names: &Names, layout: &Layout) -> Result<(), Fault> {
    match api.info(&names.stream).await {
        Ok(_) => return Ok(()),
        Err(Refusal::NoStream) => {}
        Err(refusal) => return Err(refusal.fault()),
    }
    subjects::check(api, names).await?;
    server::check_replicas(api.0.server_info().cluster.as_deref(), layout.replicas)?;
    let wanted = server::wanted(&names.stream, &names.all(), &layout.pipeline, layout.replicas);
    match api.call(&format!("STREAM.CREATE.{}", names.stream), &wanted).await {
        Ok(_) | Err(Refusal::Exists) => Ok(()),
        Err(Refusal::Fault(Fault::Away(why))) => {
            let replicas = layout.replicas;
            Err(Fault::Away(format!(
                "it does not make the stream {} (`stream_replicas = {replicas}`): {why}",
                names.stream
            )))
        }
        Err(refusal) => Err(refusal.fault()),
    }
}

/// The state as the last snapshot has it, and the messages from there on.
async fn load(
    api: &Api,
    names: &Names,
    connection: u64,
    is_machine: bool,
) -> Result<(Replica, Subscriber), Fault> {
    for _ in 0..LOADS {
        let Some(loaded) = snapshot::load(api, names).await? else { continue };
        let (inbox, start) = (api.0.new_inbox(), loaded.through + 1);
        let messages =
            api.0.subscribe(inbox.clone()).await.map_err(|error| Fault::Away(error.to_string()))?;
        let config = json!({
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "replay_policy": "instant",
            "flow_control": true,
            "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
            "mem_storage": true,
            "num_replicas": 1,
        });
        let consumer = json!({ "stream_name": names.stream, "config": config });
        let create = format!("CONSUMER.CREATE.{}", names.stream);
        let created = api.call(&create, &consumer).await.map_err(Refusal::fault)?;
        let replica = Replica::new(loaded, connection, is_machine);
        replica.lock().learn_time(created_at(&created));
        return Ok((replica, messages));
    }
    Err(Fault::Away("its snapshots change faster than they can be read".into()))
}

/// When the server has made what it answers with, in milliseconds since 1970.
fn created_at(answer: &serde_json::Value) -> Option<u64> {
    let time = humantime::parse_rfc3339(answer.get("created")?.as_str()?).ok()?;
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(ms)
}

/// Where a message stands: what the server writes into the subject for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    stream: u64,
    /// The number of the delivery.
    delivery: u64,
    /// Milliseconds since 1970.
    time: u64,
}

impl Place {
    /// `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.DELIVERY.TIME.PENDING`, on newer servers with a domain and an account behind ACK.
    fn read(reply: &str) -> Option<Place> {
        let words: Vec<&str> = reply.split('.').collect();
        let first = if words.len() > 9 { 4 } else { 2 };
        let number = |n: usize| words.get(first + n)?.parse::<u64>().ok();
        Some(Place { stream: number(3)?, delivery: number(4)?, time: number(5)? / 1_000_000 })
    }
}

/// Applies what comes.
struct Reader {
    api: Api,
    names: Names,
    replica: Arc<Replica>,
    /// It writes snapshots.
    saves: bool,
    /// See [`Log::answer_timeout`].
    silence: Duration,
    /// The number of the next delivery.
    next: u64,
}

impl Reader {
    async fn run(mut self, mut messages: Subscriber) {
        let fault = loop {
            match tokio::time::timeout(self.silence, messages.next()).await {
                Err(_) => break Fault::Away("nothing was heard for too long".into()),
                Ok(None) => break Fault::Away("the connection broke".into()),
                Ok(Some(message)) => {
                    if let Err(fault) = self.message(message).await {
                        break fault;
                    }
                }
            }
            if self.saves {
                snapshot::save_if_due(&self.api, &self.names, &self.replica);
                store::grow_if_due(&self.api, &self.names, &self.replica);
            }
        };
        self.replica.fail(fault);
    }

    async fn message(&mut self, message: Message) -> Result<(), Fault> {
        if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
            return self.beat(&message).await;
        }
        let Some(place) = message.reply.as_deref().and_then(Place::read) else { return Ok(()) };
        let expected = self.replica.lock().at + 1;
        if place.delivery != self.next || place.stream != expected {
            return Err(Fault::Away(match (place.stream < expected, place.delivery == self.next) {
                (true, _) => "it has lost what it had acknowledged".into(),
                (false, false) => "this machine was too slow for what comes".into(),
                (false, true) => format!(
                    "the stream {} lacks messages: this machine was too slow for what comes, or somebody has deleted them (`mprun shared \
                     drop` deletes what is left)",
                    self.names.stream
                ),
            }));
        }
        self.next += 1;
        self.apply(place, &message).await
    }

    /// The server is there, and may ask for an answer before it sends more.
    async fn beat(&self, message: &Message) -> Result<(), Fault> {
        let stalled = message.headers.as_ref().and_then(|headers| headers.get("Nats-Consumer-Stalled"));
        let reply = message.reply.as_ref().map(|reply| reply.to_string());
        match reply.or_else(|| stalled.map(|subject| subject.to_string())) {
            Some(subject) => self
                .api
                .0
                .publish(subject, Bytes::new())
                .await
                .map_err(|error| Fault::Away(error.to_string())),
            None => Ok(()),
        }
    }

    async fn apply(&self, place: Place, message: &Message) -> Result<(), Fault> {
        let subject = message.subject.as_str();
        if subject == self.names.heads() {
            snapshot::note_head(&self.replica, place.stream, &message.payload);
        }
        if subject != self.names.data() && subject != self.names.requests() {
            self.replica.pass(place.stream);
            return Ok(());
        }
        match replica::read(&message.payload) {
            Ok(Framed::Part(bytes)) => self.replica.apply_part(place.stream, place.time, &bytes),
            Ok(Framed::Last { parts, part_len, bytes }) => {
                let whole = self.whole(&parts, &bytes).await?;
                let Some(decoded) = whole.and_then(|whole| wire::decode(&whole).ok()) else {
                    self.replica.pass(place.stream);
                    return Ok(());
                };
                let Place { stream, time, .. } = place;
                let logged = Logged { place: stream, time, parts: &parts, part_len, bytes: &bytes };
                self.replica.apply(&logged, &decoded);
            }
            Err(Unreadable::Garbled) => self.replica.pass(place.stream),
            Err(Unreadable::Format(format)) => return Err(wire::other_version(format)),
        }
        Ok(())
    }

    /// What the parts of a request hold together; `None`: the state knows nothing of them (any more), on no machine.
    async fn whole(&self, parts: &[u64], rest: &Bytes) -> Result<Option<Bytes>, Fault> {
        if parts.is_empty() {
            return Ok(Some(rest.clone()));
        }
        if !self.replica.lock().state.blobs.has_parts(parts) {
            return Ok(None);
        }
        let mut whole = Vec::new();
        for part in parts {
            let bytes = message_of(&self.api, &self.names, &self.replica, *part).await?;
            // The others have read it before it was deleted.
            whole.extend_from_slice(
                &bytes.ok_or_else(|| Fault::Away("this machine was too slow for what comes".into()))?,
            );
        }
        whole.extend_from_slice(rest);
        Ok(Some(whole.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_message_is_read_from_old_and_new_servers() {
        let expected = Some(Place { stream: 12, delivery: 7, time: 1_795_939_800_123 });
        for reply in [
            "$JS.ACK.mprun+shop.abc.1.12.7.1795939800123456789.0",
            "$JS.ACK.hub.ACCHASH.mprun+shop.abc.1.12.7.1795939800123456789.0",
            "$JS.ACK.hub.ACCHASH.mprun+shop.abc.1.12.7.1795939800123456789.0.token",
        ] {
            assert_eq!(Place::read(reply), expected, "{reply}");
        }
        assert_eq!(Place::read("$JS.FC.x.y"), None);
    }
}
