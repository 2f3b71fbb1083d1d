"""Digesting: fewer entries, nothing lost, nothing private let out, the same on every machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memferry.cli.main import run
from memferry.errors import ConfigError, MemferryError
from memferry.memory import access, arrays, digest, grouping, undo
from memferry.memory.digest import Digest
from tests.agent.machines import Machine, quiet
from tests.memory.test_topics import DAY, NOW, entry, told, write

RETRY = ("The webhook retries five times", "A failed webhook retries with backoff", "webhook retries are logged")


def digested(path: Path, most: int = 20, *, at: float = NOW) -> Digest:
    return digest.carry_out(path, at, most, dry_run=False)


def found(path: Path) -> list[dict[str, Any]]:
    return arrays.entries(path.read_bytes(), path)


def ids(path: Path) -> list[str]:
    return [one["id"] for one in found(path)]


def about_webhooks(**more: Any) -> list[dict[str, Any]]:
    return [entry(f"w{n}", n, content=text, **more) for n, text in enumerate(RETRY)]


# -- what belongs together


def test_texts_that_share_words_belong_together() -> None:
    texts = [RETRY[0], "the tide tables are in UTC", RETRY[1], "Tide tables: UTC, always", RETRY[2], "something else"]
    assert grouping.groups(texts, 20, grouping.by_words) == [[0, 2, 4], [1, 3]]
    assert grouping.groups(texts, 2, grouping.by_words) == [[0, 2], [1, 3]]


def test_words_that_mean_nothing_bring_nothing_together() -> None:
    assert grouping.groups(["that is what it was", "this is what they were", ""], 9, grouping.by_words) == []


@given(st.lists(st.text("ab cde fgh", max_size=12), max_size=12), st.integers(2, 5))
def test_nobody_is_in_two_groups(texts: list[str], most: int) -> None:
    made = grouping.groups(texts, most, grouping.by_words)
    members = [number for group in made for number in group]
    assert len(members) == len(set(members))
    assert all(2 <= len(group) <= most and group == sorted(group) for group in made)


# -- one digest


def test_the_id_of_a_digest_tells_nothing_of_its_words(tmp_path: Path) -> None:
    """It stays when words are redacted, and guesses could be tried against it."""
    made = []
    for name in ("4711", "4712"):
        path = write(tmp_path / name, "deploy", *about_webhooks(tags=[name]))
        path.write_text(path.read_text().replace("webhook", f"webhook {name}"))
        made.append(digested(path).merges[0].entry)
    assert made[0]["id"] == made[1]["id"]
    assert made[0]["content"] != made[1]["content"]


def test_entries_about_the_same_become_one_that_names_them(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "deploy",
        *about_webhooks(source="incident", tags=["api"], importance=0.6),
        entry("x", content="Tides."),
    )
    access.count(tmp_path, ["w0"], NOW)
    (merge,) = digested(path).merges
    kept, one = found(path)
    assert (kept["id"], one) == ("x", merge.entry)
    assert one["content"].split("\n") == [RETRY[2], RETRY[1], RETRY[0]], "the oldest first, word for word"
    assert (one["supersedes"], one["sources"]) == (["w2", "w1", "w0"], ["incident"])
    assert (one["type"], one["sensitivity"], one["tags"], one["importance"]) == ("fact", "internal", ["api"], 0.6)
    assert one["access_count"] == 1


def test_what_nobody_recalled_for_thirty_days_goes(tmp_path: Path) -> None:
    texts = {"old": "Tides", "used": "Ferries", "new": "Piers", "les": "Gulls", "dec": "Ropes"}
    entries = [entry(name, 31, content=text) for name, text in texts.items()]
    entries[2] |= {"last_accessed": "2026-11-20T00:00:00Z"}
    entries[3]["type"], entries[4]["type"] = "lesson", "decision"
    path = write(tmp_path, "deploy", *entries)
    access.count(tmp_path, ["used"], NOW)
    made = digested(path)
    assert [one.key for one in made.faded] == ["old"]
    assert ids(path) == ["used", "new", "les", "dec"]


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "decision"}, {"type": "lesson"}, {"type": "rumour"}, {"visibility": "project"}, {"content": 7},
        {"id": 5}, {"tags": "api"}, {"event_refs": ["x"]},
    ],
)  # fmt: skip
def test_what_is_decided_learned_or_not_understood_stays_as_it_is(tmp_path: Path, odd: dict[str, Any]) -> None:
    kept = [one | odd for one in about_webhooks()]
    path = write(tmp_path, "deploy", *kept, entry("p", content=RETRY[0]))
    before = found(path)
    assert digested(path).merges == ()
    assert found(path) == before


def test_an_entry_with_two_labels_is_not_taken_for_either(tmp_path: Path) -> None:
    path = tmp_path / "deploy.json"
    twice = json.dumps(entry("t", content=RETRY[0]))[:-1] + ', "sensitivity": "private", "sensitivity": "internal"}'
    path.write_text(f"[{twice}, {json.dumps(entry('u', content=RETRY[1]))}]")
    before = path.read_bytes()
    assert digested(path).merges == ()
    assert path.read_bytes() == before


def test_ids_that_stand_twice_are_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy", *[one | {"id": "same"} for one in about_webhooks()])
    assert digested(path).gone == []


_KINDS = st.sampled_from(["fact", "reflection", "lesson", "decision"])
_LABELS = st.sampled_from(["internal", "public", "private", "secret", None])
_ENTRIES = st.lists(
    st.tuples(st.sampled_from(RETRY), _KINDS, _LABELS, st.integers(0, 60), st.sampled_from([[], ["private"], ["x"]])),
    max_size=10,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ENTRIES, st.integers(2, 4))
def test_nothing_is_lost_nothing_let_out_and_all_comes_back(
    tmp_path: Path, made_of: list[tuple[str, str, str | None, int, list[str]]], most: int
) -> None:
    before = [
        entry(f"e{n}", days, content=f"{text} {n}", type=kind, tags=tags) | {"sensitivity": label}
        for n, (text, kind, label, days, tags) in enumerate(made_of)
    ]
    path = write(tmp_path, "deploy", *before)
    made = digested(path, most)
    after = {one["id"]: one for one in found(path)}
    byid = {one["id"]: one for one in before}
    for one in before:
        if one["type"] in ("lesson", "decision"):
            assert after[one["id"]] == one
    for merge in made.merges:
        parts = [byid[name] for name in merge.entry["supersedes"]]
        labels = [
            one["sensitivity"]
            if one["sensitivity"] in ("internal", "public") and "private" not in one["tags"]
            else "private"
            for one in parts
        ]
        assert {merge.entry["sensitivity"]} == set(labels)
        assert all(one["content"] in merge.entry["content"] for one in parts)
        assert 2 <= len(parts) <= most
    gone = byid.keys() - after.keys()
    assert gone == {one.key for one in made.gone}
    assert digest.carry_out(path, NOW, most, dry_run=True).faded == ()
    if gone:
        undo.undo(path, dry_run=False)
    assert {one["id"]: one for one in found(path)} == byid


# -- taking it back


def test_digests_are_undone_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy", *about_webhooks(), entry("old", 40, content="Tides"))
    before = {one["id"]: one for one in found(path)}
    first = digested(path)
    middle = path.read_bytes()
    path.write_text(json.dumps([*found(path), entry("w9", -1, content="the webhook retries once more")]))
    digested(path)
    assert len(found(path)) == 1
    assert sorted(undo.undo(path, dry_run=True).restored) == sorted([first.merges[0].entry["id"], "w9"])
    undo.undo(path, dry_run=False)
    assert {one["id"] for one in found(path)} == {one["id"] for one in json.loads(middle)} | {"w9"}
    undo.undo(path, dry_run=False)
    assert {one["id"]: one for one in found(path) if one["id"] != "w9"} == before
    with pytest.raises(ConfigError, match="no digest"):
        undo.undo(path, dry_run=False)


def test_a_copy_that_a_sync_service_made_of_what_was_kept_is_no_obstacle(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy", *about_webhooks())
    first = undo.next_file(path)
    first.with_name("000001 2.json").write_bytes(b"")
    first.with_name("000007.json").write_bytes(b"")
    assert undo.next_file(path).name == "000008.json"


def test_the_topic_that_was_digested_last_is_undone_first(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = alone / "spark-memory"
    assert run(["undo"]) == 2
    for number, name in enumerate(("piers", "deploy")):
        path = write(folder, name, *about_webhooks())
        digested(path)
        (file,) = (folder / ".memferry" / f"{name}.json.digests").iterdir()
        os.utime(file, (number, number))
    assert [told(capsys, "undo")["topic"] for _ in range(2)] == ["deploy", "piers"]
    assert run(["undo"]) == 2


def test_an_undo_leaves_what_was_changed_since(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy", *about_webhooks())
    (merge,) = digested(path).merges
    changed = merge.entry | {"content": "somebody knows better"}
    path.write_text(json.dumps([changed]))
    done = undo.undo(path, dry_run=False)
    assert (done.left, done.removed) == ((merge.entry["id"],), ())
    assert sorted(ids(path)) == sorted(["w0", "w1", "w2", merge.entry["id"]])


def test_a_crash_before_the_file_was_written_undoes_to_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "deploy", *about_webhooks())
    before = path.read_bytes()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(digest.records, "rendered", crash)
    with pytest.raises(KeyboardInterrupt):
        digested(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    undo.undo(path, dry_run=False)
    assert path.read_bytes() == before


def test_a_damaged_file_is_not_digested(tmp_path: Path) -> None:
    (tmp_path / "deploy.json").write_text("[{")
    with pytest.raises(MemferryError):
        digested(tmp_path / "deploy.json")
    assert (tmp_path / "deploy.json").read_text() == "[{"


# -- between machines


def test_a_digest_travels_and_so_does_its_undoing(ant: Machine, bee: Machine) -> None:
    path, there = write(ant.tree, "deploy", *about_webhooks()), bee.tree / "deploy.json"
    quiet(ant, bee)
    digested(path)
    quiet(ant, bee)
    assert ids(there) == ids(path)
    assert len(ids(path)) == 1
    for machine in (ant, bee):
        assert not machine.status()["problems"], "all entries but one went at once, and nobody is asked about it"
    undo.undo(path, dry_run=False)
    quiet(ant, bee)
    assert sorted(ids(there)) == sorted(ids(path)) == ["w0", "w1", "w2"]


def test_the_same_digest_on_two_machines_at_once_is_one(ant: Machine, bee: Machine) -> None:
    path, there = write(ant.tree, "deploy", *about_webhooks()), bee.tree / "deploy.json"
    quiet(ant, bee)
    digested(path)
    digested(there, at=NOW + 60)
    quiet(ant, bee)
    assert ids(path) == ids(there)
    assert len(ids(path)) == 1
    assert not ant.conflicts()


def test_different_digests_at_once_lose_nothing_and_the_next_one_makes_them_one(ant: Machine, bee: Machine) -> None:
    path, there = write(ant.tree, "deploy", *about_webhooks()), bee.tree / "deploy.json"
    quiet(ant, bee)
    more = entry("w9", -1, content="A webhook retries ten times at night")
    there.write_text(json.dumps([*found(there), more]))
    digested(path)
    digested(there)
    quiet(ant, bee)
    assert sorted(ids(path)) == sorted(ids(there))
    assert len(ids(path)) == 2
    assert {line for one in found(path) for line in one["content"].split("\n")} == {*RETRY, more["content"]}
    digested(path)
    quiet(ant, bee)
    (one,) = found(there)
    assert sorted(one["content"].split("\n")) == sorted([*RETRY, more["content"]])
    assert {"w0", "w1", "w2", "w9"} < set(one["supersedes"])


@pytest.mark.parametrize("label", ["public", "internal", None])
def test_what_others_have_they_have_after_a_digest(ant: Machine, bee: Machine, label: str | None) -> None:
    """Also of entries without a label, as other tools write them."""
    shared = [{name: value for name, value in one.items() if value} for one in about_webhooks(sensitivity=label)]
    path = write(ant.tree, "deploy", *shared, entry("p", content="webhook team retries of Ada", sensitivity="private"))
    quiet(ant, bee)
    (merge,) = digested(path).merges
    quiet(ant, bee)
    assert merge.entry.get("sensitivity") == label
    assert ids(bee.tree / "deploy.json") == [merge.entry["id"]]
    assert all(text in bee.read("deploy.json") for text in RETRY)


@pytest.mark.parametrize(
    "held",
    [
        {"content": "the webhook retries with password hunter2000x"},
        {"content": "webhook retries: see prv-00000000001", "supersedes": ["prv-00000000001"]},
        {"content": "Webhook retries. Ada told the team in confidence of her heart clinic"},
    ],
    ids=["a secret", "names it", "repeats it"],
)
def test_what_is_held_without_a_label_keeps_nothing_at_home(ant: Machine, bee: Machine, held: dict[str, Any]) -> None:
    private = entry(
        "prv-00000000001", content="Ada told the team in confidence of her heart clinic", sensitivity="private"
    )
    path = write(ant.tree, "deploy", *about_webhooks(), private, entry("h") | held)
    quiet(ant, bee)
    assert sorted(ids(bee.tree / "deploy.json")) == ["w0", "w1", "w2"]
    (merge,) = digested(path).merges
    quiet(ant, bee)
    assert ids(bee.tree / "deploy.json") == [merge.entry["id"]]
    assert "h" in ids(path)


def test_entries_of_a_file_that_is_private_stay_private(tmp_path: Path) -> None:
    path = tmp_path / "deploy.json"
    path.write_text(json.dumps({"visibility": "private", "entries": about_webhooks()}))
    (merge,) = digested(path).merges
    assert merge.entry["sensitivity"] == "private"


def test_nothing_of_a_private_entry_leaves_by_a_digest(ant: Machine, bee: Machine) -> None:
    secret = "Ada told the webhook team retries of her heart clinic story"
    private = [entry("prv-00000000001", content=secret, sensitivity="private")]
    private.append(entry("prv-00000000002", 40, content="webhook team retries of Ada", sensitivity="private"))
    naming = entry("nam-00000000003", content="gulls: see prv-00000000001 for more")
    path = write(ant.tree, "deploy", *about_webhooks(), *private, naming)
    quiet(ant, bee)
    digested(path)
    quiet(ant, bee)
    digested(path, at=NOW + 40 * DAY)
    undo.undo(path, dry_run=False)
    quiet(ant, bee)
    outside = ant.outside()
    for bytes_ in (b"heart clinic", b"prv-0000", b"gulls"):
        assert bytes_ not in outside
    assert RETRY[0].encode() in outside


# -- the commands


def test_the_commands(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in RETRY:
        told(capsys, "learn", "--topic", "deploy", "--content", text)
    path = alone / "spark-memory" / "deploy.json"
    before = path.read_bytes()
    planned = told(capsys, "digest", "--topic", "deploy", "--dry-run")
    assert path.read_bytes() == before
    done = told(capsys, "digest", "--topic", "deploy")
    assert [one["id"] for one in done["merged"]] == [one["id"] for one in planned["merged"]] == ids(path)
    assert (done["faded"], done["kept"], done["dry_run"]) == ([], 0, False)
    assert len(told(capsys, "undo", "--topic", "deploy")["restored"]) == 3
    assert sorted(ids(path)) == sorted(one["id"] for one in json.loads(before))
    for arguments in (
        ["undo", "--topic", "deploy"],
        ["digest", "--topic", "none"],
        ["digest", "--topic", "deploy", "--max", "1"],
    ):
        assert run(arguments) == 2
    run(["digest", "--topic", "deploy"])
    shown = capsys.readouterr().out
    assert "deploy: 3 entries merged into 1, 0 faded, 0 left as they are" in shown
    assert "memferry undo --topic deploy" in shown
