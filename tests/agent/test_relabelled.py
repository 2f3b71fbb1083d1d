"""A label that comes late, when other machines have edited what it is about, or its copies have changed since."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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


def array(machine: Machine, file: str, *records: dict[str, object]) -> None:
    write(machine, file, json.dumps(records))


OPEN = {"id": SECRET["id"], "text": NOTE}
WRITERS = [("jsonl", lines), ("json", array)]


@pytest.mark.parametrize(("suffix", "written"), WRITERS, ids=["ledgers", "arrays"])
@pytest.mark.parametrize(("first", "last"), ["ap", "pa"])
def test_what_two_files_hold_leaves_when_the_last_of_them_lets_it_go(
    tmp_path: Path, suffix: str, written: Callable[..., None], first: str, last: str
) -> None:
    ant, _ = pair(tmp_path)
    for name in "ap":
        written(ant, f"{name}.{suffix}", SECRET, {"id": f"of-{name}", "text": f"said {name}"})
    ant.do("push")
    written(ant, f"{first}.{suffix}", OPEN, {"id": f"of-{first}", "text": f"said {first}"})
    for _ in range(3):
        ant.do("push", force=True)
        assert b"lantern" not in ant.outside()
    written(ant, f"{first}.{suffix}", OPEN | {"more": "edited"}, {"id": f"of-{first}", "text": f"said {first}"})
    ant.do("push")
    assert b"lantern" not in ant.outside()
    written(ant, f"{last}.{suffix}", OPEN, {"id": f"of-{last}", "text": f"said {last}"})
    ant.do("push")
    told = [json.loads(op["body"]) for op in ant.stored() if "lantern" in op.get("body", "")]
    assert OPEN in told
    assert OPEN | {"more": "edited"} in told
    assert ant.strays() == []
    with opened(ant.config, "test") as agent:
        assert agent.state.rows("select * from held_too") == []


@pytest.mark.parametrize(("suffix", "written"), WRITERS, ids=["ledgers", "arrays"])
def test_a_public_version_elsewhere_waits_for_the_private_one(
    tmp_path: Path, suffix: str, written: Callable[..., None]
) -> None:
    """However often it is edited."""
    ant, _ = pair(tmp_path)
    written(ant, f"p.{suffix}", SECRET)
    ant.do("push")
    for text in ("zebra one", "zebra two", "zebra three"):
        written(ant, f"a.{suffix}", PUBLIC | {"text": text})
        ant.do("push")
        assert b"zebra" not in ant.outside()
    written(ant, f"p.{suffix}", OPEN)
    ant.do("push")
    told = {json.loads(op["body"])["text"] for op in ant.stored() if op.get("key") == OPEN["id"]}
    assert {"zebra three", NOTE} <= told


def test_a_line_that_waits_for_one_in_its_own_file_waits_for_those_in_others_too(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    lines(ant, "p.jsonl", SECRET)
    ant.do("push")
    ant.append("p.jsonl", PUBLIC)
    ant.do("push")
    for text in ("zebra one", "zebra two"):
        lines(ant, "a.jsonl", PUBLIC | {"text": text})
        ant.do("push")
    assert b"zebra" not in ant.outside()


def test_a_private_entry_whose_array_was_renamed_is_let_go_under_its_new_name(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    array(ant, "p.json", SECRET)
    ant.do("push")
    (ant.tree / "p.json").rename(ant.tree / "q.json")
    ant.do("push")
    array(ant, "q.json", OPEN)
    ant.do("push")
    assert b"lantern" in ant.outside()


def test_a_file_without_the_line_does_not_hold_it_where_another_let_it_go(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    lines(ant, "a.jsonl", SECRET)
    lines(ant, "p.jsonl", SECRET)
    ant.do("push")
    lines(ant, "p.jsonl", OPEN)
    ant.do("push")
    assert b"lantern" not in ant.outside()
    lines(ant, "a.jsonl", {"id": "else", "text": "else"})
    ant.do("push")
    assert b"lantern" in ant.outside()


def test_a_ledger_that_is_renamed_to_a_secret_takes_its_lines_back(tmp_path: Path) -> None:
    ant, _ = pair(tmp_path)
    lines(ant, "log.jsonl", PUBLIC)
    ant.do("push")
    secret = "ghp_1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUvWx12"
    (ant.tree / "log.jsonl").rename(ant.tree / f"token-{secret}.jsonl")
    ant.do("push")
    assert secret.encode() not in ant.outside()
    assert b"zebra" not in ant.outside()
    (ant.tree / f"token-{secret}.jsonl").rename(ant.tree / "log.jsonl")
    ant.do("push")
    assert b"zebra" in ant.outside()
    assert secret.encode() not in ant.outside()
    assert ant.strays() == []


@pytest.mark.parametrize("more", [{"private": True}, {"visibility": "private"}, {"tags": ["private"]}])
@pytest.mark.parametrize("fields", [{"metric": "hba1c", "value": 9.1}, {"text": "Anna: B+"}, {"t": "甲乙"}])
def test_a_short_line_without_an_id_that_gets_a_label_is_withdrawn(
    ant: Machine, fields: dict[str, object], more: dict[str, object]
) -> None:
    """It has too few words to be recognised by them."""
    ant.append("log.jsonl", {"text": "before"}, fields, {"text": "behind"})
    ant.do("push")
    assert len(ant.bodies()) == 3
    lines = ant.read("log.jsonl").splitlines()
    lines[1] = json.dumps({**fields, **more})
    ant.write("log.jsonl", "\n".join(lines) + "\n")
    ant.do("push")
    assert [json.loads(body)["text"] for body in ant.bodies()] == ["before", "behind"]
    assert ant.strays() == []
