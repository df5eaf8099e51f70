//! Queue memory with anything in it: `cargo +nightly fuzz run arena -- -max_len=2200`.
#![no_main]

#[path = "../../tests/queue_hostile/abuse.rs"]
mod abuse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| abuse::abuse(bytes));
