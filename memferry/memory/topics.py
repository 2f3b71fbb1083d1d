"""What lies in a folder of entries: its topics at a glance, and the entries of one, best first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from memferry.errors import ConfigError, MemferryError
from memferry.memory import access, importance, names
from memferry.memory.access import Counts
from memferry.memory.arrays import Entry
from memferry.memory.importance import Access
from memferry.values import seconds

if TYPE_CHECKING:
    from memferry.model import Record

Pick: TypeAlias = "Callable[[Sequence[Record]], Sequence[Record]]"
"""Which entries of a file count."""

DAY_S = 24 * 3600.0


class Summary(NamedTuple):
    """One topic. `newest`: when something was last written there, seconds since 1970. `fading`: how many entries nobody
    recalled for 30 days; `fades_at`: when there will be one more. `problem`: why it cannot be read."""

    topic: str
    entries: int = 0
    private: int = 0
    newest: float | None = None
    fading: int = 0
    fades_at: float | None = None
    problem: str | None = None


class Ranked(NamedTuple):
    """An entry and what it counts now."""

    record: Record
    effective: float
    access: Access

    @property
    def entry(self) -> Entry:
        return entry_of(self.record)


def files(folder: Path) -> list[str]:
    """The topics' files, by name."""
    try:
        return sorted(name for name in os.listdir(folder) if names.is_topic(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def everything(found: Sequence[Record]) -> Sequence[Record]:
    """Every entry counts."""
    return found


def overview(folder: Path, now: float, pick: Pick = everything) -> Iterator[Summary]:
    """Every topic of a folder."""
    counts = access.totals(folder)
    for name in files(folder):
        yield summary(folder / name, counts, now, pick)


def summary(path: Path, counts: Counts, now: float, pick: Pick = everything) -> Summary:
    """One topic at a glance."""
    from memferry.memory import records  # `status` asks for topics that changed, and mostly none did

    try:
        found = records.entries(path)
    except OSError as error:
        return Summary(path.stem, problem=f"{path} cannot be read: {error.strerror}")
    except MemferryError as error:
        return Summary(path.stem, problem=str(error))
    found = pick(found)
    entries = [entry_of(one) for one in found]
    written = [at for one in entries for name in ("updated_at", "created_at") if (at := seconds(one.get(name)))]
    fades = [at for one in entries if (at := importance.fades_at(one, access_of(one, counts))) is not None]
    return Summary(
        path.stem,
        len(entries),
        sum(map(records.is_private, found)),
        max(written, default=None),
        sum(at <= now for at in fades),
        min((at for at in fades if at > now), default=None),
    )


def entry_of(record: Record) -> Entry:
    """What it says."""
    assert isinstance(record.fields, dict)
    return record.fields


def access_of(entry: Entry, counts: Counts) -> Access:
    """By everybody on every machine."""
    entry_id = entry.get("id")
    return importance.own(entry).and_also(counts.get(entry_id if type(entry_id) is str else "", Access()))


def ranked(folder: Path, topic: str, now: float, pick: Pick = everything) -> list[Ranked]:
    """A topic's entries, the one that counts most first. Raises ConfigError where there is no such topic."""
    file = names.file_of(folder, topic)
    path = folder / file
    if not path.exists():
        present = [one.topic for one in overview(folder, now, pick) if one.entries]
        raise ConfigError(f"there is no topic {topic!r} in {folder}", hint=_near(topic, present))
    from memferry.memory import records

    counts = access.totals(folder)
    used = [(one, access_of(entry_of(one), counts)) for one in pick(records.entries(path))]
    found = [Ranked(one, importance.effective(entry_of(one), uses, now), uses) for one, uses in used]
    return sorted(found, key=lambda one: -one.effective)


def _near(topic: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(topic, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"topics: {', '.join(known)}" if known else "nothing was learned there yet; see `memferry learn --help`"
