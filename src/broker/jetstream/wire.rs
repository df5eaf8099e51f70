//! A request as messages of the log. One that is longer than the server takes in a message goes in parts, and counts with the last.
//!
//! A message: the format, its kind; then, of a request's last message, how many parts stand before it, their length and their places in
//! the log; then the bytes. What all parts hold together: the connection, the request's number there, the request, its data.

use super::state::{Request, Source};
use crate::broker::Fault;
use bytes::Bytes;

/// Counts changes of the messages, and of what the state makes of them: machines that differ in it can't share a log.
pub(super) const FORMAT: u8 = 4;
const LAST: u8 = 0;
const PART: u8 = 1;
const PART_HEAD: usize = 2;

/// A request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId {
    /// A random number.
    pub connection: u64,
    pub number: u64,
}

/// A request as one message.
pub(super) fn message(part_len: usize, id: RequestId, request: &Request, data: &[u8]) -> Vec<u8> {
    let request = postcard::to_allocvec(request).unwrap_or_default(); // it fails for types only that this one has none of
    let mut message = Vec::with_capacity(last_head(0) + 20 + request.len() + data.len());
    put_head(&mut message, &[], part_len);
    message.extend(id.connection.to_le_bytes());
    message.extend(id.number.to_le_bytes());
    message.extend((request.len() as u32).to_le_bytes());
    message.extend_from_slice(&request);
    message.extend_from_slice(data);
    message
}

/// What the parts of a request hold together, out of [`message`].
pub(super) fn of_message(message: &[u8]) -> &[u8] {
    &message[last_head(0)..]
}

/// The bytes that a part has room for.
pub(super) fn part_len(max_payload: usize) -> usize {
    max_payload.saturating_sub(PART_HEAD).max(1)
}

/// Bytes before the last ones, for that number of parts.
fn last_head(parts: usize) -> usize {
    PART_HEAD + 8 + 8 * parts
}

/// What goes in parts, and what goes in the last message.
pub(super) fn split(whole: &[u8], max_payload: usize) -> (Vec<&[u8]>, &[u8]) {
    if whole.len() + last_head(0) <= max_payload {
        return (Vec::new(), whole);
    }
    let (len, mut parts, mut rest) = (part_len(max_payload), Vec::new(), whole);
    while rest.len() + last_head(parts.len()) > max_payload && !rest.is_empty() {
        let (part, behind) = rest.split_at(len.min(rest.len()));
        parts.push(part);
        rest = behind;
    }
    (parts, rest)
}

pub(super) fn part(bytes: &[u8]) -> Vec<u8> {
    [&[FORMAT, PART], bytes].concat()
}

pub(super) fn last(parts: &[u64], part_len: usize, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(last_head(parts.len()) + bytes.len());
    put_head(&mut message, parts, part_len);
    message.extend_from_slice(bytes);
    message
}

fn put_head(to: &mut Vec<u8>, parts: &[u64], part_len: usize) {
    to.extend([FORMAT, LAST]);
    to.extend((parts.len() as u32).to_le_bytes());
    to.extend((part_len as u32).to_le_bytes());
    parts.iter().for_each(|part| to.extend(part.to_le_bytes()));
}

/// A message of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    Part(Bytes),
    Last { parts: Vec<u64>, part_len: u32, bytes: Bytes },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Another version of mprun has written it.
    Format(u8),
    /// Nothing of mprun's.
    Garbled,
}

pub(super) fn other_version(format: u8) -> Fault {
    Fault::Fatal(format!(
        "the broker holds messages of another version of mprun (format {format}, this one writes {}): use one version on all machines, \
         or begin anew after `mprun shared drop`",
        FORMAT
    ))
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(Unreadable::Garbled)?;
    *bytes = rest;
    Ok(*taken)
}

pub(super) fn read(message: &Bytes) -> Result<Framed, Unreadable> {
    let mut rest: &[u8] = message;
    match array(&mut rest)? {
        [FORMAT, PART] => Ok(Framed::Part(message.slice_ref(rest))),
        [FORMAT, LAST] => {
            let count = u32::from_le_bytes(array(&mut rest)?);
            let part_len = u32::from_le_bytes(array(&mut rest)?);
            let parts = (0..count).map(|_| array(&mut rest).map(u64::from_le_bytes));
            let parts = parts.collect::<Result<Vec<u64>, _>>()?;
            Ok(Framed::Last { parts, part_len, bytes: message.slice_ref(rest) })
        }
        [FORMAT, _] => Err(Unreadable::Garbled),
        [format, _] => Err(Unreadable::Format(format)),
    }
}

/// A request that was put together again.
pub(super) struct Decoded {
    pub id: RequestId,
    pub request: Request,
    /// Where its data begin.
    base: u32,
    has_data: bool,
}

impl Decoded {
    /// The request in the message at this place of the log, which has those parts.
    pub(super) fn source<'a>(&self, blob: u64, parts: &'a [u64], part_len: u32) -> Source<'a> {
        Source { blob, base: self.base, parts, part_len, has_data: self.has_data || !parts.is_empty() }
    }
}

pub(super) fn decode(whole: &[u8]) -> Result<Decoded, Unreadable> {
    let mut rest = whole;
    let connection = u64::from_le_bytes(array(&mut rest)?);
    let number = u64::from_le_bytes(array(&mut rest)?);
    let len = u32::from_le_bytes(array(&mut rest)?);
    let (request, data) = rest.split_at_checked(len as usize).ok_or(Unreadable::Garbled)?;
    let request = postcard::from_bytes(request).map_err(|_| Unreadable::Garbled)?;
    let base = u32::try_from(whole.len() - data.len()).map_err(|_| Unreadable::Garbled)?;
    Ok(Decoded { id: RequestId { connection, number }, request, base, has_data: !data.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::SharedQueue;
    use crate::broker::jetstream::state::{Action, Visit, Who};

    fn request() -> Request {
        let who = Who { machine: "m".into(), life: "1".into() };
        Request::Machine { run: 3, who, action: Action::Extend { queue: SharedQueue(1), leases: Vec::new() } }
    }

    /// What lies in a broker is read by the next version of mprun.
    #[test]
    fn the_bytes_are_those_of_the_golden_message() {
        let id = RequestId { connection: 0x0102, number: 5 };
        let message = message(3, id, &request(), b"data");
        let whole = of_message(&message);
        let golden: &[&[u8]] = &[
            &[2, 1, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0],
            &[1, 3, 1, b'm', 1, b'1', 1, 1, 0],
            b"data",
        ];
        assert_eq!(whole, golden.concat());
        assert_eq!(message, last(&[], 3, whole));
        assert_eq!(last(&[7], 3, b"xy"), [&[4, 0, 1, 0, 0, 0, 3, 0, 0, 0, 7][..], &[0; 7], b"xy"].concat());
        let decoded = decode(whole).ok().unwrap();
        assert_eq!((decoded.id, decoded.request), (id, request()));
        let source = decode(whole).ok().unwrap().source(9, &[], 0);
        assert_eq!((source.base as usize, source.has_data), (whole.len() - 4, true));
    }

    #[test]
    fn a_long_request_goes_in_parts_and_comes_together_again() {
        let visit =
            Visit::Discard { queue: SharedQueue(0), letters: vec![crate::broker::Sequence(1, 2); 40] };
        let id = RequestId { connection: 1, number: 2 };
        let message = message(0, id, &Request::Visitor { run: 1, visit }, &[7; 500]);
        let whole = of_message(&message);
        for max in [40, 64, 100, 300, 599, 10_000] {
            let (parts, rest) = split(whole, max);
            let sent: Vec<Vec<u8>> = parts.iter().map(|bytes| part(bytes)).collect();
            let places: Vec<u64> = (0..sent.len() as u64).collect();
            if parts.len() < 3 {
                assert!(last(&places, part_len(max), rest).len() <= max, "{max}");
            }
            assert!(sent.iter().all(|part| part.len() <= max), "{max}");
            let mut together = Vec::new();
            for message in &sent {
                let Ok(Framed::Part(bytes)) = read(&message.clone().into()) else { panic!("{max}") };
                together.extend_from_slice(&bytes);
            }
            let message = last(&places, part_len(max), rest).into();
            let Ok(Framed::Last { parts, bytes, .. }) = read(&message) else { panic!("{max}") };
            assert_eq!(parts, places);
            together.extend_from_slice(&bytes);
            assert_eq!(together, whole);
        }
    }

    #[test]
    fn another_format_and_what_is_no_message_are_told_apart() {
        let read = |bytes: &'static [u8]| read(&Bytes::from_static(bytes));
        assert_eq!(read(&[9, 0, 1]), Err(Unreadable::Format(9)));
        for bytes in [&b""[..], &[FORMAT], &[FORMAT, 7], &[FORMAT, 0, 255, 255, 255, 255]] {
            assert_eq!(read(bytes), Err(Unreadable::Garbled));
        }
        assert!(decode(b"no request at all").is_err());
    }
}
