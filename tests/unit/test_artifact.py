"""The artifact of a run as a Markdown renderer shows it: whatever a job prints, it is text."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis.strategies import lists, sampled_from
from markdown_it import MarkdownIt

from ocs.rules.dispatch import Dispatch, DispatchContext, DispatchKind, DispatchResult, RunStatus, StreamOutput
from ocs.rules.markdown import code, sentence
from ocs.spec import Job
from ocs.store import Outcome
from tasks.artifact import markdown_of

ID = UUID("3f2a9c1d-0000-4000-8000-000000000000")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONTEXT = DispatchContext(ID, "load", ID, Dispatch(DispatchKind.MANUAL, NOW), "key", NOW)
PIECES = (
    "~~~", "~~~~~~", "```", "   ~~~~~", "\n", "\n\n", "    ", "\t~~~~\n", "![i](http://h/i.png)", "[l](http://h)",
    "<img src=x>", "<script>", "</code></pre>", "# h", "- i", "1. i", "> q", "|", "a | b\n--|--", "\\", "`", "*b*",
    "_i_", "<http://h>", "&lt;", "&#60;", "text", "===", "~", "$x$", "!", "]", "(", ")",
)  # fmt: skip
said = lists(sampled_from(PIECES), max_size=12).map("".join)


def rendered(markdown: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


@given(said, said)
def test_no_output_of_a_job_is_markup(printed: str, why: str) -> None:
    result = DispatchResult(
        RunStatus.ERROR, stdout=StreamOutput(printed, 9), stderr=StreamOutput(f"x{printed}\n~~~~\ny", 9)
    )
    job = Job.model_validate({"id": "load", "run": "true", "name": f"n {why}".strip()[:100]})
    page = rendered(markdown_of(job, CONTEXT, result, Outcome(RunStatus.ERROR, f"Because {why}"), {}))
    shown = page
    for tag in ("h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "strong", "code"):
        shown = shown.replace(f"<{tag}>", "").replace(f"</{tag}>", "").replace(f'<{tag} class="language-text">', "")
    assert "<" not in shown
    assert page.count("<pre>") == 1 + bool(printed.strip())
    assert page.count("<h3>") == page.count("<pre>")
    assert page.count("<strong>") == 1


@given(said)
def test_a_sentence_is_read_as_it_was_written(text: str) -> None:
    line = " ".join(text.split())
    assert rendered(sentence(text)) == (f"<p>{html.escape(line, quote=False)}</p>\n" if line else "")


@pytest.mark.parametrize("text", ["a", "a`b", "``", "` a", "agent:main:x|y", "<b>"])
def test_code_is_read_as_it_was_written(text: str) -> None:
    assert rendered(code(text)) == f"<p><code>{html.escape(text, quote=False)}</code></p>\n"
