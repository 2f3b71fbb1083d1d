"""Brand memory: `<brand>/insights.json`, `<brand>/campaigns/*.json` and `<brand>/guidelines/`, each with the content
type of where it lies. A space is the folder of all brands, or one brand's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from memferry.formats import document, entries
from memferry.formats.base import Format, Kind, Snapshot, Whole
from memferry.model import Source

INSIGHT = "performance-insight"
CAMPAIGN = "campaign-learning"
GUIDELINE = "guideline"

SCOPES: Mapping[str, Collection[str]] = {"insights-only": {INSIGHT}, "campaigns-only": {CAMPAIGN}}
"""What a run may be limited to, as content types; `all` is no limit."""
ALL = "all"

_ACTIVE = "_active-brand.json"
_INSIGHTS = "insights.json"
_CAMPAIGNS = "campaigns"
_GUIDELINES = "guidelines"


class Typed(Whole):
    """Another reader's records, all of one content type. Their text, key and digest stay as they are."""

    def __init__(self, reader: Whole, content_type: str) -> None:
        self._reader = reader
        self._type = content_type
        self.removes = reader.removes

    def parse(self, source: Source, content: bytes) -> Snapshot | None:
        snapshot = self._reader.parse(source, content)
        if snapshot is None:
            return None
        return snapshot._replace(
            records=[msgspec.structs.replace(record, type=self._type) for record in snapshot.records]
        )

    def render(self, bodies: Sequence[bytes], frame: tuple[str, str, str] | None) -> bytes:
        return self._reader.render(bodies, frame)


class Brand:
    """Reads insights, campaigns and guidelines, and nothing else of a brand."""

    name = "brand"

    def recognises(self, names: Sequence[str]) -> bool:
        one = _INSIGHTS in names and not {f"{_CAMPAIGNS}/", f"{_GUIDELINES}/"}.isdisjoint(names)
        return one or _ACTIVE in names

    def kind(self, file: str) -> Kind | None:
        *folders, name = file.split("/")
        if name == _INSIGHTS and len(folders) <= 1:
            return _typed(entries.FORMAT, file, INSIGHT)
        if _CAMPAIGNS in folders[:2]:
            return _typed(entries.FORMAT, file, CAMPAIGN)
        if _GUIDELINES in folders[:2]:
            return _typed(entries.FORMAT, file, GUIDELINE) or _typed(document.FORMAT, file, GUIDELINE)
        return None


def _typed(format_: Format, file: str, content_type: str) -> Kind | None:
    kind = format_.kind(file)
    if kind is None or not isinstance(kind.reader, Whole):
        return None
    return _kinds.setdefault((kind.format, content_type), kind._replace(
        reader=Typed(kind.reader, content_type), content_type=content_type
    ))  # fmt: skip


_kinds: dict[tuple[str, str], Kind] = {}

FORMAT = Brand()
