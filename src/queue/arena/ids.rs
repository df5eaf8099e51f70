//! Numbers by which the supervisor names queues and workers.

/// A queue of an arena, `0 .. MAX_QUEUES`. The supervisor owns which is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct QueueId(pub u16);

/// A worker's place in an arena, `0 .. MAX_SLOTS`. The supervisor owns which is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct SlotId(pub u16);

/// A stage of an arena, `0 .. MAX_STAGES`. The supervisor owns which is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StageId(pub u16);
