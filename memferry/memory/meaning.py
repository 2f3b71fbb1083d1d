"""Which texts are about the same, by what a model makes of them beside the words that they share.

Alone, vectors tell entries apart worse than words do (docs/entries.md has the figures). So words propose pairs; the
model takes out those that only share words, and adds those that say the same in other words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from memferry.config import Recall
from memferry.errors import ConfigError, EmbedderBroken
from memferry.memory.grouping import Related, by_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embed: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]
    """(texts, dimensions) of unit length."""

AT_ONCE = 64
LAST_LATIN = "\u024f"


class Bounds(NamedTuple):
    """Cosines. Below `apart` shared words are chance; from `alike` on none need be shared."""

    apart: float
    alike: float


MEASURED = {"minilm": Bounds(0.4, 0.75)}
"""By model, from `python -m bench.grouping`. One that is not measured is not asked."""


class ByMeaning:
    """A `Related` that asks a model, each text once; about texts in scripts that it never learned, and where it fails,
    words alone decide. `problem`: why it failed."""

    def __init__(self, embed: Embed, bounds: Bounds) -> None:
        self._embed = embed
        self._bounds = bounds
        self._known: dict[str, NDArray[np.float32]] = {}
        self.problem: str | None = None

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """See `Related`."""
        numbers = [number for number, text in enumerate(texts) if _is_latin(text)]
        try:
            vectors = self._vectors([texts[number] for number in numbers])
        except EmbedderBroken as error:
            self.problem = str(error)
            return by_words(texts)
        return self._pairs(texts, {number: row for row, number in enumerate(numbers)}, vectors)

    def _pairs(
        self, texts: Sequence[str], rows: dict[int, int], vectors: NDArray[np.float32]
    ) -> Iterator[tuple[int, int]]:
        shared: dict[int, set[int]] = {}
        for one, other in by_words(texts):
            shared.setdefault(one, set()).add(other)
        numbers = list(rows)
        for one in range(len(texts)):
            near = shared.get(one, set())
            if one in rows:
                cosines = vectors[rows[one] + 1 :] @ vectors[rows[one]]
                behind = dict(zip(numbers[rows[one] + 1 :], cosines.tolist(), strict=True))
                near = {other for other in near if behind.get(other, 1.0) >= self._bounds.apart}
                near |= {other for other, cosine in behind.items() if cosine >= self._bounds.alike}
            yield from ((one, other) for other in sorted(near))

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for at in range(0, len(new), AT_ONCE):
            part = new[at : at + AT_ONCE]
            self._known |= zip(part, self._embed(part), strict=True)
        return np.array([self._known[text] for text in texts], np.float32)


def _is_latin(text: str) -> bool:
    """Of another script a model for English makes the same of everything."""
    return text.isascii() or not any(char > LAST_LATIN and char.isalpha() for char in text)


class Means(NamedTuple):
    """By what entries are compared. `names`: how that is called; `notice`: why it is less than what is configured."""

    related: Related
    names: tuple[str, ...]
    notice: str | None = None


WORDS = Means(by_words, ("words",))


def told(means: Means) -> Means:
    """The same, after the work: a model may have failed meanwhile."""
    problem = means.related.problem if isinstance(means.related, ByMeaning) else None
    return WORDS._replace(notice=f"grouped by words alone: {problem}") if problem else means


def means_of(settings: Recall) -> Means:
    """What the configuration of recall says and what is installed. Nothing is loaded before there are texts.

    A model at a URL is never asked: only a sync can tell what is held, and the texts would leave this machine.
    """
    from memferry.recall.embed.registry import of_settings

    if settings.tier not in ("best", "model"):
        return WORDS
    try:
        choice = of_settings(settings)
    except ConfigError as error:
        return WORDS._replace(notice=f"grouped by words alone: {error}")
    if choice.remote:
        return WORDS._replace(notice="grouped by words alone: entries are not sent to the model at a URL")
    bounds = MEASURED.get(choice.model)
    if bounds is None:
        return WORDS._replace(notice=f"grouped by words alone: {choice.model} was not measured for this, minilm was")
    if not choice.is_installed:
        wanted = f"grouped by words alone: {choice.model} is not installed; {choice.install}"
        return WORDS._replace(notice=wanted if settings.tier == "model" else None)
    from memferry.recall.embed.child import shared

    return Means(ByMeaning(shared(choice, None, settings.idle_s).embed_documents, bounds), ("words", choice.model))
