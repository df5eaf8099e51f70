//! Keys of the pipeline that are of another type than its own: another program has written them. Which they are is looked up once a
//! request has met one, and by `check --online`.

use super::answer;
use super::keys::Keys;
use crate::broker::Fault;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use std::collections::BTreeSet;

/// The same, but that a fault of a key's type names the key.
pub(super) async fn named<T>(
    result: Result<T, Fault>,
    connection: &MultiplexedConnection,
    keys: &Keys,
) -> Result<T, Fault> {
    match result {
        Err(fault) if fault == answer::other_type() => {
            Err(look(connection, keys).await.err().unwrap_or(fault))
        }
        result => result,
    }
}

/// Whether all keys of the pipeline that are there, and those of its next run, are of the types that it gives them.
pub(super) async fn look(connection: &MultiplexedConnection, keys: &Keys) -> Result<(), Fault> {
    let runs: BTreeSet<u64> = known(connection, redis::cmd("SMEMBERS").arg(keys.runs())).await;
    let latest: Option<u64> = known(connection, redis::cmd("HGET").arg(keys.pipeline()).arg("run")).await;
    let next = latest.unwrap_or(0) + 1;
    let of_runs = runs.into_iter().chain([next]).flat_map(|run| keys.run(run).types());
    let expected: Vec<(String, &str)> = keys.types().into_iter().chain(of_runs).collect();
    let mut pipe = redis::pipe();
    for (key, _) in &expected {
        pipe.cmd("TYPE").arg(key);
    }
    let found: Result<Vec<String>, _> = pipe.query_async(&mut connection.clone()).await;
    let found = match found.map_err(|error| answer::fault(&error)) {
        // A user without the right to look hears of a key once it is met.
        Err(Fault::Denied(_) | Fault::Unfit(_)) => return Ok(()),
        found => found?,
    };
    let other =
        expected.iter().zip(found).find(|((_, expected), found)| found != "none" && found != expected);
    other.map_or(Ok(()), |((key, expected), found)| {
        Err(Fault::Fatal(format!(
            "something else has written the key {key}: it is a {found}, where this pipeline has a {expected}; rename it, or give \
             the pipeline another `prefix`"
        )))
    })
}

/// What it answers, unless the key is the one of another type.
async fn known<T: FromRedisValue + Default>(connection: &MultiplexedConnection, command: &Cmd) -> T {
    command.query_async(&mut connection.clone()).await.unwrap_or_default()
}
