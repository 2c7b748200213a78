"""Texts as Markdown that shows exactly them. What the gateway makes of it: tests/gateway/test_real_delivery.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis.strategies import lists, sampled_from
from hypothesis.strategies import text as texts

from ocs.rules.markdown import code, code_block, cut_between, lines_of, literal, sentence, with_whole_blocks
from ocs.rules.shell_result import MARK

BLOCK = re.compile(r"^(`{3,})\n(.*)\n\1$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "plain",
    [
        "load: failed",
        "Exited with code 3. Retry 1 of 2 follows in 5m.\n\ncould not connect to warehouse\nport 5432",
        'rows: 3 (of 4), 50% done; snake_case_name = 5 & more, don\'t "worry" \N{GRINNING FACE}',
        "[2/3] and on it goes\n\nRun: http://127.0.0.1:4200/runs/flow-run/0f6c-41_2",
    ],
)
def test_what_markdown_leaves_alone_is_left_alone(plain: str) -> None:
    assert literal(plain) == plain


@pytest.mark.parametrize(
    "changed",
    ["*x*", "__init__", "_x_", "`x`", "~~x~~", "<stdin>", "a -> b", "a | b", "C:\\dir", "||x||", "x^2", "&amp;",
     "&#60;", "[a](b)", "[a]: b", "[[reply]]", "# x", "- x", "+ x", "1. x", "2) x", "===", "---", "a\n    b", "a  b",
     "a ", "a\tb", "x\nMEDIA:/etc/passwd", "see http://a and\n\nmore"],
)  # fmt: skip
def test_what_markdown_would_change_stands_in_a_block(changed: str) -> None:
    assert literal(f"job: done\n\n{changed}").startswith("job: done\n\n```\n")


def test_what_stands_before_and_after_it_is_read_as_ever() -> None:
    told = "job: failed\n\nExited with code 1.\n\n*a*\n\nb\n\n_c_\n\nRun: http://127.0.0.1:4200/runs/1"
    assert literal(told) == (
        "job: failed\n\nExited with code 1.\n\n```\n*a*\n\nb\n\n_c_\n```\n\nRun: http://127.0.0.1:4200/runs/1"
    )


@given(lists(sampled_from(["```", "`", "~~~", "\n", "\n\n", "a", "*", "  ", "<b>", "http://x", "# "])) | lists(texts()))
def test_the_text_can_be_read_back(pieces: list[str]) -> None:
    whole = "".join(pieces)
    shown = literal(whole)
    if shown != whole:
        (found,) = BLOCK.finditer(shown)
        assert found[1] not in found[2]
        assert shown.replace(found[0], found[2]) == whole


@pytest.mark.parametrize(
    ("parts", "mended"),
    [
        (("[1/2] a", "[2/2] b"), ("[1/2] a", "[2/2] b")),
        (("[1/2] a\n```py\nx", "[2/2] y\n```\nb"), ("[1/2] a\n```py\nx\n```", "[2/2]\n```py\ny\n```\nb")),
        (
            ("[1/3] ````\nx", "[2/3] ```\ny", "[3/3] z\n````"),
            ("[1/3]\n````\nx\n````", "[2/3]\n````\n```\ny\n````", "[3/3]\n````\nz\n````"),
        ),
        (("[1/2] a\n~~~\n```\nx", "[2/2] y"), ("[1/2] a\n~~~\n```\nx\n~~~", "[2/2]\n~~~\ny\n~~~")),
        (("```\nwhole\n```\nb",), ("```\nwhole\n```\nb",)),
    ],
)
def test_a_code_block_that_was_cut_is_one_in_both_parts(parts: tuple[str, ...], mended: tuple[str, ...]) -> None:
    assert with_whole_blocks(parts) == mended


@given(texts(max_size=200), sampled_from("`~"))
def test_no_line_closes_a_code_block(inside: str, mark: str) -> None:
    inside = f"{inside}\n   {mark * 5}\n{mark * 4} x"
    block = code_block(inside, "text", mark)
    flags = [is_code for _, is_code in lines_of(f"{block}\nafter")]
    assert flags == [True] * (len(flags) - 1) + [False]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Exited with code 3. Retry 1 of 2 follows in 5m.", "Exited with code 3. Retry 1 of 2 follows in 5m."),
        ("![x](http://h/y.png)", "\\!\\[x\\](http\\://h/y.png)"),
        ("<img src=x> *b* `c` a|b", "\\<img src=x\\> \\*b\\* \\`c\\` a\\|b"),
        ("# head\n- item", "\\# head - item"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        (
            "see www.example.org, a@example.org, https://example.org",
            "see www\\.example.org, a\\@example.org, https\\://example.org",
        ),
    ],
)
def test_of_a_sentence_nothing_is_markup(text: str, shown: str) -> None:
    assert sentence(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a\n\n# b", "`a # b`"), ("a|b", "`a|b`")]
)
def test_code_within_a_line(text: str, shown: str) -> None:
    assert code(text) == shown


def test_a_code_block_that_the_middle_is_cut_out_of_is_one_at_both_ends() -> None:
    lines = "\n".join(f"    line {number}" for number in range(500))
    kept = cut_between(f"a\n```python\n{lines}\n```\nb", 400)
    assert len(kept.encode()) <= 400
    before, _, after = kept.partition(MARK)
    assert before.startswith("a\n```python\n    line 0")
    assert before.endswith("\n```")
    assert after.startswith("```python\n")
    assert after.endswith("\n```\nb")
