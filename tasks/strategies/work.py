"""What a strategy is given beside its part of the document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ocs import settings
from ocs.rules.dispatch import DispatchContext
from ocs.rules.masking import Masking
from ocs.spec import Job
from tasks.strategies.capture import Capture

NO_SECRETS = Masking(())


@dataclass(frozen=True, slots=True)
class Work:
    """The run that is to be done.

    `project` is the folder that the job stands in, where it is known on this machine. `show` puts a line of a stream
    (stdout, stderr), or of what is done beside them (activity), into the run's log. `part` is what of the run's work
    this is, when there is more of it than one.
    """

    job: Job
    context: DispatchContext
    project: Path | None
    show: Callable[[str, str], None]
    part: str | None = None

    @property
    def artifacts(self) -> Path:
        """Where what is too large for the store is kept, as long as the run's record is."""
        outputs = settings.outputs_of(self.context.run_id)
        return outputs / self.part if self.part else outputs

    def beside(self, part: str) -> Work:
        """The same run, for work beside its main one: what it prints is activity, and its files have a place apart."""

        def show(_stream: str, line: str) -> None:
            self.show("activity", line)

        return replace(self, part=part, show=show)

    def capture(self, stream: str, secrets: Masking = NO_SECRETS) -> Capture:
        """Takes in what is said on a stream: masked, shown in the run's log, and cut to what the job keeps."""
        return Capture(
            self.artifacts / f"{stream}.txt", self.job.output, secrets=secrets, show=partial(self.show, stream)
        )
