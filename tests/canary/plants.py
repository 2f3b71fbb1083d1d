"""Private texts in every kind of place that memory has, each with random digits of its own, beside public ones."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Garden:
    """Files, and what in them is private and public. `files`: bytes by path; `private`: lines and texts, each with a
    canary; `names`: of files and folders; `public`: lines and documents that must be carried, or the search has proved
    nothing."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"{seed}/garden")
        self.files: dict[str, bytes] = {}
        self.private: set[str] = set()
        self.public: set[str] = set()
        self.names: set[str] = set()
        for plant in KINDS.values():
            plant(self)

    def grow(self, space: Path) -> None:
        """Write them below a space."""
        for name, content in self.files.items():
            path = space / "garden" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    # -- what the kinds are made of

    def canary(self) -> str:
        """128 random bits, which alone betray where they came from."""
        digits = f"{self._chance.getrandbits(128):032x}"
        self.private.add(digits)
        return digits

    def name(self) -> str:
        """The same for the name of a file or a folder."""
        digits = f"{self._chance.getrandbits(128):032x}"
        self.names.add(digits)
        return digits

    def words(self, count: int = 12) -> str:
        """A sentence that shares no word with any other."""
        return " ".join("".join(self._chance.choices(LETTERS, k=8)) for _ in range(count))

    def entry(self, **fields: object) -> str:
        """A line that says that anybody may read it, unless its fields say otherwise."""
        return json.dumps(
            {
                "id": f"evt-{self._chance.getrandbits(48):012x}-g1",
                "visibility": "project",
                "text": self.words(),
                **fields,
            }
        )

    def hidden(self, **fields: object) -> str:
        """A line that must stay, with a canary in its text."""
        line = self.entry(**{"text": f"{self.words()} {self.canary()}", **fields})
        self.private.add(line)
        return line

    def shown(self) -> str:
        line = self.entry()
        self.public.add(line)
        return line

    def ledger(self, name: str, *hidden: str) -> None:
        """What must stay, between two lines that must not."""
        self.files[name] = "".join(f"{one}\n" for one in (self.shown(), *hidden, self.shown())).encode()


def label(bed: Garden) -> None:
    """Also in a file of which nothing is carried, so that its name must stay, too."""
    values = {"visibility": "private"}, {"private": True}, {"sensitivity": "secret"}, {"confidential": True}
    bed.ledger("label.jsonl", *(bed.hidden(**value) for value in values))
    bed.files[f"label-{bed.name()}.jsonl"] = f"{bed.hidden(visibility='private')}\n".encode()


def nested_label(bed: Garden) -> None:
    deep = {"meta": [{"x": 1}, {"visibility": "private", "note": bed.canary()}]}
    bed.ledger("nested.jsonl", bed.hidden(payload=deep), bed.hidden(items=[{"tags": ["private"]}]))


def lineage(bed: Garden) -> None:
    """What names a private record, and what names that."""
    first = bed.hidden(visibility="private")
    second = bed.hidden(source_event_id=json.loads(first)["id"])
    bed.ledger("lineage.jsonl", first, second, bed.hidden(event_refs=[json.loads(second)["id"]]))


def overlap(bed: Garden) -> None:
    text = f"{bed.words(14)} {bed.canary()}"
    source = bed.hidden(visibility="private", text=text)
    bed.ledger("overlap.jsonl", source, bed.hidden(text=text.upper()), bed.hidden(text=f"As was said:\n> {text}"))
    page = f"# Page\n\nIt was said that {text} today.\n"
    bed.private.add(page)
    bed.files["overlap.md"] = page.encode()


def archive(bed: Garden) -> None:
    lines = [bed.shown(), bed.hidden(visibility="private"), bed.shown()]
    bed.files["old.jsonl.gz"] = gzip.compress("".join(f"{one}\n" for one in lines).encode())


def path(bed: Garden) -> None:
    """Names of files and folders that are held, ignored, switched off or hidden."""
    for name in (
        f"people/{bed.name()}/diary.md", f"{bed.name()}.md", f"off/{bed.name()}.md", f".{bed.name()}/x.md",
        f"drafts/{bed.name()}.md",
    ):  # fmt: skip
        text = f"---\nprivate: true\n---\n{bed.words()} {bed.canary()}\n"
        bed.private.add(text)
        bed.names |= {name, f"garden/{name}"}
        bed.files[name] = text.encode()
    bed.files |= {"off/.memferry-off": b"", ".memferryignore": b"drafts/\n"}
    page = f"# Page\n\n{bed.words()}\n"
    bed.public.add(page)
    bed.files["people/open.md"] = page.encode()


def tag(bed: Garden) -> None:
    bed.ledger("tag.jsonl", bed.hidden(tags=["private", bed.canary()]), bed.hidden(tags=f"private, {bed.canary()}"))


def topic(bed: Garden) -> None:
    bed.ledger("topic.jsonl", bed.hidden(visibility="private", topic=bed.canary(), type=bed.canary()))
    text = f"---\nsensitivity: secret\ntopic: {bed.canary()}\n---\n# {bed.canary()}\n"
    bed.private.add(text)
    bed.files["topic.md"] = text.encode()


def mark(bed: Garden) -> None:
    bed.ledger("mark.jsonl", bed.hidden(text=f"{bed.words()} <private>{bed.canary()}</private>"))


def array_entry(bed: Garden) -> None:
    entries = [bed.shown(), bed.hidden(visibility="private")]
    bed.files["entries.json"] = f"[{', '.join(entries)}]".encode()


def error_message(bed: Garden) -> None:
    """What cannot be parsed: parsers like to quote what they choke on."""
    torn = f'{{"id": "{bed.canary()}", "text": "{bed.words()} {bed.canary()}'
    twice = f'{{"id": "x", "private": true, "private": false, "text": "{bed.canary()}"}}'
    bed.private |= {torn, twice}
    bed.ledger("broken.jsonl", torn, twice)
    for number, front in enumerate((f"{{{bed.canary()}", f"private: !!{bed.canary()} x", f"a: *{bed.canary()}")):
        text = f"---\n{front}\n---\n{bed.canary()}\n"
        bed.private.add(text)
        bed.files[f"broken-{number}.md"] = text.encode()


KINDS: Mapping[str, Callable[[Garden], None]] = {
    "label": label,
    "nested label": nested_label,
    "lineage": lineage,
    "overlap": overlap,
    "archive": archive,
    "path": path,
    "tag": tag,
    "topic": topic,
    "mark": mark,
    "array entry": array_entry,
    "error message": error_message,
}
"""Kinds of private places. Another one is one more function: it writes files, and says what in them is private."""
