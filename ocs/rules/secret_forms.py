"""The forms in which programs print a secret: as it is, and quoted, escaped or encoded in the ways that are in use."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import shlex
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote, quote_plus

from ocs.rules.terminal import shown

SHORTEST = 4
"""Bytes. Shorter values are not masked: replacing every `1` would hide the output and not the secret."""
_LEFT_BY_BROWSERS = "!'()*~"
_IN_JSON = ("&<>", "&<>'", "&<>'+")
"""What Go, PHP and .NET spell out in JSON, because it may stand in a page."""
_SHELL_SPECIAL = " \t!\"#$&'()*,;<=>?[\\]^`{|}~"


def is_too_short(secret: str) -> bool:
    """Whether a value is too short to be masked; of one that is empty there is nothing to mask."""
    return 0 < len(secret.encode(errors="replace")) < SHORTEST


def forms_of(secret: str) -> set[bytes]:
    """All forms of a secret that are looked for, and of what a program prints of it alone."""
    found: set[bytes] = set()
    for part in {secret, *_parts(secret)}:
        found.update(form.encode(errors="replace") for form in _escaped(part))
        found.update(_encoded(part))
    return {form for form in found if len(form.strip()) >= SHORTEST}


def _parts(secret: str) -> Iterator[str]:
    """As a terminal shows it, its lines, and the texts in it when it is JSON."""
    yield shown(secret)
    yield secret.strip()
    yield from (line.strip() for line in secret.splitlines())
    if secret.lstrip().startswith(("{", "[")):
        try:
            yield from _texts(json.loads(secret))
        except (ValueError, RecursionError):
            return


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        parts = cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for part in parts:
            yield from _texts(part)


def _escaped(text: str) -> Iterator[str]:
    yield text
    yield from _in_json(text)
    yield from (repr(text)[1:-1], ascii(text)[1:-1], repr(text.encode(errors="replace"))[2:-1])
    yield from _in_addresses(text)
    yield from _in_markup(text)
    yield from _for_shells(text)
    yield from (text.replace('"', '""'), text.replace("'", "''"))  # CSV; SQL and YAML


def _in_json(text: str) -> Iterator[str]:
    for only_ascii in (True, False):
        inside = json.dumps(text, ensure_ascii=only_ascii)[1:-1]
        for written in (inside, inside.replace("/", "\\/"), *(_spelt_out(inside, for_html) for for_html in _IN_JSON)):
            yield written
            yield json.dumps(written, ensure_ascii=only_ascii)[1:-1]  # JSON as a text in JSON
            yield _with_capital_digits(written)
    yield "".join(f"\\u{ord(each):04x}" for each in text if ord(each) < 0x10000)


def _spelt_out(written: str, characters: str) -> str:
    return "".join(f"\\u{ord(each):04x}" if each in characters else each for each in written)


def _with_capital_digits(written: str) -> str:
    first, *escaped = written.split("\\u")
    return first + "".join(f"\\u{part[:4].upper()}{part[4:]}" for part in escaped)


def _in_addresses(text: str) -> Iterator[str]:
    data = text.encode(errors="replace")
    for kept in ("", "/", _LEFT_BY_BROWSERS):
        for written in (quote(data, safe=kept), quote_plus(data, safe=kept)):
            yield written
            yield _with_small_digits(written)
            yield quote(written, safe="")  # an address as a parameter of an address
    yield "".join(f"%{byte:02X}" for byte in data)
    yield "".join(f"%{byte:02x}" for byte in data)


def _with_small_digits(written: str) -> str:
    first, *escaped = written.split("%")
    return first + "".join(f"%{part[:2].lower()}{part[2:]}" for part in escaped)


def _in_markup(text: str) -> Iterator[str]:
    without_quotes = html.escape(text, quote=False)
    for double in ("&quot;", "&#34;"):
        for single in ("&#x27;", "&#39;", "&#039;", "&apos;", "'"):
            yield without_quotes.replace('"', double).replace("'", single)
    yield without_quotes
    yield "".join(f"&#{ord(each)};" for each in text)
    yield "".join(f"&#x{ord(each):x};" for each in text)


def _for_shells(text: str) -> Iterator[str]:
    yield shlex.quote(text).strip("'")
    yield text.replace("'", "'\\''")
    yield "".join(f"\\{each}" if each in _SHELL_SPECIAL else each for each in text)
    for quotes in ('"', "'", '"$`'):
        yield "".join(f"\\{each}" if each in f"\\{quotes}" else each for each in text)


def _encoded(text: str) -> Iterator[bytes]:
    for data in _written(text):
        yield data
        yield from _in_base64(data)
        for between in ("", ":", "-", "\\x"):
            pairs = between.join(f"{byte:02x}" for byte in data)
            yield pairs.encode()
            yield pairs.upper().replace("\\X", "\\x").encode()


def _written(text: str) -> Iterator[bytes]:
    """In the encodings that are in use. Of UTF-16 the NULs are passed over where it is looked for."""
    yield text.encode(errors="replace")
    if not text.isascii():
        with contextlib.suppress(UnicodeEncodeError):
            yield text.encode("latin-1")
    yield text.encode("utf-16-le", errors="replace").replace(b"\0", b"")


def _in_base64(data: bytes) -> Iterator[bytes]:
    """What of it does not hang on what stands before and after it, at each of three alignments."""
    for before in range(3):
        mixed = -(-before * 8 // 6)
        whole = (before + len(data)) * 8 // 6
        coded = base64.b64encode(bytes(before) + data)[mixed:whole]
        yield coded
        yield coded.translate(bytes.maketrans(b"+/", b"-_"))
