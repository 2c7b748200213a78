"""Secrets are taken out of a stream in every form that programs print, however it is cut or folded."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import string
import subprocess
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis.strategies import DrawFn, binary, composite, integers, lists, sampled_from, text

from ocs.rules.masking import FOLDED_FROM, GIVEN_EARLY, MASK, Masker, Masking, mask
from ocs.rules.secret_forms import SHORTEST, is_too_short
from ocs.rules.terminal import ShownPieces, shown

SECRET = "s3cr\u00fct/\"va'lue\\&<x> +="
AT_THE_ENDS = 8
"""Characters of base64 that hang on what stands beside the secret, too."""
LETTERS = string.ascii_letters + string.digits


def _go_json(secret: str) -> str:
    inside = json.dumps(secret, ensure_ascii=False)[1:-1]
    return inside.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _basic(secret: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"admin:{secret}".encode()).decode()


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda secret: json.dumps({"password": secret}),
    "JSON, not only ASCII": lambda secret: json.dumps([secret], ensure_ascii=False),
    "JSON in JSON": lambda secret: json.dumps({"body": json.dumps({"password": secret})}),
    "JSON of Go": _go_json,
    "JSON of PHP": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "JSON of .NET": lambda secret: json.dumps(secret).replace("\\u00fc", "\\u00FC"),
    "repr": repr,
    "repr in a list": lambda secret: repr([secret]),
    "ascii": ascii,
    "repr of bytes": lambda secret: repr(secret.encode()),
    "an address": lambda secret: f"https://admin:{quote(secret, safe='')}@example.org",
    "a path": quote,
    "a form": quote_plus,
    "encodeURIComponent": lambda secret: quote(secret, safe="!'()*~"),
    "an address in small digits": lambda secret: re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
    "each byte as %": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "HTML": html.escape,
    "HTML of a template": lambda secret: html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "XML": lambda secret: html.escape(secret).replace("&#x27;", "&apos;"),
    "text in HTML": lambda secret: html.escape(secret, quote=False),
    "the shell's quotes": shlex.quote,
    "set -x": lambda secret: "+ curl -u '" + secret.replace("'", "'\\''") + "'",
    "CSV": lambda secret: '"' + secret.replace('"', '""') + '"',
    "SQL": lambda secret: "'" + secret.replace("'", "''") + "'",
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 of a line": lambda secret: base64.b64encode(f"{secret}\n".encode()).decode(),
    "base64 after one byte": lambda secret: base64.b64encode(f"x{secret}yz".encode()).decode(),
    "base64 after two bytes": lambda secret: base64.b64encode(f"xy{secret}z".encode()).decode(),
    "base64 for addresses": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 in lines": lambda secret: base64.encodebytes((secret * 9).encode()).decode(),
    "Authorization: Basic": _basic,
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "hex with colons": lambda secret: secret.encode().hex(":"),
    "hexdump": lambda secret: secret.encode().hex(" ", 2),
    "\\x": lambda secret: "".join(f"\\x{byte:02x}" for byte in secret.encode()),
    "folded": lambda secret: "\n".join(re.findall(".{1,5}", secret)),
    "folded and indented": lambda secret: "\r\n    ".join(re.findall(".{1,5}", secret)),
}  # fmt: skip


def in_pieces(raw: bytes, sizes: list[int], secrets: list[str]) -> bytes:
    masker, given, at, turn = Masker(secrets), b"", 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        given += masker.feed(raw[at : at + size])
        at, turn = at + size, turn + 1
    return given + masker.flush()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", [SECRET, "correct horse battery staple", "Tr0ub4dor&3"])
def test_whatever_a_program_makes_of_a_secret_is_masked(way: str, secret: str) -> None:
    printed = WAYS[way](secret)
    masked = mask(f"before {printed} after", [secret])
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert MASK.decode() in masked
    left = masked.removeprefix("before ").removesuffix(" after").replace(MASK.decode(), "")
    assert len("".join(left.split())) <= len("".join(WAYS[way]("").split())) + AT_THE_ENDS


@composite
def printed(draw: DrawFn) -> tuple[str, bytes, list[int]]:
    """A secret, a stream in which programs have printed it, and the sizes of the pieces that the stream comes in."""
    secret = draw(
        text(LETTERS + "+/=&%\"' \\<>\u00fc", min_size=6, max_size=24).filter(lambda each: len(each.split()) == 1)
    )
    secret = secret.strip() + "Q7"
    ways = draw(lists(sampled_from(sorted(WAYS)), min_size=1, max_size=4))
    between = draw(
        lists(
            sampled_from(["", " ", "\n", "x", "|", secret[:3], secret[-3:], secret[:5] + "\n"]), min_size=5, max_size=5
        )
    )
    whole = between[0] + "".join(WAYS[way](secret) + between[at + 1] for at, way in enumerate(ways))
    return secret, whole.encode(), draw(lists(integers(1, 40), min_size=1, max_size=6))


@given(printed())
def test_however_a_stream_is_cut_no_form_comes_through(given_stream: tuple[str, bytes, list[int]]) -> None:
    secret, raw, sizes = given_stream
    masking = Masking([secret])
    cut = in_pieces(raw, sizes, [secret])
    assert masking.found(cut) == []
    # Where a line ends in what may begin a secret, so much of it is not held back, and nothing else differs.
    at_once = in_pieces(raw, [len(raw) or 1], [secret])
    assert len(cut) - len(at_once) <= GIVEN_EARLY * (cut.count(MASK) + 1) + cut.count(b"\n")
    assert at_once.count(MASK) == cut.count(MASK)


@given(binary(), lists(integers(1, 9), min_size=1))
def test_what_has_no_secret_in_it_stays_byte_for_byte(raw: bytes, sizes: list[int]) -> None:
    if not Masking(["never-in-there"]).found(raw):
        assert in_pieces(raw, sizes, ["never-in-there"]) == raw


@given(lists(text(LETTERS, min_size=4, max_size=12), min_size=1, max_size=6), lists(integers(1, 9), min_size=1))
def test_of_several_secrets_none_comes_through(secrets: list[str], sizes: list[int]) -> None:
    raw = ("|".join(secrets) + "".join(secrets)).encode()
    masked = in_pieces(raw, sizes, secrets)
    assert not any(secret.encode() in masked for secret in secrets)


def test_secrets_that_overlap_are_one() -> None:
    assert mask("1111222233334444", ["11112222", "22223333", "33334444"]) == MASK.decode()
    assert in_pieces(b"1111222233334444.", [3], ["11112222", "22223333", "33334444"]) == MASK + b"."
    assert mask("aaaaaaaa" * 100, ["aaaaaaaa"]) == MASK.decode()


def test_a_line_that_only_ends_like_a_secret_begins_is_shown_at_once() -> None:
    masker = Masker(["secret-value"])
    assert masker.feed(b"this is\n") == b"this is\n"
    assert masker.feed(b"ecret-value\nmore s") == MASK + b"\nmore "
    assert masker.feed(b"ecret") == b""
    assert masker.feed(b"s\n") == b"secrets\n"
    assert masker.flush() == b""


def test_what_is_held_back_is_bounded() -> None:
    masker = Masker(["aaaaaaaa"])
    assert len(masker.feed(b"a" * 100_000)) <= len(MASK)
    masker = Masker(["secret-value"])
    assert len(b"".join(masker.feed(b"s" + b" " * 5000) for _ in range(10))) >= 45_000


def test_a_short_value_is_masked_where_it_stands_and_not_across_spaces() -> None:
    assert mask("a 1234 b 12 34", ["1234"]) == f"a {MASK.decode()} b 12 34"
    assert len("1234") < FOLDED_FROM


@pytest.mark.parametrize(
    ("value", "short"), [("", False), ("1", True), ("123", True), ("1234", False), ("\u00e4\u00f6", False)]
)
def test_what_is_too_short_to_be_masked(value: str, short: bool) -> None:
    assert is_too_short(value) is short
    assert SHORTEST == 4


def test_two_bytes_for_each_character_are_known() -> None:
    masker = Masker([SECRET])
    assert masker.feed(ShownPieces().feed(SECRET.encode("utf-16-le") + b"\n")) + masker.flush() == MASK + b"\0\n"


def test_a_secret_that_a_colour_code_ran_through_is_found_once_that_is_gone() -> None:
    coloured = "\x1b[01;31m\x1b[Ktop-\x1b[m\x1b[Ksecret\x1b(B-va\blue"
    assert mask(shown(coloured.replace("va\b", "v\bva")), ["top-secret-value"]) == MASK.decode()


def test_programs_of_this_machine() -> None:
    """What the programs themselves print, not what we take them to print."""
    secret = 'it\'s a "s3cret" $HOME\\n'
    scripts = (
        'set -x; true "$S"', 'printf %q "$S"', 'printf %s "$S" | base64 -w 11', 'printf %s "$S" | od -An -tx1',
        'declare -p S', 'printf "%s\\n" "${S@Q}"', "env", "python3 -c 'import os; print(dict(S=os.environ[\"S\"]))'",
    )  # fmt: skip
    for script in scripts:
        done = subprocess.run(
            ["bash", "-c", script], env={"S": secret, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
        )
        assert MASK.decode() in mask((done.stdout + done.stderr).decode(), [secret]), script
