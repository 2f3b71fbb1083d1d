"""A label that comes late, when other machines have edited what it is about, or its copies have changed since."""

from __future__ import annotations

import json
from pathlib import Path

from memferry.agent.service import opened
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


# -- versions of one record, some of them private


PUBLIC = {"id": "evt-000001", "text": "The zebra crossing by the harbour office was painted on Monday."}
SECRET = {"id": "evt-000001", "text": NOTE, "private": True}


def lines(machine: Machine, file: str, *records: dict[str, object]) -> None:
    write(machine, file, "".join(json.dumps(record) + "\n" for record in records))


def test_a_later_line_with_the_id_of_a_private_one_stays_at_home(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    lines(ant, "log.jsonl", SECRET, PUBLIC)
    ant.do("push")
    assert b"lantern" not in ant.outside()
    assert b"zebra" not in ant.outside()
    assert ant.strays() == []
    lines(ant, "log.jsonl", PUBLIC)
    ant.do("push")
    assert b"zebra" in ant.outside()
    lines(ant, "log.jsonl", SECRET, PUBLIC)
    ant.do("push")
    assert b"zebra" not in ant.outside()
    assert ant.strays() == []


def test_so_does_one_that_corrects_a_line_with_a_password(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    lines(ant, "log.jsonl", {"id": "evt-000001", "text": "db password: Tiger_4821x"}, PUBLIC)
    ant.do("push")
    assert b"zebra" not in ant.outside()
    lines(ant, "log.jsonl", PUBLIC)
    ant.do("push")
    assert b"zebra" in ant.outside()


def test_what_an_earlier_version_left_of_a_held_record_is_withdrawn_when_all_is_judged_again(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    lines(ant, "log.jsonl", PUBLIC)
    ant.do("push")
    with opened(ant.config, "test") as agent, agent.state.transaction():
        agent.state.execute("update record set seq = 0 where id = ?", (agent.fingerprint.key("notes", "evt-000001"),))
        agent.state.set_meta("judged notes", "another")
    assert ant.strays() == ["evt-000001"]
    lines(ant, "log.jsonl", PUBLIC | {"private": True})
    ant.do("push")
    assert b"zebra" not in ant.outside()
    assert ant.strays() == []
