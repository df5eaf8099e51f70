use super::head::*;
use super::parts::*;
use super::*;
use crate::queue::arena::place::WordAt;
use crate::queue::{QueueId, SlotId};

fn last_slot() -> SlotAt {
    SlotAt::of(SlotId(MAX_SLOTS as u16 - 1)).unwrap()
}

#[test]
fn the_parts_of_the_arena_follow_each_other() {
    let line = |words: &[WordAt]| words.windows(2).all(|pair| pair[0].offset() + 8 <= pair[1].offset());
    assert!(DECIDED.offset() + 64 <= TAKEOVERS.offset());
    assert!(line(&[TAKEOVERS, REDONE, STOPPED, OPENED, DURABILITY, OPENED_QUEUES, identity::BOOT[0]]));
    const { assert!(identity::END <= checkpoint::CHANGES.offset()) };
    const { assert!(checkpoint::SAVED_SEQUENCE.offset() + 4 <= TAP.offset()) };
    const { assert!(sample::END <= JOURNAL.offset() && JOURNAL.offset() + JOURNAL_SIZE <= CLASS_TABLE) };
    const { assert!(JOURNAL_MAX * 16 <= JOURNAL_SIZE && JOURNAL_MAX < 4096) };
    let last = QueueAt::of(QueueId(MAX_QUEUES as u16 - 1)).unwrap();
    assert!(last_slot().offset() + SLOT_SIZE <= RINGS);
    assert!(last.ring_slot(RING_MAX, (1 << RING_MAX) - 1).offset() + RING_SLOT <= RETURNED);
    assert!(last.returned(RETURNED_MAX).offset() <= DELAYED);
    assert!(last.due_cell(DELAYED_MAX).offset() <= STACKS);
    let (smallest, largest) = (Class::for_len(0), Class(CLASSES - 1));
    assert!(largest.cell(FreeStack::Cold, smallest.blocks()).offset() <= HEAP);
    assert!(largest.block(largest.blocks()).offset() <= SIZE);
}

#[cfg(not(miri))]
#[test]
fn the_arena_fits_into_a_file_of_ext4_and_an_address_space() {
    const { assert!(SIZE < 15 << 40, "ext4 with blocks of 4 KiB: 16 TiB") };
    const {
        assert!(
            (1_u64 << REGION_SHIFT) / (64 << 20) >= 1000,
            "a class serves a thousand queues of the default bounds"
        )
    };
}

#[test]
fn a_commit_word_names_a_journal_or_is_refused() {
    let last = last_slot().journal();
    for journal in [JOURNAL, SlotAt::of(SlotId(0)).unwrap().journal(), last] {
        let decided = journal.decided(JOURNAL_MAX);
        assert_eq!(JournalAt::of_decided(decided).unwrap(), (journal, JOURNAL_MAX));
        assert!(JournalAt::of_decided(decided + 1).is_err());
        assert!(JournalAt::of_decided(journal.decided(2) + 4096).is_err());
    }
    assert!(JournalAt::of_decided(2).is_err());
    assert!(JournalAt::of_decided(last.decided(2) + SLOT_SIZE as u64).is_err());
    assert!(JournalAt::of_decided(u64::MAX).is_err());
}

#[test]
fn rings_of_one_queue_do_not_overlap() {
    let queue = QueueAt::of(QueueId(3)).unwrap();
    for k in RING_MIN..RING_MAX {
        let area = queue.ring(k);
        assert!(area.start + area.bytes <= queue.ring(k + 1).start);
    }
}

#[test]
fn blocks_are_known_by_their_place() {
    for class in Class::all() {
        let last = class.block(class.blocks() - 1);
        assert_eq!(last.class().unwrap(), class);
        assert!(last.offset() + class.block_size() as usize <= SIZE);
    }
    let is_none = |word| BlockAt::named_by(word).class().is_err();
    assert!([0, HEAP as u64 + 1, SIZE as u64, u64::MAX].into_iter().all(is_none));
    assert_eq!([0, 64, 65, 1 << 30].map(|len| Class::for_len(len).index()), [0, 0, 1, 24]);
}
