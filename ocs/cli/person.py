"""Who types a command, and what they hear of it while it goes on."""

from __future__ import annotations

from ocs.cli.render.output import Mode, say, tell
from ocs.rules.attribution import Attribution
from ocs.service import session

SOURCE = "cli"


def person() -> Attribution:
    """What a command does is done by whoever is logged in."""
    return Attribution(session.user(), SOURCE, session.now())


class Ear:
    """What happens meanwhile goes to standard error, and what the job prints to where it prints it."""

    def note(self, sentence: str) -> None:
        """Say so."""
        tell(sentence)

    def warn(self, sentence: str) -> None:
        """Say so in yellow."""
        tell(sentence, style="yellow")

    def output(self, stream: str, line: str) -> None:
        """Print the line; standard output belongs to the one JSON document where that was asked for."""
        (tell if Mode.json or stream == "stderr" else say)(line)
