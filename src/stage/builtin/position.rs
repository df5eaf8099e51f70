//! Positions as bytes, for the memory of a stage.

use crate::framing::{Overlong, Skip};
use crate::stage::Failure;

/// The position of a source that only counts its steps.
pub(super) fn save_number(number: u64, state: &mut Vec<u8>) {
    state.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn restore_number(state: &[u8]) -> Result<u64, Failure> {
    let bytes = state.try_into().map_err(|_| damaged())?;
    Ok(u64::from_le_bytes(bytes))
}

/// Takes a number from the front of a longer position.
pub(super) fn take_number(state: &mut &[u8]) -> Result<u64, Failure> {
    let (bytes, rest) = state.split_first_chunk().ok_or_else(damaged)?;
    *state = rest;
    Ok(u64::from_le_bytes(*bytes))
}

/// A byte string with its length before it.
pub(super) fn save_bytes(bytes: &[u8], state: &mut Vec<u8>) {
    save_number(bytes.len() as u64, state);
    state.extend_from_slice(bytes);
}

pub(super) fn take_bytes<'a>(state: &mut &'a [u8]) -> Result<&'a [u8], Failure> {
    let len = usize::try_from(take_number(state)?).map_err(|_| damaged())?;
    let (bytes, rest) = state.split_at_checked(len).ok_or_else(damaged)?;
    *state = rest;
    Ok(bytes)
}

/// How far the skipping of an item is; nothing if none is skipped.
pub(super) fn save_skip(skip: Option<&Skip>, state: &mut Vec<u8>) {
    let Some(Skip { item: Overlong { start, length, head }, left }) = skip else {
        return save_number(0, state);
    };
    save_number(1, state);
    // The left bytes of a frame are never none: it would be over.
    [*start, *length, left.unwrap_or(0)].into_iter().for_each(|number| save_number(number, state));
    save_bytes(head, state);
}

/// A position that ends here has none: so it was before an item could be skipped.
pub(super) fn take_skip(state: &mut &[u8]) -> Result<Option<Skip>, Failure> {
    if state.is_empty() || take_number(state)? == 0 {
        return Ok(None);
    }
    let (start, length) = (take_number(state)?, take_number(state)?);
    let left = Some(take_number(state)?).filter(|left| *left > 0);
    Ok(Some(Skip { item: Overlong { start, length, head: take_bytes(state)?.to_vec() }, left }))
}

pub(super) fn damaged() -> Failure {
    Failure::fatal(
        "the saved position is damaged, or of another version of mprun: remove the durable queues to start anew",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let mut state = Vec::new();
        save_number(u64::MAX, &mut state);
        save_bytes(b"some/path", &mut state);
        let mut rest = &state[..];
        assert_eq!(take_number(&mut rest).unwrap(), u64::MAX);
        assert_eq!(take_bytes(&mut rest).unwrap(), b"some/path");
        for left in [None, Some(3)] {
            let skip = Skip { item: Overlong { start: 1, length: 2, head: b"xy".to_vec() }, left };
            state.clear();
            save_skip(Some(&skip), &mut state);
            save_skip(None, &mut state);
            rest = &state;
            assert_eq!(take_skip(&mut rest).unwrap(), Some(skip));
            assert_eq!(take_skip(&mut rest).unwrap(), None);
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn garbage_is_refused() {
        assert!(restore_number(b"short").is_err());
        assert!(take_bytes(&mut &u64::MAX.to_le_bytes()[..]).is_err());
    }
}
