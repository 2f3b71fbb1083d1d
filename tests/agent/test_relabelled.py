"""A label that comes late, when other machines have edited what it is about, or its copies have changed since."""

from __future__ import annotations

import json
from pathlib import Path

from tests.agent.machines import Machine

NOTE = "Mila told the harbour office on Monday that the copper lantern contract will not be renewed.\n"
LABEL = "---\nvisibility: private\n---\n"


def write(machine: Machine, file: str, text: str) -> None:
    (machine.tree / file).write_text(text)


def entry(text: str, **more: object) -> dict[str, object]:
    return {"id": "e1", "content": text, **more}


def pair(base: Path) -> tuple[Machine, Machine]:
    ant, bee = Machine(base, "ant"), Machine(base, "bee")
    for number in range(6):
        write(ant, f"other-{number}.md", f"Something else, number {number}.")
    return ant, bee


def hearsay(base: Path) -> tuple[Machine, Machine]:
    """Both have a note that will be private, and what repeats it."""
    ant, bee = pair(base)
    write(ant, "secret.md", NOTE)
    write(ant, "x.md", f"What I heard: {NOTE}")
    ant.sync()
    bee.sync()
    return ant, bee


def test_a_document_that_another_machine_edited_is_withdrawn_with_all_its_versions(tmp_path: Path) -> None:
    ant, bee = pair(tmp_path)
    write(ant, "x.md", NOTE)
    ant.sync()
    bee.sync()
    write(bee, "x.md", NOTE + "And bee agrees.\n")
    bee.sync()
    ant.sync()
    assert "bee agrees" in ant.read("x.md")
    write(ant, "x.md", LABEL + ant.read("x.md"))
    ant.sync()
    assert not [op for op in ant.stored() if op["op"] == "put" and op["file"] == "x.md" and op["body"] == NOTE]
    bee.sync()
    ant.sync()
    assert NOTE.strip().encode() not in ant.outside()


def test_an_entry_that_another_machine_edited_is_withdrawn_with_all_its_versions(tmp_path: Path) -> None:
    ant, bee = pair(tmp_path)
    write(ant, "e.json", json.dumps([entry("lantern"), {"id": "e2", "content": "o"}]))
    ant.sync()
    bee.sync()
    write(bee, "e.json", json.dumps([entry("lantern by bee"), {"id": "e2", "content": "o"}]))
    bee.sync()
    ant.sync()
    write(ant, "e.json", json.dumps([entry("lantern by bee", private=True), {"id": "e2", "content": "o"}]))
    ant.sync()
    bee.sync()
    ant.sync()
    assert b"lantern" not in ant.outside()


def test_a_version_that_repeats_it_is_withdrawn_although_a_later_one_does_not(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    write(ant, "secret.md", NOTE)
    write(ant, "x.md", f"What I heard: {NOTE}\nAnd the weather is fine.\n")
    ant.do("push")
    write(ant, "x.md", "The weather is fine, and I heard nothing worth a note.\n")
    ant.do("push")
    write(ant, "secret.md", LABEL + NOTE)
    report = ant.do("push")
    assert NOTE.strip().encode() not in ant.outside()
    assert [op["body"] for op in ant.stored() if op["op"] == "put" and op["file"] == "x.md"] == [ant.read("x.md")]
    assert report["withdrawn"] == 2
    assert ant.do("push")["new"] == 0


def test_so_is_one_that_another_machine_replaced(tmp_path: Path) -> None:
    ant, bee = hearsay(tmp_path)
    write(bee, "x.md", "Nothing worth a note.\n")
    bee.sync()
    ant.sync()
    assert ant.read("x.md") == "Nothing worth a note.\n"
    write(ant, "secret.md", LABEL + NOTE)
    ant.sync()
    bee.sync()
    ant.sync()
    assert NOTE.strip().encode() not in ant.outside()
    assert bee.read("x.md") == "Nothing worth a note.\n"  # at home: it was made from what became private


def test_other_machines_keep_the_version_that_does_not_repeat_it(tmp_path: Path) -> None:
    ant, bee = hearsay(tmp_path)
    write(ant, "x.md", "Nothing worth a note.\n")
    write(ant, "secret.md", LABEL + NOTE)
    ant.sync()
    bee.sync()
    assert bee.read("x.md") == "Nothing worth a note.\n"
    assert NOTE.strip().encode() not in ant.outside()
