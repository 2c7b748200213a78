"""What a strategy is given beside its part of the document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    (stdout, stderr) into the run's log.
    """

    job: Job
    context: DispatchContext
    project: Path | None
    show: Callable[[str, str], None]

    @property
    def artifacts(self) -> Path:
        """Where what is too large for the store is kept, as long as the run's record is."""
        return settings.outputs_of(self.context.run_id)

    def capture(self, stream: str, secrets: Masking = NO_SECRETS) -> Capture:
        """Takes in what is said on a stream: masked, shown in the run's log, and cut to what the job keeps."""
        return Capture(
            self.artifacts / f"{stream}.txt", self.job.output, secrets=secrets, show=partial(self.show, stream)
        )
