"""What comes from standard input."""

from __future__ import annotations

import sys

from memferry.errors import ConfigError


def text(limit_bytes: int = -1) -> str:
    """As UTF-8 on every system: Windows would read a pipe in its old code page."""
    try:
        return sys.stdin.buffer.read(limit_bytes).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError("standard input is not UTF-8", hint="convert it, or give it as an argument") from error
