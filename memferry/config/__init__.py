"""What the user decided: one YAML file, read into frozen values."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from memferry import places
from memferry.config import yamltext
from memferry.config.building import build, guess_state
from memferry.config.settings import TIERS, Agent, Config, DeletionGuard, Policy, Recall, Space
from memferry.config.yamltext import Document
from memferry.errors import ConfigError

__all__ = [
    "TIERS", "Agent", "Config", "DeletionGuard", "Policy", "Recall", "Space",
    "build", "guess_state", "is_as_read", "load", "load_quickly", "locate", "read_text", "say_the_same",
]  # fmt: skip

Parse = Callable[[str, str], Document]

MEMO = "config.json"
"""In the state directory: the configuration as it was last parsed."""


def locate(environ: Mapping[str, str], file: str | None = None) -> Path:
    """The configuration to use: as said, else MEMFERRY_CONFIG, else the platform's."""
    chosen = file or environ.get("MEMFERRY_CONFIG") or places.config_file(environ)
    return Path(os.path.abspath(os.path.expanduser(chosen)))


def load(
    environ: Mapping[str, str], *, file: str | None = None, state: str | None = None, parse: Parse = yamltext.parse
) -> Config:
    """Default < file < environment < argument. Raises ConfigError."""
    path = locate(environ, file)
    text = read_text(path)
    return build(parse(text, str(path)), path, environ, state=state)._replace(text=text)


def load_quickly(environ: Mapping[str, str], *, file: str | None = None, state: str | None = None) -> Config:
    """The same, by way of the parse that the last one of these kept: a parser takes time to import, and memory."""
    path = locate(environ, file)
    text = read_text(path)
    memo = yamltext.Memo(os.path.join(guess_state(text, path, environ, state), MEMO))
    return build(memo.parse(text, str(path)), path, environ, state=state)._replace(text=text)


def is_as_read(config: Config) -> bool:
    """Whether its file still says what it said. Raises ConfigError where it cannot be read."""
    return not config.text or say_the_same(config.text, read_text(config.source))


def say_the_same(text: str, other: str) -> bool:
    """Whether two configurations differ in comments and spaces at most."""
    if text == other:
        return True
    with suppress(ConfigError):
        return bool(yamltext.parse(text, "").value == yamltext.parse(other, "").value)
    return False


def read_text(path: Path) -> str:
    """The text of a configuration; ConfigError says why there is none."""
    try:
        with open(path, encoding="utf-8") as opened:
            return opened.read().removeprefix("\ufeff")
    except FileNotFoundError as error:
        hint = "run `memferry init`, or name one with --config FILE or MEMFERRY_CONFIG"
        raise ConfigError(f"there is no configuration at {path}", hint=hint) from error
    except OSError as error:
        if path.is_dir():
            hint = "name the file in it, with --config FILE or MEMFERRY_CONFIG"
            raise ConfigError(f"{path} cannot be read: it is a folder", hint=hint) from error
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="let this user read it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
