"""A copy that is read before what it repeats: nothing of it leaves when both are read by one sync."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from memferry.agent.intake.ingest import Ingest
from tests.agent.machines import Machine

SHORT = "the merger with Acme closes in May"
LONG = (
    "the merger with Acme is to be closed quietly on the second Friday of May and nobody outside the board may hear"
    " about it"
)
ELSE = "something else altogether is written here"


def tell(ant: Machine, kind: str, text: str) -> None:
    """In a file that is read before all others."""
    if kind == "line":
        ant.append("a.jsonl", {"id": "copy", "text": text})
    elif kind == "labelled":
        ant.append("a.jsonl", {"id": "copy", "text": f"{ELSE}. {text}", "visibility": "team"})
    elif kind == "entry":
        ant.write("a.json", json.dumps([{"id": "copy", "text": text}]))
    else:
        ant.write("a.md", "# Notes\n\n" + "\n".join(textwrap.wrap(text, 40)))


@pytest.mark.parametrize("kind", ["line", "labelled", "entry", "document"])
@pytest.mark.parametrize("secret", [SHORT, LONG])
def test_a_copy_that_is_read_first_is_held(tmp_path: Path, kind: str, secret: str) -> None:
    ant = Machine(tmp_path, "ant")
    tell(ant, kind, f"Bob told me that {secret} and I agreed" if kind != "labelled" else secret)
    ant.append("a2.jsonl", {"id": "else", "text": ELSE})
    ant.append("p.jsonl", {"id": "private", "visibility": "private", "text": secret})
    assert ant.do("push")["held"]
    assert ant.bodies() == [json.dumps({"id": "else", "text": ELSE})]
    assert b"Acme" not in ant.outside()


def test_what_is_held_for_repeating_something_is_repeated_in_turn(tmp_path: Path) -> None:
    ant = Machine(tmp_path, "ant")
    other = "our neighbour keeps seven jars of honey in the cellar of the school"
    ant.write("a.md", f"# One\n\nI was told: {other}, which is new")
    ant.append("b.jsonl", {"id": "b", "text": f"They say that {SHORT} now", "refs": ["p-000001"], "more": other})
    ant.append("c.jsonl", {"id": "p-000001", "visibility": "private", "text": SHORT})
    ant.do("push")
    assert ant.bodies() == []


def test_a_crash_before_the_second_look_does_not_prevent_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ant = Machine(tmp_path, "ant")
    tell(ant, "document", f"Bob told me that {SHORT} and I agreed")
    ant.append("p.jsonl", {"id": "private", "visibility": "private", "text": SHORT})
    with monkeypatch.context() as patch:
        patch.setattr(Ingest, "look_again", lambda self: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            ant.do("push")
    ant.do("push")
    assert ant.bodies() == []
