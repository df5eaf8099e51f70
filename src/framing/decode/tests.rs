use super::skip::MAX_HEAD_BYTES;
use super::*;
use crate::framing::{NotEncodable, encode};

const ALL: [Framing; 4] = Framing::ALL;

fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BadFrame> {
    decoder.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
    decoder.filled(bytes.len());
    let mut seen = Vec::new();
    while let Some(item) = decoder.next()? {
        seen.push(item.to_vec());
    }
    Ok(seen)
}

#[test]
fn items_are_the_same_however_they_come() {
    let items: [&[u8]; 6] = [b"one", b"", b"two\r", b"\xff\xfe", &[b'x'; 300], b"12:,"];
    for framing in ALL {
        let mut bytes = Vec::new();
        items.iter().for_each(|item| encode(framing, item, &mut bytes).unwrap());
        for size in (1..bytes.len()).step_by(3) {
            let mut decoder = Decoder::new(framing, 300);
            let seen: Vec<Vec<u8>> =
                bytes.chunks(size).flat_map(|piece| feed(&mut decoder, piece).unwrap()).collect();
            assert_eq!(seen, items, "{framing:?} in pieces of {size}");
            assert_eq!((decoder.pending(), decoder.last()), (0, Ok(None)));
        }
    }
}

#[test]
fn an_item_that_holds_its_own_end_is_refused() {
    let mut bytes = Vec::new();
    assert_eq!(encode(Framing::Lines, b"a\nb", &mut bytes), Err(NotEncodable::Holds(Framing::Lines)));
    assert_eq!(encode(Framing::Nul, b"a\0b", &mut bytes), Err(NotEncodable::Holds(Framing::Nul)));
    assert_eq!(bytes, b"");
    encode(Framing::Netstring, b"a\nb\0", &mut bytes).unwrap();
    assert_eq!(bytes, b"4:a\nb\0,");
}

#[test]
fn a_last_line_needs_no_end_but_a_cut_frame_is_an_error() {
    for (framing, bytes, last) in [
        (Framing::Lines, &b"a\nrest"[..], Ok(Some(&b"rest"[..]))),
        (Framing::Nul, b"a\0rest", Ok(Some(b"rest"))),
        (Framing::Netstring, b"1:a,4:res", Err(BadFrame::Truncated(Framing::Netstring))),
        (Framing::Netstring, b"1:a,4", Err(BadFrame::Truncated(Framing::Netstring))),
        (Framing::U32be, b"\0\0\0\x01a\0\0", Err(BadFrame::Truncated(Framing::U32be))),
    ] {
        let mut decoder = Decoder::new(framing, 100);
        assert_eq!(feed(&mut decoder, bytes).unwrap(), [b"a"]);
        assert_eq!(decoder.last(), last);
    }
}

#[test]
fn an_item_that_is_too_long_is_noticed_before_it_is_read() {
    let too_long = |framing, bytes: &[u8]| feed(&mut Decoder::new(framing, 10), bytes).unwrap_err();
    assert_eq!(too_long(Framing::Lines, &[b'x'; 11]), BadFrame::TooLong { least: 11, most: 10 });
    assert_eq!(too_long(Framing::Lines, b"xxxxxxxxxxx\n"), BadFrame::TooLong { least: 11, most: 10 });
    assert_eq!(
        too_long(Framing::Netstring, b"4000000000:"),
        BadFrame::TooLong { least: 4_000_000_000, most: 10 }
    );
    assert_eq!(too_long(Framing::U32be, &[0, 0, 0, 11]), BadFrame::TooLong { least: 11, most: 10 });
    assert_eq!(feed(&mut Decoder::new(Framing::Lines, 10), b"xxxxxxxxxx\n").unwrap(), [b"xxxxxxxxxx"]);
}

/// All items, and what was skipped between them, in their order.
fn skipping(decoder: &mut Decoder, bytes: &[u8], is_over: bool, seen: &mut Vec<String>) {
    decoder.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
    decoder.filled(bytes.len());
    loop {
        match decoder.next() {
            Ok(Some(item)) => seen.push(String::from_utf8(item.to_vec()).unwrap()),
            Ok(None) => return,
            Err(BadFrame::TooLong { .. }) => {
                decoder.begin_skip().unwrap();
                let Some(long) = decoder.skip(is_over).unwrap() else { return };
                let head = String::from_utf8(long.head).unwrap();
                seen.push(format!("{} bytes at {}: {head}", long.length, long.start));
            }
            Err(bad) => panic!("{bad}"),
        }
    }
}

#[test]
fn an_item_that_is_too_long_is_skipped_wherever_its_pieces_end_and_whoever_goes_on() {
    let long = "0123456789abc";
    for framing in ALL {
        let mut bytes = Vec::new();
        for item in ["one", long, "", long, "two"] {
            encode(framing, item.as_bytes(), &mut bytes).unwrap();
        }
        let mut whole = Vec::new();
        skipping(&mut Decoder::new(framing, 10), &bytes, false, &mut whole);
        assert_eq!((&*whole[0], &*whole[2], &*whole[4]), ("one", "", "two"), "{framing:?}");
        let mut start = Vec::new();
        encode(framing, b"one", &mut start).unwrap();
        assert_eq!(whole[1], format!("13 bytes at {}: {long}", start.len()));
        for size in 1..bytes.len() {
            let (mut decoder, mut seen) = (Decoder::new(framing, 10), Vec::new());
            for piece in bytes.chunks(size) {
                // Another process continues from the position each time.
                let rest = decoder.rest().to_vec();
                let skip = decoder.skipping().cloned();
                decoder = Decoder::resume(framing, 10, decoder.position(), skip);
                skipping(&mut decoder, &[&rest, piece].concat(), false, &mut seen);
            }
            assert_eq!(seen, whole, "{framing:?} in pieces of {size}");
            assert_eq!(decoder.position(), bytes.len() as u64);
        }
    }
}

#[test]
fn an_item_of_any_length_is_skipped_in_little_memory() {
    for (framing, head) in [(Framing::Lines, &b""[..]), (Framing::Netstring, b"1000000000:")] {
        let mut decoder = Decoder::new(framing, 1 << 20);
        let mut seen = Vec::new();
        skipping(&mut decoder, head, false, &mut seen);
        for _ in 0..1000 {
            skipping(&mut decoder, &[b'x'; 1_000_000], false, &mut seen);
        }
        skipping(&mut decoder, if framing == Framing::Lines { b"\n" } else { b"," }, false, &mut seen);
        assert_eq!(seen, [format!("1000000000 bytes at 0: {}", "x".repeat(MAX_HEAD_BYTES))]);
        assert!(decoder.buffer.len() < 8 << 20, "{}", decoder.buffer.len());
    }
}

#[test]
fn the_end_ends_a_line_that_is_skipped_but_cuts_a_frame() {
    for (framing, bytes, ok) in [
        (Framing::Lines, &b"0123456789abc"[..], true),
        (Framing::Nul, b"0123456789abc", true),
        (Framing::Netstring, b"13:0123456789abc", false),
        (Framing::U32be, b"\0\0\0\x0d0123456789ab", false),
    ] {
        let (mut decoder, mut seen) = (Decoder::new(framing, 10), Vec::new());
        skipping(&mut decoder, bytes, false, &mut seen);
        assert!(seen.is_empty() && decoder.skipping().is_some());
        match decoder.skip(true) {
            Ok(Some(long)) => assert!(ok && long.length == 13, "{framing:?}"),
            Err(bad) => assert!(!ok && bad == BadFrame::Truncated(framing)),
            Ok(None) => panic!("{framing:?}"),
        }
    }
    let mut decoder = Decoder::new(Framing::Netstring, 10);
    let mut seen = Vec::new();
    skipping(&mut decoder, b"13:0123456789abc", false, &mut seen);
    decoder.room(1)[0] = b'x';
    decoder.filled(1);
    assert_eq!(decoder.skip(false), Err(BadFrame::Malformed(Framing::Netstring)));
}

#[test]
fn what_is_no_netstring_is_an_error() {
    for bytes in [&b"x"[..], b":", b"3x", b"03:abc,", b"3:abcd", b"12345678901:"] {
        let error = feed(&mut Decoder::new(Framing::Netstring, 100), bytes).unwrap_err();
        assert_eq!(error, BadFrame::Malformed(Framing::Netstring), "{bytes:?}");
    }
    assert_eq!(feed(&mut Decoder::new(Framing::Netstring, 100), b"0:,").unwrap(), [b""]);
}

#[test]
fn a_long_item_in_small_pieces_is_moved_a_few_times_only() {
    for framing in ALL {
        let item = vec![b'x'; 8 << 20];
        let mut bytes = Vec::new();
        encode(framing, &item, &mut bytes).unwrap();
        let start = std::time::Instant::now();
        let mut decoder = Decoder::new(framing, 16 << 20);
        let seen: usize = bytes.chunks(512).map(|piece| feed(&mut decoder, piece).unwrap().len()).sum();
        assert_eq!(seen, 1);
        // Looking at each byte again with every piece would be 64 GiB of looking.
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{framing:?}: {:?}", start.elapsed());
        decoder.shrink(1 << 16);
        assert!(decoder.buffer.is_empty());
    }
}
