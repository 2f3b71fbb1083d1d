"""Learning: what is acknowledged lies in the file, once, whoever else writes there."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.cli.main import run
from memferry.config import Config, Space
from memferry.errors import ConfigError, MemferryError, ScannerBroken, TransientError
from memferry.formats.entries import Entries
from memferry.memory import arrays, drafts, entries, locks, names
from memferry.memory.drafts import Draft
from memferry.memory.entries import Topic
from memferry.memory.where import home
from memferry.model import Source
from tests.agent.machines import Machine

WRITERS, EACH = 100, 100
WRITER = """
import os, sys, time
from pathlib import Path
from memferry.memory import drafts, entries
topic = entries.Topic(Path(sys.argv[1]), "load.json")
for first in range(int(sys.argv[2]), int(sys.argv[3])):
    if os.fork() == 0:
        for n in range(int(sys.argv[4])):
            draft = drafts.Draft(f"writer {first}, lesson {n}")
            entries.add(topic, drafts.entry_of(draft, time.time(), os.urandom(6)))
        os._exit(0)
codes = [os.wait()[1] for _ in range(int(sys.argv[2]), int(sys.argv[3]))]
sys.exit(any(codes))
"""


def topic(folder: Path, name: str = "deploy") -> Topic:
    return Topic(folder, f"{name}.json")


def learned(content: str, **more: Any) -> arrays.Entry:
    return drafts.entry_of(Draft(content, **more), time.time(), os.urandom(6))


def contents(path: Path) -> list[str]:
    return [entry["content"] for entry in arrays.entries(path.read_bytes(), path)]


# -- one writer


def test_a_first_entry_makes_the_file_and_the_next_goes_behind_it(tmp_path: Path) -> None:
    place = topic(tmp_path / "spark-memory")
    entries.add(place, learned("één"))
    entries.add(place, learned("two\u2028lines", type="lesson", tags=("a", "b", "a")))
    first, second = json.loads(place.path.read_text("utf-8"))
    assert (first["content"], first["type"], first["importance"], first["sensitivity"]) == (
        "één",
        "fact",
        0.7,
        "internal",
    )
    assert (second["content"], second["type"], second["tags"]) == ("two\u2028lines", "lesson", ["a", "b"])
    assert set(first) == {
        "id", "agent", "type", "content", "importance", "confidence", "sensitivity", "tags", "source", "access_count",
        "last_accessed", "created_at", "updated_at",
    }  # fmt: skip
    assert place.path.read_text("utf-8").count("\n") == 4


def test_the_layout_is_the_one_that_a_pull_writes(tmp_path: Path) -> None:
    place = topic(tmp_path)
    for content in ("one", "two"):
        entries.add(place, learned(content))
    snapshot = Entries().parse(Source("s", place.file, "entries"), place.path.read_bytes())
    assert snapshot is not None
    assert Entries().render([record.body for record in snapshot.records], None) == place.path.read_bytes()


_VALUES = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=4), max_size=3)


@settings(max_examples=40)
@given(
    st.lists(_VALUES, max_size=4), st.sampled_from([None, 1, 4]), st.booleans(), st.sampled_from(["", "\n", " \r\n"])
)
def test_every_byte_that_was_there_stays(present: list[object], indent: int | None, bare: bool, end: str) -> None:
    text = json.dumps(present if bare else {"entries": present, "v": [1]}, indent=indent, ensure_ascii=False) + end
    array, found = arrays.parse(text.encode(), Path("x.json"))
    added = array.with_entries([b'{"id":"n1"}', b'{"id":"n2"}'])
    value = json.loads(added.content)
    assert found == present
    assert (value if bare else value["entries"]) == [*present, {"id": "n1"}, {"id": "n2"}]
    assert added.content.startswith(array.content[: array.end])
    assert added.content.endswith(array.content[array.end :])
    again = arrays.parse(added.content, Path("x.json"))[0]
    assert (again.end, again.empty) == (added.end, False)


@pytest.mark.parametrize(
    "damage",
    [b"[", b"{}", b'{"entries": 1}', b"[1]", b'["a"]', b"null", b"  ", b'[{"id":"a"}', "[]".encode("utf-16"), b"\xff[]",
     b'{"a":1,"a":2,"entries":[]}'],
)  # fmt: skip
def test_what_is_no_array_of_entries_is_left_as_it_is(tmp_path: Path, damage: bytes) -> None:
    place = topic(tmp_path)
    place.path.write_bytes(damage)
    with pytest.raises(MemferryError, match=r"deploy\.json") as told:
        entries.add(place, learned("lost?"))
    assert told.value.hint
    assert place.path.read_bytes() == damage
    place.path.unlink()
    entries.add(place, learned("kept"))
    assert contents(place.path) == ["kept"], "what was refused does not come later"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text("[]")
    place = topic(tmp_path)
    place.path.symlink_to(elsewhere)
    with pytest.raises(MemferryError):
        entries.add(place, learned("no"))
    assert elsewhere.read_text() == "[]"


def test_nothing_is_learned_from_nothing_or_from_broken_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="empty"):
        learned("  \n")
    with pytest.raises(ConfigError, match="UTF-8"):
        entries.add(topic(tmp_path), learned("half \udc80"))
    assert not topic(tmp_path).path.exists()


# -- many writers


@pytest.mark.skipif(sys.platform == "win32", reason="forks its writers")
@pytest.mark.timeout(600)
def test_a_hundred_writers_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "0", str(WRITERS), str(EACH)]
    subprocess.run([sys.executable, "-c", WRITER, *arguments], check=True, timeout=580)
    found = contents(tmp_path / "load.json")
    assert sorted(found) == sorted(f"writer {w}, lesson {n}" for w in range(WRITERS) for n in range(EACH))
    assert (tmp_path / ".memferry" / "load.json.inbox").read_bytes() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="kills its writers")
def test_a_killed_writer_leaves_a_whole_file_and_everything_acknowledged(tmp_path: Path) -> None:
    script = WRITER.replace("entries.add(", "print(draft.content, flush=True) if entries.add(").replace(
        "os.urandom(6)))", "os.urandom(6))) is None else None"
    )
    said: list[str] = []
    for round_ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(round_), str(round_ + 1), "1000"],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            said += [child.stdout.readline().strip() for _ in range(5)]
            os.killpg(child.pid, signal.SIGKILL)
            said += [line.strip() for line in child.stdout if line.endswith("\n")]
    entries.add(topic(tmp_path, "load"), learned("the last"))
    found = contents(tmp_path / "load.json")
    assert len(found) == len(set(found))
    assert {*said, "the last"} <= set(found)


def test_an_entry_that_a_crash_left_in_the_inbox_is_taken_along_once(tmp_path: Path) -> None:
    place = topic(tmp_path)
    left, written = learned("left behind"), learned("written, not crossed out")
    entries.add(place, written)
    torn = arrays.body(learned("torn"))[:40]
    place.inbox.write_bytes(b"".join(arrays.body(one) + b"\n" for one in (left, written)) + torn)
    place.lock.write_bytes(b"")
    entries.add(place, learned("next"))
    assert contents(place.path) == ["written, not crossed out", "left behind", "next"]


def test_an_array_is_parsed_again_only_when_somebody_else_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = topic(tmp_path)
    parsed: list[int] = []
    parse = arrays.parse

    def noted(content: bytes, path: Path) -> Any:
        parsed.append(len(content))
        return parse(content, path)

    monkeypatch.setattr(arrays, "parse", noted)
    for n in range(3):
        entries.add(place, learned(f"ours {n}"))
    assert len(parsed) == 1
    place.path.write_text(json.dumps([*json.loads(place.path.read_text()), {"id": "t", "content": "theirs"}]))
    entries.add(place, learned("ours 3"))
    assert len(parsed) == 2
    place.lock.write_text('[["x"], null')
    entries.add(place, learned("ours 4"))
    assert len(parsed) == 3
    monkeypatch.undo()
    assert contents(place.path) == ["ours 0", "ours 1", "ours 2", "theirs", "ours 3", "ours 4"]


def test_a_program_that_knows_no_locks_loses_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes between our reading and our writing, once."""
    place = topic(tmp_path)
    entries.add(place, learned("ours"))
    theirs = json.dumps([*json.loads(place.path.read_text()), {"id": "t", "content": "theirs"}])
    with_entries = arrays.Array.with_entries
    wrote: list[bool] = []

    def overtaken(array: arrays.Array, bodies: list[bytes]) -> arrays.Array:
        if not wrote:
            wrote.append(True)
            place.path.write_text(theirs)
        return with_entries(array, bodies)

    monkeypatch.setattr(arrays.Array, "with_entries", overtaken)
    entries.add(place, learned("ours too"))
    assert contents(place.path) == ["ours", "theirs", "ours too"]


def test_a_holder_that_hangs_is_named_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.05)
    place = topic(tmp_path)
    with locks.held(place.lock), pytest.raises(TransientError, match="another process"):
        entries.add(place, learned("too late"))
    entries.add(place, learned("in time"))
    assert contents(place.path) == ["in time"]


def test_a_pull_and_a_writer_lose_nothing(ant: Machine, bee: Machine) -> None:
    """Both rewrite one array, as often as they can."""
    there, here = Topic(bee.tree, "deploy.json"), Topic(ant.tree, "deploy.json")
    entries.add(here, learned("ant 0"))
    ant.do("push")
    bee.do("pull")
    stop = threading.Event()
    count = 0

    def learn_on() -> None:
        nonlocal count
        while not stop.is_set():
            entries.add(there, learned(f"bee {count}"))
            count += 1

    writer = threading.Thread(target=learn_on)
    writer.start()
    try:
        for n in range(1, 6):
            entries.add(here, learned(f"ant {n}"))
            ant.do("push")
            bee.do("pull")
    finally:
        stop.set()
        writer.join()
    bee.do("pull")
    found = contents(there.path)
    assert sorted(found) == sorted([f"ant {n}" for n in range(6)] + [f"bee {n}" for n in range(count)])


# -- names and places


@pytest.mark.parametrize("name", ["deploy", "API_design", "2026-plan", "x" * 64])
def test_names_that_are_topics(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize(
    ("name", "near"),
    [("API design", "api-design"), ("../etc/passwd", "etc-passwd"), ("con", "topic-con"), ("a.b", "a-b"),
     ("", "topic"), ("COM1", "topic-com1"),
     ("überblick", "berblick"), ("x" * 65, "x" * 64), ("-a", "a"), ("nul\n", "topic-nul"), ("日本", "topic")],
)  # fmt: skip
def test_a_name_that_is_none_is_answered_with_one_that_is(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as told:
        names.check(name)
    assert repr(near) in told.value.hint
    assert names.check(near) == near


def test_a_topic_in_other_letter_case_is_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "Deploy.json").write_text("[]")
    assert names.file_of(tmp_path, "deploy") == "Deploy.json"
    assert names.file_of(tmp_path, "Deploy") == "Deploy.json"
    assert names.file_of(tmp_path, "deploys") == "deploys.json"


def configured(*spaces: Space) -> Config:
    return Config(Path("memferry.yaml"), Path("state"), spaces=spaces)


def test_where_entries_are_kept(tmp_path: Path) -> None:
    atlas, borealis = tmp_path / "atlas", tmp_path / "borealis"
    first, second = Space("a", atlas / "spark-memory", "entries"), Space("b", borealis / "spark-memory")
    notes = Space("notes", tmp_path / "notes", "document")
    one, both = configured(notes, first), configured(notes, first, second)
    assert home(one, tmp_path).space == "a", "the only one, from anywhere"
    assert home(both, borealis / "src").space == "b", "the one of the project around"
    assert home(both, tmp_path, "a").folder == first.path
    with pytest.raises(ConfigError) as told:
        home(both, tmp_path)
    assert "a, b" in told.value.hint
    with pytest.raises(ConfigError, match="notes"):
        home(both, tmp_path, "notes")


def test_without_a_configuration_it_is_the_folder_of_the_project(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "src" / "deep"
    inner.mkdir(parents=True)
    assert home(None, inner) == (inner / "spark-memory", None)
    (tmp_path / "repository" / ".git").mkdir()
    assert home(None, inner).folder == tmp_path / "repository" / "spark-memory"
    (tmp_path / "repository" / "src" / "spark-memory").mkdir()
    assert home(configured(), inner).folder == tmp_path / "repository" / "src" / "spark-memory"


# -- the command


def test_the_command_needs_no_configuration(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learn", "--topic", "deploy", "--content", "x", "--tag", "a", "--agent", "me", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["space"], told["topic"], told["type"]) == (None, "deploy", "fact")
    assert "not carried" in told["notices"][0] or "stays on this computer" in told["notices"][0]
    (entry,) = json.loads((alone / "spark-memory" / "deploy.json").read_text())
    assert (entry["id"], entry["tags"], entry["agent"]) == (told["id"], ["a"], "me")


SECRET = "the staging password is hunter2-Sunshine"


def test_what_looks_like_a_secret_is_kept_private_and_that_is_said(
    alone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["learn", "--topic", "deploy", "--content", SECRET, "--json"]) == 0
    shown = capsys.readouterr().out
    told = json.loads(shown)
    assert told["sensitivity"] == "private"
    assert "password" in told["notices"][0]
    assert "hunter2" not in shown
    run(["learn", "--topic", "deploy", "--content", "The webhook at port 8080 answers: it is up.", "--json"])
    assert json.loads(capsys.readouterr().out)["sensitivity"] == "internal"

    def broken(text: str) -> None:
        raise ScannerBroken("it is broken", hint="mend it")

    monkeypatch.setattr("memferry.policies.secrets.found", broken)
    run(["learn", "--topic", "deploy", "--content", "session 12: a token", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["sensitivity"] == "private"
    assert "cannot be told" in told["notices"][0]


def test_a_pipe_is_read_as_utf8_whatever_the_system_takes_it_for(
    alone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: PowerShell writes UTF-8, with a mark before it and two characters at the end of a line."""

    def piped(content: bytes) -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="cp1252"))
        return run(["learn", "--topic", "deploy", "--content", "-"])

    assert piped(b"\xef\xbb\xbf" + "één → two\r\nlines".encode()) == 0
    assert contents(alone / "spark-memory/deploy.json") == ["één → two\nlines"]
    assert piped(b"caf\xe9") == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_harmless_words_load_no_search_for_secrets_and_no_yaml(alone: Path) -> None:
    (alone / "state").mkdir()
    (alone / "m.yaml").write_text("state: state\nspaces: [{name: s, path: spark-memory, format: entries}]\n")
    script = (
        "import sys; from memferry.cli.main import run;"
        "code = run(['learn', '--config', 'm.yaml', '--topic', 't', '--content', 'Ferries leave at noon.']);"
        "slow = {'re2', 'msgspec', 'yaml', 'sqlite3', 'zstandard', 'secrets', 'memferry.policies.secrets'};"
        "sys.exit(code or ' '.join(sorted(slow & set(sys.modules))) or 0)"
    )
    for _ in range(2):  # the first one keeps the parsed configuration
        ran = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    "wrong",
    [["--type", "rumour"], ["--importance", "1.5"], ["--importance", "nan"], ["--sensitivity", "secret"],
     ["--topic", "a/b"], ["--content", ""], ["--space", "nowhere"]],
)  # fmt: skip
def test_a_wrong_argument_is_named_and_nothing_is_written(
    alone: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    assert run(["learn", "--topic", "deploy", "--content", "x", *wrong, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]
    assert not (alone / "spark-memory").exists()


def test_a_configuration_that_is_named_must_be_there(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learn", "--topic", "deploy", "--content", "x", "--config", "none.yaml"]) == 2
    assert "there is no configuration" in capsys.readouterr().err
