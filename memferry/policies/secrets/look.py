"""Our own look into one text: formats, values beside telling words, random runs; in every view of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from memferry.policies.findings import TOO_LARGE, Finding
from memferry.policies.secrets import triage, vocabulary
from memferry.policies.secrets.beside import MOST_WORDS, beside_words, in_field
from memferry.policies.secrets.columns import below_headings
from memferry.policies.secrets.drawn import alone, is_quiet, random_runs
from memferry.policies.secrets.formats import formats
from memferry.policies.secrets.overrun import without_overrun
from memferry.policies.secrets.phrases import seed_phrases
from memferry.policies.secrets.spots import Places, Spot
from memferry.policies.secrets.views import TooMany, View, views_of

MOST_FINDINGS = 200
"""In one text. It stays at home then, whatever else it holds."""
WORDS, CELLS, RUNS = 3, 4, 16
"""So many words that announce nothing, cells that hold nothing, and runs that are not random count as one candidate:
that is what they take."""
MOST_CANDIDATES = MOST_WORDS // WORDS


class Examined(NamedTuple):
    """`views`: those of the text that say whole words; none where there is too much to look at. `candidates`: how many
    places were looked at."""

    findings: list[Finding]
    views: list[View]
    candidates: int


def look(text: str, key: str = "", number: int = 0) -> list[Finding]:
    """What should not leave of one text, by where it begins. `key`: the name of the field it stands in, which may be
    what tells. The same stretch is found once, under the most telling rule."""
    return examined(text, key, number).findings if triage.is_suspicious(f"{key}: {text}" if key else text) else []


def examined(text: str, key: str = "", number: int = 0, *, most: int = MOST_CANDIDATES) -> Examined:
    """As `look`, of a text that deserves it. `most`: candidates that are looked at."""
    too_large = Examined([Finding(number, TOO_LARGE, 0, len(text))], [], most)
    if most <= 0:
        return too_large
    views: list[View] = []
    found: dict[tuple[int, int], str] = {}
    looked = 0
    try:
        for looked, one in enumerate(_candidates(text, key, views), 1):
            if one is not None and found.get((one.start, one.end), vocabulary.KEY) in _VAGUE:
                found[one.start, one.end] = one.rule
            if looked >= most or len(found) >= MOST_FINDINGS:
                found[0, len(text)] = TOO_LARGE
                views.clear()
                break
    except TooMany:
        return too_large
    findings = [Finding(number, rule, *span) for span, rule in sorted(found.items())]
    return Examined(without_overrun(text, findings), [view for view in views if not view.joined], looked)


_VAGUE = frozenset({vocabulary.PASSWORD, vocabulary.KEY, vocabulary.CODE, "random"})


def _candidates(text: str, key: str, views: list[View]) -> Iterator[Spot | None]:
    """In every view, as stretches of the text itself; None: one that was none after all. Each view is made when those
    before it were looked at, and added to `views`. Raises TooMany."""
    yield from in_field(text, key)
    quiet = is_quiet(key)
    for view in views_of(text):
        views.append(view)
        for spot in _spots(view, quiet=quiet):
            yield spot and Spot(spot.rule, *view.span(spot.start, spot.end))


def _spots(view: View, *, quiet: bool) -> Iterator[Spot | None]:
    raw = view.text.encode("utf-8", "replace")
    yield from formats(raw, Places(view.text, raw), joined=view.joined)
    if not view.joined:
        yield from _one_in(WORDS, beside_words(raw, Places(view.text, raw)))
        yield from _one_in(CELLS, below_headings(view.text, raw))
        yield from seed_phrases(raw, Places(view.text, raw))
        if not quiet:
            yield from alone(view.text)
            yield from _one_in(RUNS, random_runs(view.text, raw, Places(view.text, raw)))


def _one_in(share: int, places: Iterable[Spot | None]) -> Iterator[Spot | None]:
    """All that was found; of what was none, one in so many."""
    missed = 0
    for spot in places:
        missed += spot is None
        if spot is not None or missed % share == 0:
            yield spot
