"""A flipped bit in what is known of a record, which SQLite cannot notice: refused by name, and nothing is sent twice or
withdrawn instead."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from memferry.agent.commands.doctor import doctor
from memferry.errors import StateError
from tests.agent.machines import Machine


def _hurt(ant: Machine, sql: str) -> None:
    with closing(sqlite3.connect(ant.config.state / "state.db")) as database, database:
        assert database.execute(sql).rowcount == 1


def _write_again(ant: Machine, file: str) -> None:
    """Another file under the same name is read from its beginning."""
    path = ant.tree / file
    draft = path.with_name("draft")
    draft.write_bytes(path.read_bytes())
    draft.replace(path)


_SECOND = "where seq = (select max(seq) from record)"


@pytest.mark.parametrize("column", ["id", "digest"])
@pytest.mark.parametrize("file", ["l.jsonl", "note.md"])
def test_a_record_is_not_sent_twice(ant: Machine, column: str, file: str) -> None:
    if file.endswith(".md"):
        ant.write(file, "a note about the tide")
    else:
        ant.append(file, {"id": "one", "text": "hello"}, {"id": "two", "text": "there"})
    ant.do("push")
    before = ant.bodies()
    _hurt(ant, f"update record set {column} = {column} + 4096 {_SECOND}")
    _write_again(ant, file)
    with pytest.raises(StateError, match="what is known of a record") as refused:
        ant.do("push", force=True)
    assert "memferry doctor --rebuild" in refused.value.hint
    assert ant.bodies() == before
    doctor(ant.config, rebuild=True)
    ant.do("push")
    assert ant.bodies() == before


def test_nothing_else_is_withdrawn(ant: Machine) -> None:
    ant.append("l.jsonl", {"id": "one", "text": "hello"}, {"id": "two", "text": "there"})
    ant.do("push")
    before = ant.bodies()
    _hurt(ant, f"update record set seq = seq - 1 {_SECOND}")
    with pytest.raises(StateError, match="what is known of a record"):
        ant.do("forget", targets=["two"])
    ant.do("push")
    assert ant.bodies() == before
    doctor(ant.config, rebuild=True)
    ant.do("forget", targets=["two"])
    ant.do("push")
    assert ant.bodies() == before[:1]


def test_a_file_that_became_another_is_read_as_ever(ant: Machine) -> None:
    """What nobody knows stands where something else did."""
    ant.append("l.jsonl", *({"id": f"old-{n}", "text": f"hello {n}"} for n in range(5)))
    ant.do("push")
    (ant.tree / "l.jsonl").unlink()
    ant.append("l.jsonl", {"id": "old-3", "text": "hello 3"}, *({"id": f"new-{n}"} for n in range(4)))
    assert ant.do("push")["new"] == 4
