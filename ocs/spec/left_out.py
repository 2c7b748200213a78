"""What a schedule leaves out: single days, and the public holidays of a country or one of its regions."""

from __future__ import annotations

import difflib
from datetime import date
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ocs.spec.values import BLANK_IS_NONE, Part
from ocs.spec.written import on_a_line, quoted

MOST_DATES = 1000


def _day(value: Any) -> Any:
    """Written as 2026-12-24; what else YAML may make of it has a time too."""
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError(f"{on_a_line(repr(value))} is not a day; write it like 2026-12-24") from None


def _place(text: str) -> str:
    """A country and one of its regions, as the library `holidays` knows them: AT, DE-BY.

    Raises:
        ValueError: it knows no such country or region.
    """
    import holidays

    country, _, region = text.strip().partition("-")
    country = country.upper()
    regions = holidays.list_supported_countries().get(country)
    if regions is None:
        raise ValueError(f"{quoted(text)} is no country whose holidays are known; write its code, such as AT or DE-BY")
    region = next((known for known in regions if known.lower() == region.lower()), region)
    if region and region not in regions:
        nearest = difflib.get_close_matches(region, regions, n=1)
        known = f"Nearest: {country}-{nearest[0]}." if nearest else f"Known: {', '.join(regions) or 'none'}."
        raise ValueError(f"{quoted(text)} is no region whose holidays are known. {known}")
    return f"{country}-{region}" if region else country


def holidays_of(place: str, year: int) -> dict[date, str]:
    """The public holidays of a year, with their names."""
    import holidays

    country, _, region = place.partition("-")
    return dict(holidays.country_holidays(country, subdiv=region or None, years=year, expand=False))


def _in_order(days: tuple[date, ...]) -> tuple[date, ...]:
    return tuple(sorted(set(days)))


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Place = Annotated[str, Field(max_length=16, examples=["DE-BY"]), AfterValidator(_place)]


class LeftOut(Part):
    """Days on which a schedule does not run, in its own time zone; a list is one of dates."""

    dates: Annotated[
        tuple[Day, ...], Field(max_length=MOST_DATES, examples=[["2026-12-24"]]), AfterValidator(_in_order)
    ] = ()
    """These days."""
    holidays: Annotated[Place | None, BLANK_IS_NONE] = None
    """The public holidays of a country (AT), or of a region of it (DE-BY)."""

    @model_validator(mode="before")
    @classmethod
    def _dates_as_list(cls, value: Any) -> Any:
        return {"dates": cast("list[Any]", value)} if isinstance(value, list | tuple) else value
