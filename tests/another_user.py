"""Another user of this machine: what only root can try out, it tries as `nobody`."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")
NOBODY = 65534
needs_another_user = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    """What this process opens meanwhile is that user's."""
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def as_nobody(work: Callable[[], T]) -> T:
    """What `work` returns in a process of `nobody`, which cannot become anybody else again."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, pickle.dumps(work()))
        except BaseException:  # the child must not return into the tests
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return pickle.loads(said)
