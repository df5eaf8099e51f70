//! From an address to a membership: connect, look at the server, find the run, join it.
//!
//! Killed between two of these, a machine has made at most the run's number or empty queues, which the next one finds.

use super::answer;
use super::keys::{Keys, RunKeys};
use super::scripts::Scripts;
use super::server::Server;
use super::transaction::Transaction;
use super::types;
use crate::broker::values::unfinished;
use crate::broker::{Access, Fault, Joined, Layout, Membership, QueueSettings};
use crate::hash;
use crate::model::WhenFull;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, TlsCertificates, Value,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A server that accepts a connection and then says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A run that was joined, and the way to it.
pub(super) struct Entered {
    pub(super) connection: MultiplexedConnection,
    /// On which messages come: up to Redis 7.0 one that a transaction causes would stand in the middle of that one's answer.
    pub(super) messages: MultiplexedConnection,
    /// The messages, and the end of either connection.
    pub(super) pushed: Mutex<UnboundedReceiver<PushInfo>>,
    pub(super) scripts: Scripts,
    pub(super) pipeline: Keys,
    pub(super) keys: RunKeys,
    pub(super) joined: Joined,
}

pub(super) async fn enter(access: &Access, layout: &Layout, who: &Membership) -> Result<Entered, Fault> {
    let (sender, pushed) = unbounded_channel();
    let mut connection = connect(access, sender.clone()).await?;
    let mut warnings = look(&mut connection, who.allow_loss).await?;
    let mut messages = connect(access, sender).await?;
    let (scripts, pipeline) = (Scripts::new(), Keys::new(layout));
    probe(&mut connection, &scripts, &pipeline).await?;
    let begun = begin(&mut connection, &scripts, &pipeline, layout, who).await;
    let (run, other) = types::named(begun, &connection, &pipeline).await?;
    let keys = pipeline.run(run);
    for queue in keys.queues() {
        messages.subscribe(&queue.about).await.map_err(|error| answer::fault(&error))?;
    }
    let joined = join(&mut connection, &scripts, &keys, layout, who).await;
    let (begun, ended, is_back, works_off, rows) = types::named(joined, &connection, &pipeline).await?;
    let ended = (ended > 0).then_some(ended);
    let settings = settings(layout, &rows);
    warnings.extend(layout.differences(&settings));
    warnings.extend(other.map(unfinished));
    let joined = Joined { run, begun, ended, is_back: is_back > 0, works_off: works_off > 0, warnings };
    Ok(Entered { connection, messages, pushed: Mutex::new(pushed), scripts, pipeline, keys, joined })
}

/// Looks at the server and at what it holds of the pipeline, and changes nothing. What its settings don't protect from.
pub(super) async fn examine(
    access: &Access,
    layout: &Layout,
    allow_loss: bool,
) -> Result<Vec<String>, Fault> {
    let (sender, _pushed) = unbounded_channel();
    let mut connection = connect(access, sender).await?;
    let warnings = look(&mut connection, allow_loss).await?;
    let keys = Keys::new(layout);
    probe(&mut connection, &Scripts::new(), &keys).await?;
    types::look(&connection, &keys).await?;
    let mut get = redis::cmd("HGET");
    get.arg(keys.pipeline()).arg("shape");
    let held: Option<String> =
        get.query_async(&mut connection).await.map_err(|error| answer::fault(&error))?;
    match held.is_none_or(|held| held == shape(layout)) {
        true => Ok(warnings),
        false => Err(Fault::foreign(layout)),
    }
}

pub(super) async fn connect(
    access: &Access,
    pushes: UnboundedSender<PushInfo>,
) -> Result<MultiplexedConnection, Fault> {
    // Not the error's own words: they may hold the address, with its password.
    let wrong = |_| Fault::Fatal("the address of the broker can't be read".into());
    let info = access.url.as_str().into_connection_info().map_err(wrong)?;
    let database = info.redis_settings().db();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_db(0);
    let info = info.set_redis_settings(settings);
    let client = match &access.tls_ca {
        Some(pem) => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
            Client::build_with_tls(info, certificates)
        }
        None => Client::open(info),
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(access.answer_timeout))
        .set_push_sender(pushes);
    let client = client.map_err(|error| answer::fault(&error))?;
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connected.map_err(|error| match error.is_timeout() {
        true => Fault::Away(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())),
        false => answer::fault(&error),
    })?;
    // Not by the crate, which leaves out the refusal's code.
    if database != 0 {
        let select: Result<Value, _> = redis::cmd("SELECT").arg(database).query_async(&mut connection).await;
        select.map_err(|error| answer::refused_database(&error, database))?;
    }
    Ok(connection)
}

async fn look(connection: &mut MultiplexedConnection, allow_loss: bool) -> Result<Vec<String>, Fault> {
    let info: String =
        redis::cmd("INFO").query_async(connection).await.map_err(|error| answer::fault(&error))?;
    // Managed servers forbid it: then nothing is said of it.
    let mut get = redis::cmd("CONFIG");
    get.arg("GET").arg("*appendfsync*");
    let config: BTreeMap<String, String> = get.query_async(connection).await.unwrap_or_default();
    let is_lax = config.get("no-appendfsync-on-rewrite").is_some_and(|value| value == "yes");
    let server = Server { info: &info, fsync: config.get("appendfsync").map(String::as_str), is_lax };
    if server.is_loading() {
        return Err(Fault::Away("the server is loading what it had".into()));
    }
    server.check(allow_loss).map_err(Fault::Unfit)
}

/// The same names in the same order are the same pipeline.
pub(super) fn shape(layout: &Layout) -> String {
    let names: Vec<&str> = layout.queues.iter().map(|queue| queue.name.as_str()).collect();
    format!("{:016x}", hash::fnv1a(names.join("\n").as_bytes()))
}

/// Whether the user may do all that scripts do.
pub(super) async fn probe(
    connection: &mut MultiplexedConnection,
    scripts: &Scripts,
    keys: &Keys,
) -> Result<(), Fault> {
    let mut script = scripts.probe.prepare_invoke();
    script.key(keys.probe());
    script.invoke_async::<Value>(connection).await.map_err(|error| answer::fault(&error))?;
    let nothing = Transaction::new().run(connection, &scripts.probe).await;
    nothing.map(drop).map_err(|error| answer::fault(&error))
}

async fn begin(
    connection: &mut MultiplexedConnection,
    scripts: &Scripts,
    keys: &Keys,
    layout: &Layout,
    who: &Membership,
) -> Result<(u64, Option<u64>), Fault> {
    let number = who.only.or(who.joined);
    let what = match (who.only, who.new_run) {
        (Some(_), _) => "only",
        (None, true) => "new",
        (None, false) => "join",
    };
    let mut script = scripts.begin.prepare_invoke();
    script.key(keys.pipeline()).key(keys.runs()).key(keys.run(number.unwrap_or(0)).run());
    script.arg(shape(layout)).arg(what).arg(&who.machine).arg(&who.life);
    script.arg(number.map_or_else(String::new, |run| run.to_string())).arg(keys.run_base());
    for queue in &layout.queues {
        script.arg(&queue.name);
    }
    let value: Value = script.invoke_async(connection).await.map_err(|error| answer::fault(&error))?;
    match &value {
        Value::Array(words) => match &words[..] {
            [_, Value::Int(run), Value::Int(other)] => {
                Ok((*run as u64, (*other > 0).then_some(*other as u64)))
            }
            [_] => Err(Fault::no_run(who)),
            [_, _] => Err(Fault::foreign(layout)),
            _ => Err(answer::unexpected(&value)),
        },
        _ => Err(answer::unexpected(&value)),
    }
}

/// As the scripts have it.
pub(super) fn when_full(settings: &QueueSettings) -> &'static str {
    if settings.when_full == WhenFull::Block { "wait" } else { "drop" }
}

/// Of each queue in the run, from its capacity and when_full as the scripts have them.
fn settings(layout: &Layout, rows: &[String]) -> Vec<QueueSettings> {
    let setting = |(queue, row): (&QueueSettings, &[String])| QueueSettings {
        name: queue.name.clone(),
        capacity: row[0].parse().unwrap_or(queue.capacity),
        when_full: if row[1] == "wait" { WhenFull::Block } else { WhenFull::DropNew },
    };
    layout.queues.iter().zip(rows.chunks_exact(2)).map(setting).collect()
}

type JoinRow = (u64, u64, u64, u64, Vec<String>);

async fn join(
    connection: &mut MultiplexedConnection,
    scripts: &Scripts,
    keys: &RunKeys,
    layout: &Layout,
    who: &Membership,
) -> Result<JoinRow, Fault> {
    let mut script = scripts.join.prepare_invoke();
    script.key(keys.run()).key(keys.machines());
    script.arg(&who.machine).arg(&who.life).arg(layout.ack_wait.as_millis() as u64);
    for (settings, queue) in layout.queues.iter().zip(keys.queues()) {
        script.key(&queue.stream).key(&queue.about).key(&queue.writers);
        script.arg(&settings.name).arg(settings.capacity).arg(when_full(settings));
    }
    let value: Value = script.invoke_async(connection).await.map_err(|error| answer::fault(&error))?;
    match &value {
        Value::Array(words) if words.len() == 1 => Err(Fault::struck()),
        Value::Array(words) if words.len() == 2 => {
            let (_, place): (String, usize) = answer::parsed(value)?;
            Err(layout.queues.get(place).map_or(Fault::Superseded, Fault::differs))
        }
        _ => answer::parsed(value),
    }
}
