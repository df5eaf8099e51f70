//! Words of a stage.

use super::event::Event;
use super::parts::{MAX_STAGES, STAGE_SIZE, STAGES};
use crate::queue::StageId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::place::{Area, At, Field, WordAt};

/// What the workers of one stage share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {}
pub(crate) type StageAt = At<Stage>;

/// Items of the stage have failed since one was done. This and what follows, see `transaction/failing.rs`.
pub(crate) const TOUCHED: Field<Stage> = Field::new(0);
pub(crate) const EPOCH: Field<Stage> = Field::new(8);
pub(crate) const FIRST_EPOCH: Field<Stage> = Field::new(16);
pub(crate) const FAILED: Field<Stage> = Field::new(24);
pub(crate) const SINCE: Field<Stage> = Field::new(32);
pub(crate) const PROBER: Field<Stage> = Field::new(40);
pub(crate) const NEXT_PROBE: Field<Stage> = Field::new(48);
pub(crate) const PROBES: Field<Stage> = Field::new(56);
pub(crate) const FORGIVEN: [Field<Stage>; 4] =
    [Field::new(64), Field::new(72), Field::new(80), Field::new(88)];
/// Workers that may take no item sleep on this.
pub(crate) const MAY_TAKE: Field<Stage, Event> = Field::new(96);
/// The slot whose worker has seen the last failure, + 1: its words are in `slot::LAST_WORDS`.
pub(crate) const LAST_SLOT: Field<Stage> = Field::new(104);
/// See `rate.rs`.
pub(crate) const RATE: Field<Stage> = Field::new(128);

impl StageAt {
    pub(crate) fn of(id: StageId) -> Result<StageAt, Fault> {
        if (id.0 as usize) < MAX_STAGES {
            Ok(At::new(STAGES + id.0 as usize * STAGE_SIZE))
        } else {
            Err(Fault::damaged("a stage's number", 0_u64, id.0 as u64))
        }
    }

    /// Its number.
    pub(crate) fn number(self) -> u64 {
        ((self.offset() - STAGES) / STAGE_SIZE) as u64
    }

    /// The stage that a slot's word names.
    pub(crate) fn named_by(word: u64) -> Option<StageAt> {
        let number = u16::try_from(word.checked_sub(1)?).ok()?;
        StageAt::of(StageId(number)).ok()
    }

    /// All its words, and no others': where the file system can't reserve room it is filled with zeros.
    pub(crate) fn area(self) -> Area {
        Area { start: self.offset(), bytes: STAGE_SIZE }
    }

    pub(crate) fn words(self) -> impl Iterator<Item = WordAt> {
        (0..STAGE_SIZE / 8).map(move |i| At::new(self.offset() + i * 8))
    }
}
