//! Random scribbles over the queue's memory while it is used: never a crash, a hang, or an access out of bounds.

#[path = "queue_hostile/abuse.rs"]
mod abuse;

use proptest::prelude::*;

#[test]
fn writes_reach_the_queues() {
    assert_eq!(abuse::scribble_on_tail(), 5);
}

/// Found by the fuzzer: a writer's sum of what waits and what it puts overflowed, under the lock.
#[test]
fn a_count_near_the_largest_number_is_no_overflow() {
    abuse::abuse(&[0x0a, 0x00, 0xdc, 0xf5, 0xff, 0x09, 0x20, 0xda, 0x00, 0x04, 0x80]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_in_memory_is_a_fault_or_garbage_data_and_nothing_worse(
        bytes in prop::collection::vec(any::<u8>(), 0..1500)
    ) {
        abuse::abuse(&bytes);
    }
}
