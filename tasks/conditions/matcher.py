"""The matcher: a process that evaluates conditions on outputs, and that may die of it.

As a program it reads one request a line from its input and answers each of its conditions with a line. The system ends
the process when one takes too long: an expression at work holds the interpreter, and hears nothing else. It imports
nothing of Prefect, so that it starts fast.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from importlib import import_module

from ocs.rules.matching import How, matches

CPU_SECONDS = 1.0
"""The longest a condition may be evaluated, in time of the processor: a busy machine takes nothing away."""
MEMORY = 1024**3


def main() -> None:
    """Answer until the input ends."""
    for engine in ("jsonpath", "regex"):  # loaded before time is counted
        import_module(engine)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        request = json.loads(line)
        for how, wanted in request["conditions"]:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            answer = matches(How(how), wanted, request["content"])
            signal.setitimer(signal.ITIMER_PROF, 0)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
