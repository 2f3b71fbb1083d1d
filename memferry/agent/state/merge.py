"""Which of a record's versions is current: a function of the set of them, so their order does not matter. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

LONGEST_WALK = 1000


class Version(NamedTuple):
    """One version of a record. `digest`: of its content, hex; `hlc`: when it was written, as far as all machines know
    (`clock.effective`); `machine`, `seq`: the operation; `base`: digest of the version it was made from; `settled`: a
    person preferred another."""

    digest: str
    hlc: str
    machine: str
    seq: int
    base: str | None
    text: str
    settled: bool = False

    @property
    def age(self) -> tuple[str, str, int]:
        """Sorts versions by time, and equal times always the same way."""
        return self.hlc, self.machine, self.seq


class Merged(NamedTuple):
    """`current`: what everybody shows. `rivals`: versions that knew nothing of it nor it of them, the latest first;
    each is kept beside it until a person settles that."""

    current: Version
    rivals: tuple[Version, ...]


_Known = Mapping[str, Sequence[Version]]


def merge(versions: Collection[Version]) -> Merged:
    """At least one version that is not settled. A version is out when another was made from it, or goes on where it
    ends; of the contents that are left and not settled the latest is current."""
    if len(versions) == 1:
        return Merged(next(iter(versions)), ())
    latest: dict[str, Version] = {}
    for version in sorted(_heads(versions), key=lambda one: (not one.settled, one.age)):
        latest[version.digest] = version
    left = [one for one in latest.values() if not one.settled]
    left = [one for one in left if not any(_goes_on(other, one) for other in latest.values())]
    if not left:  # somebody preferred a version to what was made from it
        return merge([one for one in versions if not one.settled])
    left.sort(key=lambda one: one.age, reverse=True)
    return Merged(left[0], tuple(left[1:]))


def _heads(versions: Collection[Version]) -> list[Version]:
    known: dict[str, list[Version]] = defaultdict(list)
    made_from: dict[str, list[Version]] = defaultdict(list)
    for version in sorted(versions, key=lambda one: one.age):
        known[version.digest].append(version)
        if version.base is not None and version.base != version.digest:
            made_from[version.base].append(version)
    lost = _lost(versions, made_from)
    return [old for old in versions if not any(_replaces(new, old, known, lost) for new in made_from[old.digest])]


def _lost(versions: Collection[Version], made_from: _Known) -> set[Version]:
    """What is settled, and what only led to that."""
    lost = set[Version]()
    if not any(version.settled for version in versions):
        return lost
    for version in sorted(versions, key=lambda one: one.age, reverse=True):
        later = [new for new in made_from.get(version.digest, ()) if new.age > version.age]
        if version.settled or (later and lost.issuperset(later)):
            lost.add(version)
    return lost


def _replaces(new: Version, old: Version, known: _Known, lost: Collection[Version]) -> bool:
    """Whether `new`, which was made from the content of `old`, came after it. Only a text that somebody brought back
    comes after what was made from it. What lost goes on replacing what it replaced, or settling it would bring that
    back; but no text that somebody wrote over another since."""
    if new.age > old.age:
        return True
    return old.base is None if new in lost else not _descends(old, new.digest, known)


def _descends(version: Version, digest: str, known: _Known) -> bool:
    """Whether a version was made, over others, from the content `digest`. Clocks tell that nearly always, so this is
    for logs that no honest machine writes: the walk has an end."""
    waiting, seen = [version.base], set[str]()
    while waiting and len(seen) < LONGEST_WALK:
        base = waiting.pop()
        if base == digest:
            return True
        if base is not None and base not in seen:
            seen.add(base)
            waiting.extend(one.base for one in known.get(base, ()))
    return False


def _goes_on(longer: Version, shorter: Version) -> bool:
    if longer.settled and longer.age < shorter.age:
        return False
    return len(longer.text) > len(shorter.text) and longer.text.startswith(shorter.text)
