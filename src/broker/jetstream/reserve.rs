//! A part of the store that is given back when the rest is full: items can be taken and ended then, and what they leave be deleted, though
//! each of these needs room in the log first. It lies in a stream of its own, and has room for two snapshots.
//!
//! | killed | what is left |
//! |---|---|
//! | after a part was given back, before the state knows that room is short | a smaller reserve; the next snapshot fills it up |
//! | while it is filled up | the same |

use super::api::{Api, Refusal};
use super::names::Names;
use bytes::Bytes;
use serde_json::{Value, json};

/// Bytes of one of its messages.
const BLOCK: usize = 64 << 10;
/// Blocks for the requests of a while.
const LEAST: u64 = 16;
/// Blocks that are given back at once.
const GIVEN: u64 = 4;

/// How many blocks there should be, beside a snapshot of that length.
pub(super) fn blocks(snapshot_len: u64) -> u64 {
    LEAST + 2 * snapshot_len.div_ceil(BLOCK as u64)
}

async fn count(api: &Api, names: &Names) -> Result<u64, Refusal> {
    let info = api.info(&names.reserve_stream()).await?;
    Ok(info.pointer("/state/messages").and_then(Value::as_u64).unwrap_or(0))
}

async fn make(api: &Api, names: &Names, replicas: usize) -> Result<(), Refusal> {
    let stream = names.reserve_stream();
    let config = json!({
        "name": stream,
        "description": "room for a server whose store is full (mprun)",
        "subjects": [names.reserve()],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": replicas,
    });
    match api.call(&format!("STREAM.CREATE.{stream}"), &config).await {
        Ok(_) | Err(Refusal::Exists) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Makes it that large. False: there is no room for it.
pub(super) async fn fill(api: &Api, names: &Names, replicas: usize, blocks: u64) -> Result<bool, Refusal> {
    let there = match count(api, names).await {
        Ok(there) => there,
        Err(Refusal::NoStream) => match make(api, names, replicas).await {
            Ok(()) => 0,
            Err(Refusal::Full(_)) => return Ok(false),
            Err(refusal) => return Err(refusal),
        },
        Err(refusal) => return Err(refusal),
    };
    let len = BLOCK.min(api.0.server_info().max_payload);
    let block = Bytes::from(vec![0; len]);
    for _ in there..blocks {
        match api.append(names.reserve(), None, block.clone()).await {
            Ok(_) => {}
            Err(Refusal::Full(_)) => return Ok(false),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(true)
}

/// Gives a part of it back. False: nothing is left.
pub(super) async fn give_back(api: &Api, names: &Names) -> Result<bool, Refusal> {
    let there = match count(api, names).await {
        Ok(0) | Err(Refusal::NoStream) => return Ok(false),
        there => there?,
    };
    let stream = names.reserve_stream();
    let what = match there.saturating_sub(GIVEN) {
        0 => json!({}),
        keep => json!({ "keep": keep }),
    };
    api.call(&format!("STREAM.PURGE.{stream}"), &what).await.map(|_| true)
}
