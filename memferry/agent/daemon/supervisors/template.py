"""The descriptions under `config/`, filled in and written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape

from memferry.durable import write_durably
from memferry.errors import ConfigError

_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def template(name: str) -> str:
    """A file of `config/`. In an installation it lies beside this module, where the build put it."""
    shipped = files(__package__).joinpath(name)
    if shipped.is_file():
        return shipped.read_text("utf-8")
    return (Path(__file__).parents[4] / "config" / name).read_text("utf-8")


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `{{name}}` replaced, once: a value that looks like a name stays as it is."""
    parts = text.split("{{")
    rest = (part.partition("}}") for part in parts[1:])
    return parts[0] + "".join(values[name] + after for name, _, after in rest)


def xml(text: str) -> str:
    """`text` as the content of an XML element. Raises ConfigError for what XML cannot hold."""
    if _NOT_XML.search(text):
        raise unwritable(text)
    return escape(text)


def unwritable(text: str) -> ConfigError:
    return ConfigError(
        f"{text!a} cannot be written into a service's description", hint="use a path of printable characters"
    )


def write(path: Path, data: bytes) -> bool:
    """Whole or not at all. False: it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_durably(path, data)
    return True
