"""How logs are written: lines for people, or a JSON document a line for programs that collect them."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

VARIABLE = "OCS_LOG_FORMAT"


class LogFormat(StrEnum):
    """Lines for people, or a JSON document a line."""

    TEXT = "text"
    JSON = "json"


PREFECTS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
    "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": "ocs.logs.JsonLines",
}
"""What makes Prefect's own configuration of logs use our formatter; set before Prefect is imported."""
NAMES = ("flow_run_id", "task_run_id", "flow_run_name", "task_run_name")
"""What Prefect adds to the records of a run."""


def use(chosen: LogFormat) -> None:
    """Have this process and those that it starts write logs so."""
    if chosen is LogFormat.JSON:
        os.environ |= {VARIABLE: LogFormat.JSON, **PREFECTS}


def line(what: str, logger: str) -> str:
    """What a process says of itself, as a line of its log."""
    now = datetime.now(UTC)
    if os.environ.get(VARIABLE) == LogFormat.JSON:
        return _document(now, "info", logger, what)
    return f"{now:%Y-%m-%d %H:%M:%S} {what}"


class JsonLines(logging.Formatter):
    """A record as one line: time, level, logger, message, the run that it is about, what was raised."""

    def __init__(self, *_: object) -> None:
        """Prefect names a format of its own formatter, which is none of ours."""
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        more: dict[str, Any] = {name: str(found) for name in NAMES if (found := getattr(record, name, None))}
        if record.exc_info:
            more["exception"] = self.formatException(record.exc_info)
        moment = datetime.fromtimestamp(record.created, UTC)
        return _document(moment, record.levelname.lower(), record.name, record.getMessage(), **more)


def _document(moment: datetime, level: str, logger: str, message: str, **more: Any) -> str:
    time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": time, "level": level, "logger": logger, "message": message, **more}, ensure_ascii=False)
