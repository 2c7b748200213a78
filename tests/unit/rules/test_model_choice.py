"""Which model an attempt asks for."""

from __future__ import annotations

import pytest

from ocs.rules.model_choice import Asked, model_of

MODELS = ("a/large", "b/large", "a/small")


@pytest.mark.parametrize(
    ("models", "before", "model"),
    [
        (MODELS, None, "a/large"),
        (MODELS, Asked("a/large", failed=True), "b/large"),
        (MODELS, Asked("b/large", failed=True), "a/small"),
        (MODELS, Asked("a/small", failed=True), "a/small"),
        (MODELS, Asked("b/large", failed=False), "b/large"),
        (MODELS, Asked("taken/out", failed=True), "a/large"),
        ((None, "b/large"), Asked(None, failed=True), "b/large"),
        ((None, "b/large"), Asked(None, failed=False), None),
        ((None,), Asked(None, failed=True), None),
        (("a/large",), Asked("a/large", failed=True), "a/large"),
    ],
)
def test_the_next_model_is_asked_after_one_that_failed_and_no_other_time(
    models: tuple[str | None, ...], before: Asked | None, model: str | None
) -> None:
    assert model_of(models, before) == model
