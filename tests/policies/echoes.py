"""How well texts of held records are recognised, and how often an ordinary note is taken for one:
`python -m tests.policies.echoes [--notes N] [--locomo FILE]`.

Held notes of some sentences are written again in many ways, in three kinds of records; then ordinary notes that share
words and phrases with them are judged, and the turns of LoCoMo where its file is given
(https://github.com/snap-research/locomo, CC BY-NC 4.0): a tenth of them held, the others judged.
"""

from __future__ import annotations

import argparse
import html
import json
import random
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from memferry.model import Record
from memferry.policies.base import Held
from memferry.policies.chain import judge
from tests.policies.held import FINGERPRINT, MemoryKnown, doc, lines, private, public

Sentences: TypeAlias = Sequence[str]
Writing: TypeAlias = Callable[[Sentences], str]

SUBJECTS = "the baker/our neighbour/the night shift/her brother/the new clinic/the driver/a friend of Tom/the landlord"
VERBS = "keeps/moved/promised/borrowed/forgot/repaired/sold/hides/returned/painted/ordered/measured/counted/signed"
THINGS = (
    "the spare key/two boxes of letters/the blue van/an old ledger/the green lamp/seven jars of honey/the boiler/"
    "a broken clock/the harbour map/the winter coats/three invoices/the garden tools/the red bicycle/a silver ring"
)
PLACES = (
    "under the third flower pot/behind the bakery/in the cellar of the school/beside the river/on the second floor/"
    "near the market square/at the back door/in a drawer of the desk/above the garage/next to the fountain"
)
TIMES = (
    "every evening/before the meeting/on the first of May/since last winter/after the storm/when it rains/"
    "until the end of March/twice a week/at half past six/as soon as the ship leaves"
)
REASONS = (
    "because nobody else knows the way/although the rent is due/so that the children find it/while the owner is away/"
    "since the bank refused again/and will never speak of it/but wants it back by Friday/in spite of what was agreed"
)
PARTS = tuple(tuple(part.split("/")) for part in (SUBJECTS, VERBS, THINGS, PLACES, TIMES, REASONS))


def sentence(chance: random.Random) -> str:
    """About twenty words; two of them share phrases, as notes do."""
    said = " ".join(chance.choice(part) for part in PARTS)
    return said[0].upper() + said[1:] + "."


def note(chance: random.Random) -> list[str]:
    return [sentence(chance) for _ in range(chance.randint(3, 5))]


# -- ways of writing it again


def whole(sentences: Sentences) -> str:
    return " ".join(sentences)


def _wrapped(sentences: Sentences) -> list[str]:
    return textwrap.wrap(whole(sentences), 44)


def _every(number: int, change: Callable[[str], str]) -> Writing:
    """Change every so-manieth word."""
    return lambda sentences: " ".join(
        change(word) if at % number == 0 else word for at, word in enumerate(whole(sentences).split())
    )


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" for one in text)


WRITINGS: Mapping[str, Writing] = {
    "as it was": whole,
    "wrapped": lambda s: "\n".join(_wrapped(s)),
    "wrapped, words broken": lambda s: re.sub(r"(\w{4})(\w{4})", "\\1-\n\\2", whole(s), count=6),
    "in capitals": lambda s: whole(s).upper(),
    "in title case": lambda s: whole(s).title(),
    "without punctuation": lambda s: re.sub(r"[.,]", "", whole(s)),
    "other punctuation": lambda s: whole(s).replace(". ", "; ").replace(" and ", " & ").replace(" the ", " — the "),
    "quoted": lambda s: "\n".join(f"> {line}" for line in _wrapped(s)),
    "quoted twice": lambda s: "\n".join(f"> > {line}" for line in _wrapped(s)),
    "a list": lambda s: "\n".join(f"- {one}" for one in s),
    "a numbered list": lambda s: "\n".join(f"{n}. {one}" for n, one in enumerate(s, 1)),
    "tasks": lambda s: "\n".join(f"- [x] {one}" for one in s),
    "emphasis": _every(4, lambda word: f"**{word}**"),
    "other emphasis": _every(5, lambda word: f"_{word}_"),
    "inline code": lambda s: f"He said `{whole(s)}` twice",
    "a code block": lambda s: "```text\n" + "\n".join(_wrapped(s)) + "\n```",
    "comments": lambda s: "\n".join(f"# {line}" for line in _wrapped(s)),
    "a table": lambda s: "| n | what |\n|---|---|\n" + "\n".join(f"| {n} | {one} |" for n, one in enumerate(s)),
    "links": _every(6, lambda word: f"[{word}](https://example.org/{len(word)})"),
    "HTML": lambda s: "<p>" + "</p>\n<p>".join(map(html.escape, s)) + "</p>",
    "HTML entities": lambda s: whole(s).replace(" ", "&nbsp;").replace(".", "&#46;"),
    "zero-width": lambda s: whole(s).replace("e", "e\u200b"),
    "full width": lambda s: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in whole(s)),
    "JSON in the text": lambda s: json.dumps({"text": "\n".join(s)}),
    "JSON in JSON": lambda s: json.dumps(json.dumps({"text": "\n".join(s)})),
    "JSON escapes": lambda s: _escaped(whole(s)),
    "behind other words": lambda s: f"Yesterday somebody told me that {whole(s)}",
    "its first sentence": lambda s: s[0],
    "its second sentence": lambda s: s[1],
    "its last sentence": lambda s: s[-1],
    "a sentence, quoted": lambda s: f"> {s[1]}",
    "a sentence in a list": lambda s: f"What we know:\n\n- {s[1]}\n- nothing else",
    "a sentence in a sentence": lambda s: _inside(s[1]),
    "two of its clauses": lambda s: " ".join(s[1].split()[:14]),
    "a sentence without its first words": lambda s: " ".join(s[1].split()[3:]),
}
"""Name -> the same again, in another form."""

RECORDS: Mapping[str, Callable[[str], Record]] = {
    "labelled": lambda text: lines(public(text, "copy"), file="other.jsonl")[0],
    "unlabelled": lambda text: lines({"id": "copy", "text": text}, file="other.jsonl")[0],
    "document": lambda text: doc(f"# Notes\n\n{text}\n"),
}
"""In which a copy may stand."""


class Row(NamedTuple):
    """How many of the copies written in one way were recognised, by kind of record, as shares."""

    writing: str
    shares: tuple[float, ...]


def recognised(notes: int, seed: int = 7) -> list[Row]:
    """All writings of as many notes, each held alone."""
    chance = random.Random(seed)
    held = [note(chance) for _ in range(notes)]
    known = [_remembering(lines(private(whole(one), f"held-{number}"))) for number, one in enumerate(held)]
    return [
        Row(name, tuple(_share(make, write, held, known) for make in RECORDS.values()))
        for name, write in WRITINGS.items()
    ]


def _share(
    make: Callable[[str], Record], write: Writing, held: Sequence[Sentences], known: Sequence[MemoryKnown]
) -> float:
    found = sum(_is_held(make(write(one)), knows) for one, knows in zip(held, known, strict=True))
    return found / len(held)


def _remembering(records: Sequence[Record]) -> MemoryKnown:
    known = MemoryKnown()
    known.learn(judge(records, known, FINGERPRINT))
    return known


def _is_held(record: Record, known: MemoryKnown) -> bool:
    return isinstance(judge([record], known, FINGERPRINT)[0], Held)


class Alarms(NamedTuple):
    """How many of the ordinary notes were held, although they say something else."""

    what: str
    notes: int
    held: int


def false_alarms(notes: int, seed: int = 8) -> list[Alarms]:
    """Ordinary notes beside a tenth as many held ones of the same words and phrases."""
    chance = random.Random(seed)
    secrets = [note(chance) for _ in range(max(1, notes // 10))]
    known = _remembering(lines(*(private(whole(one), f"h{n}") for n, one in enumerate(secrets))))
    kept = {one for secret in secrets for one in secret}
    others = [[one for one in note(chance) if one not in kept] for _ in range(notes)]
    return [
        Alarms(f"notes, {name}", notes, sum(_is_held(make(whole(one)), known) for one in others))
        for name, make in RECORDS.items()
    ]


def false_alarms_in(file: Path) -> list[Alarms]:
    """A tenth of LoCoMo's turns held; the others, but for those that say the same."""
    turns = list(dict.fromkeys(_turns(json.loads(file.read_text()))))
    secrets, others = turns[::10], [turn for at, turn in enumerate(turns) if at % 10]
    known = _remembering(lines(*(private(one, f"h{n}") for n, one in enumerate(secrets))))
    letters = [re.sub(r"\W", "", one).lower() for one in secrets]
    others = [one for one in others if not any(text in re.sub(r"\W", "", one).lower() for text in letters)]
    return [
        Alarms(f"LoCoMo, {name}", len(others), sum(_is_held(make(one), known) for one in others))
        for name, make in RECORDS.items()
    ]


def recognised_in(file: Path) -> float:
    """Of LoCoMo's sentences of 85 to 130 letters, each held alone: the share that is recognised inside another sentence
    of a labelled line."""
    sentences = dict.fromkeys(
        one for turn in _turns(json.loads(file.read_text())) for one in re.split(r"(?<=[.!?])\s+", turn)
    )
    held = [[one] for one in sentences if 85 <= len(re.sub(r"\W", "", one)) <= 130]
    known = [_remembering(lines(private(whole(one), f"held-{number}"))) for number, one in enumerate(held)]
    return _share(RECORDS["labelled"], lambda one: _inside(one[0]), held, known)


def _inside(sentence: str) -> str:
    return f"I was told that {sentence[0].lower()}{sentence[1:-1]}, which is new"


def _turns(found: object) -> list[str]:
    if isinstance(found, dict):
        own = [found["text"]] if "dia_id" in found and isinstance(found.get("text"), str) else []
        return own + [turn for value in found.values() for turn in _turns(value)]
    return [turn for value in found for turn in _turns(value)] if isinstance(found, list) else []


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.policies.echoes", description=__doc__)
    parser.add_argument("--notes", type=int, default=100, help="how many are held, and judged")
    parser.add_argument("--locomo", type=Path, default=None, help="locomo10.json")
    arguments = parser.parse_args()
    print_ = sys.stdout.write
    print_(f"{'recognised':36}{''.join(f'{name:>12}' for name in RECORDS)}\n")
    for row in recognised(arguments.notes):
        print_(f"{row.writing:36}{''.join(f'{share:12.0%}' for share in row.shares)}\n")
    if arguments.locomo:
        print_(f"{'of LoCoMo, inside another':36}{recognised_in(arguments.locomo):12.0%}\n")
    print_(f"\n{'held for nothing':36}{'of':>12}{'held':>12}\n")
    alarms = false_alarms(10 * arguments.notes)
    for one in alarms + (false_alarms_in(arguments.locomo) if arguments.locomo else []):
        print_(f"{one.what:36}{one.notes:12}{one.held:12}\n")


if __name__ == "__main__":
    main()
