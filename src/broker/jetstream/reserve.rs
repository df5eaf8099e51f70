//! A part of the store that is given back when the rest is full: items can be taken and ended then, and what they leave be deleted, though
//! each of these needs room in the log first. It lies in a stream of its own. How large it is to be `state/room.rs` says.
//!
//! | killed | what is left |
//! |---|---|
//! | after a part was given back, before the state knows that room is short | a smaller reserve; the next snapshot fills it up |
//! | while it is filled up | the same |
//! | while it is made larger, before what is too much is given back | a larger reserve; the next snapshot where the store is full gives it back |

use super::api::{Api, Refusal};
use super::names::Names;
use super::state::Request;
use super::wire::{self, RequestId};
use async_nats::HeaderMap;
use bytes::Bytes;
use serde_json::{Value, json};

/// Bytes of one of its messages.
const BLOCK: usize = 64 << 10;
/// Bytes of a message beside what is in it, at most.
const HEAD: u64 = 256;
/// Bytes that are to be free beside it, so that not the next request needs it.
const MARGIN: u64 = 4 * BLOCK as u64;

/// Blocks of it, and the place of the last message of its stream.
async fn count(api: &Api, names: &Names) -> Result<(u64, u64), Refusal> {
    let info = api.info(&names.reserve_stream()).await?;
    let number = |path| info.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    Ok((number("/state/messages"), number("/state/last_seq")))
}

/// Bytes of it.
pub(super) async fn len(api: &Api, names: &Names) -> Result<u64, Refusal> {
    match count(api, names).await {
        Ok((blocks, _)) => Ok(blocks * block_len(api) as u64),
        Err(Refusal::NoStream) => Ok(0),
        Err(refusal) => Err(refusal),
    }
}

fn block_len(api: &Api) -> usize {
    BLOCK.min(api.0.server_info().max_payload)
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

/// Makes it that large, with some room beside it. False: there is none; then it is at most that large.
pub(super) async fn make_len(api: &Api, names: &Names, replicas: usize, len: u64) -> Result<bool, Refusal> {
    match count(api, names).await {
        Ok(_) => {}
        Err(Refusal::NoStream) => match make(api, names, replicas).await {
            Err(Refusal::Full(_)) => return Ok(false),
            made => made?,
        },
        Err(refusal) => return Err(refusal),
    }
    let is_there = fill(api, names, len + MARGIN).await?;
    keep(api, names, len).await?;
    Ok(is_there)
}

/// Two machines that fill it at once fill it once: each block is to follow the one that was last.
async fn fill(api: &Api, names: &Names, len: u64) -> Result<bool, Refusal> {
    let block = Bytes::from(vec![0; block_len(api)]);
    let blocks = len.div_ceil(block.len() as u64);
    loop {
        let (there, mut last) = count(api, names).await?;
        if there >= blocks {
            return Ok(true);
        }
        for _ in there..blocks {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Expected-Last-Sequence", last.to_string().as_str());
            match api.append(names.reserve(), Some(headers), block.clone()).await {
                Ok(place) => last = place,
                Err(Refusal::Late) => break,
                Err(Refusal::Full(_)) => return Ok(false),
                Err(refusal) => return Err(refusal),
            }
        }
    }
}

/// Gives back what is more than that.
pub(super) async fn keep(api: &Api, names: &Names, len: u64) -> Result<(), Refusal> {
    let what = match len.div_ceil(block_len(api) as u64) {
        0 => json!({}),
        blocks => json!({ "keep": blocks }),
    };
    api.call(&format!("STREAM.PURGE.{}", names.reserve_stream()), &what).await.map(drop)
}

/// Gives as much of it back as a message of that length needs, down to `least` bytes. False: no more is left.
pub(super) async fn give_back(api: &Api, names: &Names, len: usize, least: u64) -> Result<bool, Refusal> {
    let block = block_len(api) as u64;
    let there = match count(api, names).await {
        Err(Refusal::NoStream) => return Ok(false),
        there => there?.0,
    };
    if there * block <= least {
        return Ok(false);
    }
    let given = (len as u64 + HEAD).div_ceil(block);
    keep(api, names, there.saturating_sub(given) * block).await.map(|()| true)
}

/// Where the store is full the reserve makes room for it.
pub(super) async fn append(
    api: &Api,
    names: &Names,
    subject: String,
    headers: Option<HeaderMap>,
    bytes: Vec<u8>,
) -> Result<u64, Refusal> {
    let bytes = Bytes::from(bytes);
    loop {
        match api.append(subject.clone(), headers.clone(), bytes.clone()).await {
            Err(Refusal::Full(why)) if !give_back(api, names, bytes.len(), 0).await? => {
                return Err(Refusal::Full(why));
            }
            Err(Refusal::Full(_)) => {}
            place => return place,
        }
    }
}

/// Appends a request without waiting for the answer of the state.
pub(super) async fn tell(api: &Api, names: &Names, request: &Request) -> Result<(), Refusal> {
    append_request(api, names, request).await.map(drop)
}

/// The same; its place in the log.
pub(super) async fn append_request(api: &Api, names: &Names, request: &Request) -> Result<u64, Refusal> {
    let message = wire::message(0, RequestId { connection: 0, number: 0 }, request, &[]);
    append(api, names, names.requests(), None, message).await
}
