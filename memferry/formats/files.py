"""A space in no known format: each file is read by its suffix."""

from __future__ import annotations

from collections.abc import Sequence

from memferry.formats import document, entries, jsonl
from memferry.formats.base import Format, Kind

BY_SUFFIX: tuple[Format, ...] = (jsonl.FORMAT, entries.FORMAT, document.FORMAT)


class Files:
    """Ledgers, arrays and documents side by side."""

    name = "files"

    def recognises(self, names: Sequence[str]) -> bool:
        return False

    def kind(self, file: str) -> Kind | None:
        return next((kind for one in BY_SUFFIX if (kind := one.kind(file)) is not None), None)


FORMAT = Files()
