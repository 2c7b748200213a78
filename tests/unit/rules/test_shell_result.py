"""What is kept and said of a shell's output."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from, text

from ocs.rules import shell_result
from ocs.rules.dispatch import RunStatus, StreamOutput
from ocs.rules.masking import MASK, SHORTEST, Masker, mask
from ocs.rules.shell_result import MARK, Ending, Place
from ocs.spec import Output

TEN = timedelta(seconds=10)


@given(said=text(), limit=integers(0, 400))
def test_a_cut_text_fits_and_splits_no_character(said: str, limit: int) -> None:
    kept = shell_result.cut(said, limit)
    assert len(kept.encode()) <= limit
    if len(said.encode()) <= limit:
        assert kept == said
    elif limit > len(MARK):
        beginning, _, end = kept.partition(MARK)
        assert said.startswith(beginning)
        assert said.endswith(end)


@pytest.mark.parametrize(
    ("ending", "status", "signal", "error"),
    [
        (Ending(0, False, TEN), RunStatus.OK, None, None),
        (Ending(7, False, TEN), RunStatus.ERROR, None, "Exited with code 7."),
        (Ending(24, False, TEN, success_codes=(0, 24)), RunStatus.OK, None, None),
        (Ending(1, False, TEN, success_codes=(0, 24)), RunStatus.ERROR, None, "Exited with code 1."),
        (Ending(127, False, TEN, success_codes=(127,)), RunStatus.OK, None, None),
        (
            Ending(0, False, TEN, success_codes=(1,)),
            RunStatus.ERROR,
            None,
            "Exited with code 0, which is none of its success_codes.",
        ),
        (Ending(-9, False, TEN), RunStatus.ERROR, "SIGKILL", "Ended by SIGKILL."),
        (
            Ending(-15, True, TEN),
            RunStatus.TIMEOUT,
            "SIGTERM",
            "Timed out after 10s; all processes of its session were ended.",
        ),
        (
            Ending(-15, True, TEN, survivors=("123 (sudo)", "124 (sh)")),
            RunStatus.TIMEOUT,
            "SIGTERM",
            "Timed out after 10s; 2 processes could not be ended: 123 (sudo), 124 (sh).",
        ),
        (
            Ending(-15, False, TEN, cancelled=True, survivors=("123 (sudo)",)),
            RunStatus.CANCELLED,
            "SIGTERM",
            "Cancelled; 1 process could not be ended: 123 (sudo).",
        ),
        (
            Ending(127, False, TEN),
            RunStatus.ERROR,
            None,
            "Exited with code 127: a command was not found (sh: nosuch: not found). It ran in /srv with PATH=/bin; "
            "run.shell.cwd sets another folder, run.shell.env.PATH another PATH.",
        ),
    ],
)
def test_how_it_ended(ending: Ending, status: RunStatus, signal: str | None, error: str | None) -> None:
    assert shell_result.status_of(ending) is status
    assert shell_result.signal_of(ending) == signal
    assert shell_result.error_of(ending, "sh: nosuch: not found\n", Place("/srv", "/bin")) == error


@pytest.mark.parametrize(
    ("left", "survivors", "said"),
    [
        ((), (), None),
        (("nginx",), (), "1 process that it left running was ended: nginx; use setsid or a service."),
        (("sh", "cat"), (), "2 processes that it left running were ended: sh, cat; use setsid or a service."),
        (("sh",) * 7, (), "7 processes that it left running were ended: sh x 7; use setsid or a service."),
        (
            ("sh", "sudo"),
            ("123 (sudo)",),
            "Of 2 processes that it left running, 1 process could not be ended: 123 (sudo).",
        ),
    ],
)
def test_what_it_left_running_is_told(left: tuple[str, ...], survivors: tuple[str, ...], said: str | None) -> None:
    assert shell_result.left_running(Ending(0, False, TEN, left=left, survivors=survivors)) == said


def test_image_lines_are_collected_and_taken_out() -> None:
    """Acceptance row 50."""
    said = "before\n[IMAGE:/tmp/a.png]\n\n\nafter [IMAGE:/tmp/inline.png]\n[IMAGE:relative.png]\n[IMAGE:/tmp/b.png]"
    rest, images = shell_result.take_images(said)
    assert images == ("/tmp/a.png", "/tmp/b.png")
    assert rest == "before\n\nafter [IMAGE:/tmp/inline.png]\n[IMAGE:relative.png]"
    assert shell_result.take_images("  as it was\n\n\n\n") == ("  as it was\n\n\n\n", ())


def test_a_preview_labels_each_stream_and_points_to_the_whole() -> None:
    shown = shell_result.preview(
        StreamOutput("out", 90_000, "/where/stdout.txt"), StreamOutput("err", 3), Output(), None
    )
    assert shown == "stdout:\nout\n(all 90,000 bytes: /where/stdout.txt)\n\nstderr:\nerr"
    assert shell_result.preview(StreamOutput(), StreamOutput(), Output(), None) == "(no output)"
    assert (
        shell_result.preview(StreamOutput(), StreamOutput(), Output(), "Exited with code 2.") == "Exited with code 2."
    )


def test_children_match_what_was_printed_and_of_a_failure_the_errors_too() -> None:
    assert shell_result.content(RunStatus.OK, '{"a": 1}', "warning") == '{"a": 1}'
    assert shell_result.content(RunStatus.OK, "", "only here") == "only here"
    assert shell_result.content(RunStatus.ERROR, "out", "err") == "out\nerr"


@given(
    pieces=lists(sampled_from([b"secret-one", b"secret", b"-", b"one", b"x", b"two\nlines", b"two"]), max_size=30),
    cuts=lists(integers(0, 200), max_size=10),
)
def test_however_a_stream_is_cut_no_secret_comes_through(pieces: list[bytes], cuts: list[int]) -> None:
    secrets = ["secret-one", "two\nlines", "secret"]
    whole = b"".join(pieces)
    masker = Masker(secrets)
    places = sorted({0, *(place for place in cuts if place < len(whole)), len(whole)})
    parts = [masker.feed(whole[start:end]) for start, end in pairwise(places)]
    masked = b"".join(parts) + masker.flush()
    assert not any(secret.encode() in masked for secret in secrets)
    assert masked == re.sub(b"secret-one|two\\nlines|secret", MASK, whole)


@pytest.mark.parametrize(
    ("secret", "printed"),
    [
        ("correct horse\n", "correct horse"),
        ("-----BEGIN KEY-----\r\nAAAABBBB\r\nCCCCDDDD\r\n", "AAAABBBB"),
        ("-----BEGIN KEY-----\nAAAABBBB\nCCCCDDDD\n", "-----BEGIN KEY----- AAAABBBB CCCCDDDD"),
        ('{"user": "somebody", "more": [{"password": "correct horse"}]}', "correct horse"),
        ('{"note": "gr\\u00fc\\u00dfe"}', "gr\u00fc\u00dfe"),
    ],
)
def test_what_a_program_prints_of_a_secret_alone_is_masked_too(secret: str, printed: str) -> None:
    masked = mask(f"it is {printed}!", [secret])
    assert set(masked.removeprefix("it is ").removesuffix("!")) <= {"*", " "}


def test_what_only_looks_like_json_is_masked_as_text() -> None:
    assert mask("it is {not json", ["{not json"]) == f"it is {MASK.decode()}"


def test_very_short_values_are_not_masked_and_others_are() -> None:
    assert mask("a 123 b", ["123"]) == "a 123 b"
    assert mask("a 1234 b", ["1234"]) == f"a {MASK.decode()} b"
    assert SHORTEST == 4
