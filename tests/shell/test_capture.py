"""One stream on its way to the log, the store, messages and a file: the same text in all of them, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from

from ocs.rules.masking import MASK, Masking
from ocs.rules.terminal import shown
from ocs.spec import Output
from tasks.strategies.capture import Capture

SECRET = "top-secret-value"
STARS = MASK.decode()


def capture(path: Path, lines: list[str], *, keep: int = 1000, offload: int = 100, secret: str = SECRET) -> Capture:
    output = Output().model_copy(update={"store": keep, "offload": offload})
    return Capture(path / "stdout.txt", output, secrets=Masking([secret]), show=lines.append)


def test_a_progress_bar_is_its_last_state_in_the_log_the_store_and_the_file(tmp_path: Path) -> None:
    bar = "".join(f"{number:3} %\r" for number in range(148)) + "\n"
    for offload in (10, 10_000):
        lines: list[str] = []
        said = capture(tmp_path, lines, offload=offload)
        said.feed(f"begin\n{bar}|\b/\b-\bend\x1b(B\n".encode())
        said.finish()
        assert lines == ["begin", "147 %", "end"]
        assert said.text == "begin\n147 %\nend\n"
        assert said.path is None or said.path.read_text() == said.text
        assert (said.path is None) is (offload == 10_000)


@pytest.mark.parametrize(
    "printed",
    [
        "\x1b[01;31m\x1b[Ktop-\x1b[m\x1b[Ksecret-value\n",  # grep --color
        "top-sec\x1b(Bret\x1b7-value\n",
        "top-secre\x07t-\x00value\n",
        "top-secreX\bt-value\n",
        "X\rtop-secret-value\n",
        "\x1b]0;top-secret-value\x07title\n",
        "top-secret\n-value\n",
        "YWRtaW46dG9wLXNlY3JldC12YWx1ZQ==\n",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_way_out_has_the_secret_whatever_runs_through_it(tmp_path: Path, printed: str, size: int) -> None:
    lines: list[str] = []
    said = capture(tmp_path, lines, offload=0)
    raw = printed.encode()
    for at in range(0, len(raw), size):
        said.feed(raw[at : at + size])
    said.finish()
    assert said.path is not None
    for way_out in ("".join(lines), said.text, said.path.read_text(), said.stored(said.text).text):
        assert "secret" not in way_out
        assert "ret-value" not in way_out
        assert "dmFsdW" not in way_out
    assert said.bytes == said.path.stat().st_size


def test_a_hundred_megabytes_pass_by_few_looks_at_each_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at more closely is what may be a secret, however many secrets and forms there are."""
    looked: list[int] = []
    masking = Masking(f"{SECRET}-{number}-{number * 7}" for number in range(50))
    begins = masking.begins_at
    monkeypatch.setattr(masking, "begins_at", lambda raw: looked.append(len(raw)) or begins(raw))
    said = Capture(tmp_path / "stdout.txt", Output(store=2000, offload=10**8), secrets=masking, show=lambda _line: None)
    piece = b"2026-11-24 12:00:00 a line of a log that has no secret in it\n" * 1000
    for _ in range(20):
        said.feed(piece)
    said.finish()
    assert sum(looked) <= said.bytes + 20 * 100
    assert said.text.startswith("2026-11-24")


@given(
    lists(sampled_from(["a", "\n", "\r", "\x1b[1m", "\b", "\t", "\u00e4", "    ", SECRET]), max_size=60), integers(1, 9)
)
def test_what_is_kept_is_what_a_terminal_shows_with_stars_for_secrets(pieces: list[str], size: int) -> None:
    lines: list[str] = []
    said = capture(Path("/nowhere"), lines, keep=10_000, offload=10_000, secret="unheard-of")
    raw = "".join(pieces).encode()
    for at in range(0, len(raw), size):
        said.feed(raw[at : at + size])
    said.finish()
    assert said.text == shown(raw.decode())
    assert lines == said.text.removesuffix("\n").split("\n") or not said.text
