//! STUB for the stage branch only: the config builder's file replaces it.
pub mod pipeline;
