"""Where log records go: to stderr, as plain lines on a terminal and as `key=value` lines in a pipe. Never content."""

from __future__ import annotations

import json
import logging
import sys
import time

from memferry.cli import unforeseen
from memferry.cli.progress import StatusLine

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def configure(verbose: int, line: StatusLine | None = None, *, usual: int = 0) -> None:
    """`verbose`: how often -v was given, on top of `usual`. `line`: a live line that log lines must not run into."""
    unforeseen.keep_quiet()
    handler = _Handler(line or StatusLine(sys.stderr))
    handler.setFormatter(_Plain() if sys.stderr.isatty() else _KeyValue())
    logger = logging.getLogger("memferry")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[min(verbose + usual, len(LEVELS) - 1)])


class _Handler(logging.Handler):
    def __init__(self, line: StatusLine) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.say(self.format(record))


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.getMessage()}"


class _KeyValue(logging.Formatter):
    """One record a line, as log collectors read it (https://brandur.org/logfmt); times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        message = json.dumps(record.getMessage(), ensure_ascii=False)
        where = record.name.removeprefix("memferry.")
        return f"ts={at}.{record.msecs:03.0f}Z level={record.levelname.lower()} part={where} msg={message}"
