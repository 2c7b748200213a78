"""Ids for crontab entries: a name that says what a command does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath

LONGEST_ID = 48
SHORTEST_NAME = 3
WORDS_OF_COMMENT = 5
SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "su"})
WRAPPERS = {
    **dict.fromkeys(("nohup", "chronic", "time", "exec", "setsid", "systemd-cat", "run-one"), ""),
    **dict.fromkeys(("python", "python2", "python3", "perl", "ruby", "node", "php", "Rscript", "java"), ""),
    **dict.fromkeys(SHELLS, ""),
    "sudo": "ug",
    "env": "u",
    "nice": "n",
    "ionice": "cnp",
    "flock": "wE",
    "timeout": "ks",
    "stdbuf": "ioe",
}
"""Programs whose arguments say what the work is, and the letters of their options that take a value."""
VAGUE = frozenset(
    {"echo", "printf", "cat", "date", "touch", "logger", "rm", "cp", "mv", "find", "curl", "wget", "ssh", "git", "make"}
    | {"psql", "mysql", "docker", "podman", "kubectl", "uv", "npm", "poetry", "systemctl"}
)
"""Programs that do anything: their arguments say a little more."""
BESIDE_THE_WORK = frozenset(
    {"cd", "test", "[", "command", "export", "source", ".", "sleep", "umask", "set", "true", ":"}
)
SCRIPTS = (".sh", ".py", ".pl", ".rb", ".js", ".php", ".bash", ".jar")
_APART = re.compile(r"[;&|(){}!]+|if|elif|then|else|fi|while|until|do|done")
_REDIRECTED = re.compile(r"[0-9]*[<>]+[&|]?")
_WORD = re.compile(r"[a-z][a-z0-9_-]{1,30}")
_HOST = re.compile(r"\w+://(?:[^/@]*@)?(?:www\.)?([\w.-]+)")
_TELLING = re.compile(r"[A-Za-z].*")


def readable_id(command: str, comment: str | None = None) -> str:
    """An id that says what the command does: `cd /srv && python manage.py clearsessions` is manage-clearsessions.

    Where it says next to nothing (`echo`, `q`), the comment above it does, or the command's arguments do.
    """
    for part in _parts(command):
        words = [word for word in part if not re.match(r"\w+=", word)]
        while words and (taking := WRAPPERS.get(PurePosixPath(words[0]).name)) is not None:
            if code := _code(words):
                return readable_id(code, comment)
            words = _after_options(words[1:], taking)
        is_code = words and " " in words[0]
        if words and not is_code and words[0] not in BESIDE_THE_WORK:
            return _slug(words, comment) or "job"
    return _as_id(_said(comment)) or "job"


def _parts(command: str) -> list[list[str]]:
    """The simple commands of a line, each as its words, without what follows a redirection."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    redirected = False
    try:
        for word in lexer:
            if _APART.fullmatch(word):
                parts.append([])
                redirected = False
            elif _REDIRECTED.fullmatch(word):
                redirected = True
            elif not redirected:
                parts[-1].append(word)
    except ValueError:  # an unbalanced quote; what stands before it is known
        pass
    return [part for part in parts if part] or [command.split()]


def _code(words: Sequence[str]) -> str | None:
    """What a shell is given with -c."""
    if PurePosixPath(words[0]).name not in SHELLS:
        return None
    options = (at for at, word in enumerate(words[:-1]) if re.fullmatch(r"-[a-z]*c", word))
    at = next(options, None)
    return None if at is None else words[at + 1]


def _after_options(words: list[str], taking: str) -> list[str]:
    """Without a wrapper's options and their values, durations, lock files and assignments."""
    while words and (words[0].startswith("-") or re.match(r"(\d+\w?|\w+=.*|.*\.lock)$", words[0])):
        takes = len(words[0]) == 2 and words[0][1] in taking
        words = words[2 if takes else 1 :]
    return words


def _slug(words: Sequence[str], comment: str | None) -> str:
    program = PurePosixPath(words[0])
    name = program.stem if program.suffix in SCRIPTS else program.name
    if name == "run-parts":
        return _as_id([PurePosixPath(words[-1]).name])
    if name not in VAGUE and len(name) >= SHORTEST_NAME:
        return _as_id([name, *(word for word in words[1:2] if _WORD.fullmatch(word))])
    if said := _as_id(_said(comment)):
        return said
    arguments = list(islice(_telling(words[1:]), 2))
    return _as_id([name, *arguments] if arguments or name in VAGUE else ["run", name])


def _said(comment: str | None) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+", comment or "")[:WORDS_OF_COMMENT]


def _telling(arguments: Sequence[str]) -> Iterator[str]:
    """Of addresses the host, of paths the name, no options and numbers."""
    for word in arguments:
        host = _HOST.match(word)
        said = host[1] if host else PurePosixPath(word).stem
        if not word.startswith(("-", "+", "$")) and _TELLING.fullmatch(said):
            yield said


def _as_id(parts: Sequence[str]) -> str:
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower())[:LONGEST_ID].strip("-")
