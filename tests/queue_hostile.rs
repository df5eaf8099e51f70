//! Random scribbles over the queue's memory while it is used: never a crash, a hang, or an access out of bounds.

#[path = "queue_hostile/abuse.rs"]
mod abuse;

use proptest::prelude::*;

#[test]
fn writes_reach_the_queues() {
    assert_eq!(abuse::scribble_on_tail(), 5);
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
