"""Formats are found by looking, and named."""

from __future__ import annotations

import pytest

from memferry.errors import ConfigError
from memferry.formats import files, registry
from memferry.formats.base import Whole


def test_every_format_is_found_under_its_name() -> None:
    found = registry.formats_by_name()
    assert {"diasync", "jsonl", "entries", "document", "files"} <= set(found)
    assert all(registry.by_name(name).name == name for name in found)


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.by_name("diasinc")
    assert caught.value.hint == "did you mean diasync?"
    with pytest.raises(ConfigError) as caught:
        registry.by_name("zzz")
    assert "diasync" in caught.value.hint


def test_an_unknown_space_is_read_file_by_file() -> None:
    format_ = registry.recognise(["README.md", "log.jsonl"])
    assert format_ is files.FORMAT
    names = ["a.jsonl", "b.ndjson.gz", "c.json", "d.md", "e.markdown", "f.TXT", "g.png", ".gitkeep"]
    kinds = [format_.kind(name) for name in names]
    expected = ["jsonl", "jsonl", "entries", "document", "document", "document", None, None]
    assert [kind and kind.format for kind in kinds] == expected


def test_every_kind_names_a_format_that_exists() -> None:
    """A stored record keeps that name, and its file is written again by it."""
    files_ = [
        "a.jsonl",
        "b.json",
        "c.md",
        "streams/x/1.jsonl",
        "projects/p/state.md",
        "_meta/spec.json",
        "archive/a.jsonl.gz",
    ]
    kinds = [format_.kind(file) for format_ in registry.formats_by_name().values() for file in files_]
    named = {kind.format: isinstance(kind.reader, Whole) for kind in kinds if kind is not None}
    assert named == {"diasync": False, "jsonl": False, "entries": True, "document": True}
    assert all(registry.by_name(name).name == name for name in named)
