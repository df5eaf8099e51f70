//! Built-in stages, in the worker's own process: one loop for those that take items, one for sinks
//! that hand them over to something outside, one for sources.

pub(crate) mod batch;
pub(crate) mod delivery_loop;
pub(crate) mod guard;
pub(crate) mod source_loop;
pub(crate) mod stage_loop;
pub(crate) mod time_limit;
pub(crate) mod token;
