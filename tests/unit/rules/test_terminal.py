"""What is left of what was meant for a terminal, in the whole and in pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, lists, sampled_from, text

from ocs.rules.plain_text import revealed, uncoloured, undisguised, without_blank_ends
from ocs.rules.terminal import LONGEST_LINE, ShownPieces, shown

ST = "\x1b\\"
SEQUENCES = (
    "\x1b[31m", "\x1b[0;1;38;5;196m", "\x1b[K", "\x1b[2J", "\x1b[?25l", "\x1b[ q", "\x1b[>4;2m", "\x1b[1$}",  # CSI
    "\x9b31m", "\x9bK",  # the same in eight bits
    "\x1b]0;a title\x07", f"\x1b]8;;https://example.org{ST}", "\x9d0;t\x9c", f"\x1bP1$qm{ST}", f"\x1b_a{ST}",
    f"\x1b^p{ST}", f"\x1bXs{ST}", "\x90q#0;2;0;0;0\x9c",  # strings
    "\x1b(B", "\x1b)0", "\x1b#8", "\x1b%G", "\x1b $(D",  # nF
    "\x1b7", "\x1b8", "\x1b=", "\x1b>",  # Fp
    "\x1bM", "\x1bD", "\x1bE", "\x1bc", "\x1bn", "\x1b~",  # Fe and Fs
)  # fmt: skip
PIECES = (*SEQUENCES, "a", "bc", "\N{LATIN SMALL LETTER A WITH DIAERESIS}", " ", "\t", "\n", "\r", "\r\n", "\b", "\x1b")


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_an_escape_sequence_leaves_nothing(sequence: str) -> None:
    assert shown(f"[{sequence}]") == "[]"
    assert shown(f"{sequence}{sequence}") == ""


@pytest.mark.parametrize(
    ("printed", "left"),
    [
        ("\r".join(f"{number}%" for number in range(148)) + "\nend", "147%\nend"),
        ("10%\r99%\r\nend\r\n", "99%\nend\n"),
        ("10%\r\x1b[K20%\r", "20%"),
        ("no return\r\r\n", "no return\n"),
        ("|\b/\b-\bdone", "done"),
        ("N\bNA\bAM\bME\bE", "NAME"),
        ("ab\b\b\b\bc", "c"),
        ("first\n\bx", "first\nx"),
        ("page 1\x0cpage 2\x0bx\x85y", "page 1\npage 2\nx\ny"),
        ("find -print0\0a\0", "find -print0\0a\0"),
        ("never \x1b]0;closed\nthe disk is full", "never 0;closed\nthe disk is full"),
        ("cut off \x1b[31", "cut off "),
        ("bell\x07, \x0eshift\x0f, \x7fdel", "bell, shift, del"),
        ("\tindented\n    more", "\tindented\n    more"),
    ],
)
def test_what_a_terminal_shows_in_the_end(printed: str, left: str) -> None:
    assert shown(printed) == left
    assert _in_pieces(printed.encode(), [1]) == left.encode()


def _in_pieces(raw: bytes, sizes: list[int]) -> bytes:
    pieces, given, at, turn = ShownPieces(), b"", 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        given += pieces.feed(raw[at : at + size])
        at, turn = at + size, turn + 1
    return given + pieces.flush()


@given(lists(sampled_from(PIECES)), lists(integers(1, 9), min_size=1, max_size=5))
def test_however_it_comes_the_same_is_left(pieces: list[str], sizes: list[int]) -> None:
    whole = "".join(pieces)
    assert _in_pieces(whole.encode(), sizes) == shown(whole).encode()


@given(text() | lists(sampled_from(PIECES)).map("".join))
def test_what_is_left_is_plain_and_stays_so(printed: str) -> None:
    once = uncoloured(printed)
    assert uncoloured(once) == once
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", once)


@given(binary())
def test_bytes_that_are_no_text_stay(raw: bytes) -> None:
    kept = bytes(code for code in raw if (code >= 0x20 and code not in (0x7F, 0xC2)) or code == 0x0A)
    assert _in_pieces(kept, [3]) == kept


@pytest.mark.parametrize("size", [1000, LONGEST_LINE + 7])
def test_a_line_without_end_is_not_held_back_for_ever(size: int) -> None:
    pieces = ShownPieces()
    given = b"".join(pieces.feed(b"x" * size) for _ in range(200))
    assert len(given) >= 200 * size - LONGEST_LINE
    assert given + pieces.flush() == b"x" * (200 * size)


def test_a_progress_bar_without_an_end_of_line_leaves_its_last_state_however_long_it_is() -> None:
    pieces = ShownPieces()
    given = b"".join(pieces.feed(f"{number} of 100,000\r".encode()) for number in range(100_001))
    assert given + pieces.flush() == b"100000 of 100,000"


def test_after_the_beginning_of_a_very_long_line_a_return_begins_another() -> None:
    long = "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * LONGEST_LINE
    for sizes in ([70_000], [70_001, 3]):
        assert _in_pieces(f"{long}\r10%\r20%\nend".encode(), sizes).decode() == f"{long}\n20%\nend"


def test_many_openings_and_returns_cost_no_more_than_their_number() -> None:
    for hostile in ("\x1b]", "\x9d", "\r", "\b", "\x1b[", "\x1b", "\x1b ", "x\b"):
        shown(hostile * 100_000)
        _in_pieces((hostile * 100_000).encode(), [65536])


@pytest.mark.parametrize(
    ("given_text", "left"),
    [("\n \n    if x:\n        y\n\n", "    if x:\n        y"), ("  a", "  a"), (" \n ", ""), ("", ""), ("a \n", "a")],
)
def test_blank_lines_at_both_ends_go_and_indentation_stays(given_text: str, left: str) -> None:
    assert without_blank_ends(given_text) == left


@pytest.mark.parametrize(
    ("given_text", "seen"),
    [
        ("rm -rf ./build\n\tls", "rm -rf ./build\n\tls"),
        ("echo \u202egpj.exe", "echo <U+202E>gpj.exe"),
        ("a\u2066b\u2069\u200f\u200b\ufeffc", "a<U+2066>b<U+2069><U+200F><U+200B><U+FEFF>c"),
        ("rm -rf /\u00a0tmp\u3164\u2028", "rm -rf /<U+00A0>tmp<U+3164><U+2028>"),
        ("gr\u00fc\u00dfe \U0001f389", "gr\u00fc\u00dfe \U0001f389"),
    ],
)
def test_what_cannot_be_seen_is_written_out(given_text: str, seen: str) -> None:
    assert revealed(given_text) == seen


@pytest.mark.parametrize(
    ("given_text", "seen"),
    [
        ("echo \u202egpj.exe\u2069", "echo <U+202E>gpj.exe<U+2069>"),
        ("a\u200bb\ufeffc", "a<U+200B>b<U+FEFF>c"),
        ("\u26a0\ufe0f 5\u00a0MB \U0001f469\u200d\U0001f4bb", "\u26a0\ufe0f 5\u00a0MB \U0001f469\u200d\U0001f4bb"),
    ],
)
def test_a_disguise_is_written_out_and_pictures_stay(given_text: str, seen: str) -> None:
    assert undisguised(given_text) == seen
