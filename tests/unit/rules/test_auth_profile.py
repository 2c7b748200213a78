"""Which auth profile a session uses, and whether it is one for a model."""

from __future__ import annotations

import pytest

from ocs.rules.auth_profile import fits, on_status_card


@pytest.mark.parametrize(
    ("auth", "profile"),
    [
        ("api-key (stub:work)", "stub:work"),
        ("oauth (openai:me@example.com (me@example.com))", "openai:me@example.com"),
        ("token (anthropic:manual)", "anthropic:manual"),
        ("api-key (env: ANTHROPIC_API_KEY)", None),
        ("api-key (models.json)", None),
        ("api-key (personal account)", None),
        ("unknown", None),
    ],
)
def test_the_profile_on_the_status_card(auth: str, profile: str | None) -> None:
    card = f"\N{BRAIN} Model: stub/echo\n\N{KEY} Auth: {auth}\n\n\N{SPOOL OF THREAD} Session: agent:main:main"
    assert on_status_card(card) == profile


def test_a_card_without_that_line_names_none() -> None:
    assert on_status_card("Model: stub/echo (a:b)") is None


@pytest.mark.parametrize(("profile", "model", "fitting"), [("a:x", "a/m/n", True), ("a:x", "b/m", False)])
def test_a_profile_is_for_the_models_of_its_provider(profile: str, model: str, fitting: bool) -> None:
    assert fits(profile, model) is fitting
