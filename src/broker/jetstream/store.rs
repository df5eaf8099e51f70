//! Keeps the reserve as large as the state needs it (`state/room.rs`), in a store whose size no server tells.

use super::api::{Api, Refusal};
use super::names::Names;
use super::replica::{Inner, Replica};
use super::reserve::{self, append_request, tell};
use super::server::Settings;
use super::state::{REQUESTS, Request, Reserved, SHARE};
use crate::broker::{Fault, Layout};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a new pipeline reserves: the most that there is room for.
const FIRST: [u64; 5] = [1 << 20, 1 << 19, 1 << 18, 1 << 17, LEAST];
const LEAST: u64 = 1 << 16;
/// A store that had no room for a larger reserve has some, perhaps, after that time.
const GROWS_AGAIN: Duration = Duration::from_secs(10);

/// Bytes of the store that a pipeline with that number of queues needs at least: the smallest reserve, and half as much for items.
fn least(queues: usize) -> u64 {
    let reserved = Reserved { weight: LEAST, share: SHARE };
    reserved.bytes(queues, 0) * 3 / 2 + (512 << 10)
}

async fn replicas(api: &Api, names: &Names) -> Result<usize, Refusal> {
    let info = api.info(&names.stream).await?;
    Settings::of(&info).map(|settings| settings.num_replicas).map_err(Refusal::Fault)
}

/// The reserve of a stream that has none yet.
pub(super) async fn begin(api: &Api, names: &Names, layout: &Layout) -> Result<(), Fault> {
    let make = async |weight: u64| {
        let reserved = Reserved { weight, share: SHARE };
        let replicas = replicas(api, names).await?;
        let len = reserved.bytes(layout.queues.len(), 0);
        // What is half as large again is for items.
        if !reserve::make_len(api, names, replicas, len + len / 2).await? {
            return Ok(false);
        }
        reserve::keep(api, names, len).await?;
        tell(api, names, &Request::Reserved(reserved)).await.map(|()| true)
    };
    for weight in FIRST {
        if make(weight).await.map_err(Refusal::fault)? {
            return Ok(());
        }
    }
    reserve::keep(api, names, 0).await.map_err(Refusal::fault)?;
    let needed = least(layout.queues.len()).div_ceil(1 << 20);
    Err(Fault::Fatal(format!(
        "the server's store has no room for this pipeline: {needed} MiB are the least (`max_file_store` of the server, or of the account)"
    )))
}

/// Bytes of the reserve that only ends of items and snapshots may use.
pub(super) fn kept(inner: &Inner) -> u64 {
    REQUESTS / 4 + 2 * inner.snapshot_len
}

/// Bytes of the reserve that only a snapshot may use: without one nothing can be deleted.
pub(super) fn for_snapshots(inner: &Inner) -> u64 {
    (128 << 10) + inner.snapshot_len.max(inner.state.weight())
}

/// What there should be now, and its bytes.
fn due(inner: &Inner) -> (Reserved, u64) {
    let (weight, reserved) = (inner.state.weight(), inner.state.reserved);
    let reserved = match inner.state.is_short {
        // The rest is for items.
        true => Reserved { weight: reserved.weight.min(weight + weight / 2).max(LEAST), ..reserved },
        false => reserved,
    };
    (reserved, bytes(inner, reserved))
}

fn bytes(inner: &Inner, reserved: Reserved) -> u64 {
    reserved.bytes(inner.state.queues(), inner.overhead)
}

/// Fills the reserve up after a snapshot. Where it is whole queues may grow again, where it can't be they wait.
pub(super) async fn fill(api: &Api, names: &Names, replica: &Replica) -> Result<(), Refusal> {
    let ((reserved, len), is_short) = {
        let inner = replica.lock();
        (due(&inner), inner.state.is_short)
    };
    match reserve::make_len(api, names, replicas(api, names).await?, len).await? {
        true if is_short => tell(api, names, &Request::Reserved(reserved)).await,
        false if !is_short => tell(api, names, &Request::Short).await,
        _ => Ok(()),
    }
}

fn may_grow(inner: &Inner) -> bool {
    !inner.state.is_short && inner.grows_again_at.is_none_or(|at| at <= Instant::now())
}

/// What the reserve is to be made for, if the state is to grow by that weight, or by a commit of that length.
pub(super) fn lacks(inner: &Inner, weight: u64, longest: u64) -> Option<Reserved> {
    let (weight, reserved) = (inner.state.weight() + weight, inner.state.reserved);
    let larger = |wanted: u64, there: u64| if wanted > there { wanted.next_power_of_two() } else { there };
    let lacks = Reserved { weight: larger(weight, reserved.weight), share: larger(longest, reserved.share) };
    (may_grow(inner) && lacks != reserved).then_some(lacks)
}

/// Makes the reserve larger before that is needed.
pub(super) fn grow_if_due(api: &Api, names: &Names, replica: &Arc<Replica>) {
    let mut inner = replica.lock();
    let Reserved { weight, share } = inner.state.reserved;
    if inner.is_growing || !may_grow(&inner) || inner.state.weight() <= weight / 2 {
        return;
    }
    inner.is_growing = true;
    drop(inner);
    let (api, names, replica) = (api.clone(), names.clone(), Arc::clone(replica));
    tokio::spawn(async move {
        // A connection that breaks is seen by those who wait for it.
        let _ = grow(&api, &names, &replica, Reserved { weight: weight * 2, share }).await;
        replica.lock().is_growing = false;
    });
}

/// Where there is no room for it, what room there is stays for items.
pub(super) async fn grow(
    api: &Api,
    names: &Names,
    replica: &Replica,
    larger: Reserved,
) -> Result<(), Refusal> {
    let (before, len) = {
        let inner = replica.lock();
        (bytes(&inner, inner.state.reserved), bytes(&inner, larger))
    };
    if reserve::make_len(api, names, replicas(api, names).await?, len).await? {
        let place = append_request(api, names, &Request::Reserved(larger)).await?;
        return replica.reach(place).await.map_err(Refusal::Fault);
    }
    replica.lock().grows_again_at = Some(Instant::now() + GROWS_AGAIN);
    reserve::keep(api, names, before).await
}
