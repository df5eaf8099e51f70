"""Decoders under random splits, and under garbage."""

from __future__ import annotations

import random
import time
import unittest

import parent

from mprun._contract import Framing
from mprun._framing import ProtocolError, decoder, encoder


def legal(framing: Framing, data: bytes) -> bytes:
    if framing is Framing.MPRUN:
        return b"\0\0\0\1" + data
    forbidden = {Framing.LINES: b"\n", Framing.NUL: b"\0"}.get(framing)
    return data.replace(forbidden, b"x") if forbidden else data


def random_items(dice: random.Random, framing: Framing) -> list[bytes]:
    items = []
    for _ in range(dice.randrange(40)):
        size = dice.choice([0, 1, 2, 9, 10, 11, 100, dice.randrange(3000)])
        # Few different bytes, so that separators, digits, colons and commas come up often.
        data = bytes(dice.choice(b"\0\n0019:,ab\xff") for _ in range(size))
        items.append(legal(framing, data))
    return items


def random_pieces(dice: random.Random, data: bytes) -> list[bytes]:
    most = dice.choice([1, 3, 5, 64, 4096])
    pieces = []
    while data:
        size = dice.randint(1, most)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def numbered_stream(items: list[bytes], begins_after: int) -> bytes:
    """Frames of which the first so many are without a number."""
    before = b"".join(parent.item(item[4:]) for item in items[:begins_after])
    after = [parent.numbered_item(number, item[4:]) for number, item in enumerate(items, 1)][begins_after:]
    return before + parent.BEGINS + b"".join(after)


class Numbers(unittest.TestCase):
    def test_wherever_the_numbers_begin_the_items_are_the_same(self) -> None:
        for seed in range(80):
            dice = random.Random(seed)
            items = random_items(dice, Framing.MPRUN)
            stream = numbered_stream(items, dice.randint(0, len(items)))
            for attempts in (True, False):
                with self.subTest(seed=seed, attempts=attempts):
                    decode = decoder(Framing.MPRUN, attempts, protocol=2)
                    got = [item for piece in random_pieces(dice, stream) for item in decode.feed(piece)]
                    self.assertEqual(got + decode.end(), items if attempts else [item[4:] for item in items])

    def test_an_item_that_is_missing_or_comes_twice_is_told(self) -> None:
        for numbers in ((1, 3), (1, 1), (2,), (1, 2, 4)):
            decode = decoder(Framing.MPRUN, protocol=2)
            stream = parent.BEGINS + b"".join(parent.numbered_item(number, b"x") for number in numbers)
            self.assertRaisesRegex(ProtocolError, "another process", decode.feed, stream)

    def test_numbers_that_were_not_asked_for_are_told(self) -> None:
        self.assertRaises(ProtocolError, decoder(Framing.MPRUN).feed, parent.BEGINS)
        self.assertRaises(ProtocolError, decoder(Framing.MPRUN, protocol=2).feed, b"\0\0\0\1\3")


class Framings(unittest.TestCase):
    def test_however_the_bytes_are_cut_the_items_are_the_same(self) -> None:
        for seed in range(80):
            dice = random.Random(seed)
            for framing in Framing:
                with self.subTest(seed=seed, framing=framing):
                    items = random_items(dice, framing)
                    stream = b"".join(map(encoder(framing), items))
                    decode = decoder(framing, attempts=True)
                    got = [item for piece in random_pieces(dice, stream) for item in decode.feed(piece)]
                    self.assertEqual(got + decode.end(), items)

    def test_items_come_as_soon_as_they_are_complete(self) -> None:
        for framing in Framing:
            with self.subTest(framing=framing):
                decode = decoder(framing, attempts=True)
                for data in [legal(framing, data) for data in (b"a", b"", b"bc")]:
                    frame = encoder(framing)(data)
                    self.assertEqual(decode.feed(frame[:-1]) if len(frame) > 1 else [], [])
                    self.assertEqual(decode.feed(frame[-1:]), [data])

    def test_random_bytes_never_do_worse_than_a_protocol_error(self) -> None:
        for seed in range(1000):
            dice = random.Random(seed)
            decode = decoder(dice.choice(list(Framing)))
            noise = bytes(dice.choice(b"\0\0\0\1\n0129:,xyz") for _ in range(dice.randrange(200)))
            try:
                for piece in random_pieces(dice, noise):
                    decode.feed(piece)
                decode.end()
            except ProtocolError:
                pass

    def test_a_last_line_without_a_line_break_is_an_item(self) -> None:
        decode = decoder(Framing.LINES)
        self.assertEqual(decode.feed(b"a\nb"), [b"a"])
        self.assertEqual(decode.end(), [b"b"])

    def test_an_input_that_ends_inside_an_item_is_an_error(self) -> None:
        for framing in (Framing.U32BE, Framing.MPRUN, Framing.NETSTRING):
            for cut in range(1, 5):
                with self.subTest(framing=framing, cut=cut):
                    decode = decoder(framing, attempts=True)
                    decode.feed(encoder(framing)(b"abcd")[:cut])
                    self.assertRaises(ProtocolError, decode.end)

    def test_a_broken_netstring_is_an_error_at_once(self) -> None:
        for broken in (b"x", b"-1:a,", b"01:a,", b"1x:a,", b"1:ab", b"99999999999", b":", b" 1:a,"):
            with self.subTest(broken=broken):
                self.assertRaises(ProtocolError, decoder(Framing.NETSTRING).feed, broken)

    def test_what_a_framing_cannot_carry_is_an_error(self) -> None:
        self.assertRaises(ValueError, encoder(Framing.LINES), b"a\nb")
        self.assertRaises(ValueError, encoder(Framing.NUL), b"a\0b")

    def test_a_long_item_in_small_pieces_costs_its_length_once(self) -> None:
        data = b"x" * (8 * 1024 * 1024)
        for framing in Framing:
            with self.subTest(framing=framing):
                stream = encoder(framing)(data)
                decode = decoder(framing, attempts=True)
                started = time.monotonic()
                got = [item for at in range(0, len(stream), 4096) for item in decode.feed(stream[at : at + 4096])]
                # It takes some 10 ms; joining at every piece would move 8 GiB.
                self.assertLess(time.monotonic() - started, 5)
                # Not assertEqual: it would print the difference of two 32 MiB items.
                self.assertTrue(got == [data])


if __name__ == "__main__":
    unittest.main()
