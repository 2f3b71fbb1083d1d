from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
import zstandard

from memferry.backends.base import Entry, HeadSeen
from memferry.backends.local import LocalStore
from memferry.backends.memory import MemoryStore
from memferry.backends.vault.backend import Vault
from memferry.backends.vault.segments import Limits
from memferry.errors import Damaged, TargetRefused
from memferry.model import Identity, Op, Sealed
from tests.backends.samples import ME, OTHER, Journal, contents, put, puts, retract, seal

LIMITS = Limits(target_bytes=600, small_bytes=200)
MINE, THEIRS = f"machines/{ME.id}/", f"machines/{OTHER.id}/"


class Site:
    """A vault with two machines' logs of several segments each, and their journals. `seen`: what both acknowledged."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.journals = {ME.id: Journal(), OTHER.id: Journal()}
        self.seen: dict[str, HeadSeen] = {}
        for me in (ME, OTHER):
            self.deliver(me, *([put(seq) for seq in range(first, first + 6)] for first in range(1, 61, 6)))
        self.intact = dict(self.store.values)

    def vault(self, me: Identity = ME) -> Vault:
        return Vault(self.store, me, name="vault", seen=self.seen.get(me.id), limits=LIMITS)

    def deliver(self, me: Identity, *rows: Sequence[Op]) -> None:
        vault = self.vault(me)
        for ops in rows:
            self.journals[me.id].rows.append(seal(ops))
            vault.deliver([self.journals[me.id].rows[-1]])
        seen = vault.head_seen()
        assert seen
        self.seen[me.id] = seen

    def findings(self, me: Identity = ME) -> list[tuple[str, str]]:
        before = dict(self.store.values)
        found = self.vault(me).verify(self.seen)
        assert self.store.values == before, "verify wrote something"
        return [(finding.problem, finding.object) for finding in found]

    def repair(self, me: Identity = ME) -> list[tuple[bool, str]]:
        vault = self.vault(me)
        found = vault.verify(self.seen)
        repaired = vault.repair(found, self.journals[me.id])
        assert [one.finding for one in repaired] == list(found)
        seen = vault.head_seen()
        if seen:
            self.seen[me.id] = seen
        return [(one.done, one.detail) for one in repaired]

    def is_whole(self) -> bool:
        return all(list(self.vault().read(me)) == journal.ops for me, journal in self.journals.items())

    def segments(self, prefix: str = MINE) -> list[str]:
        return sorted(key for key in self.store.values if key.startswith(prefix) and key.endswith(".zst"))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"op": "sing"}, "is none: Invalid value 'sing' - at `$.op`"),
        ({"position": "x"}, "is none: Expected `int`, got `str` - at `$.position`"),
        ({"hlc": "8" + "0" * 15}, "has no time"),
        ({"digest": "0" * 64}, "is not what its digest says"),
        ({"file": "../out.jsonl"}, "names the file '../out.jsonl'"),
    ],
)
def test_an_operation_that_nobody_can_take_in_is_named(fields: dict[str, object], why: str) -> None:
    """The log is whole; something else wrote it."""
    op = msgspec.to_builtins(put(1)) | fields
    raw = msgspec.json.Encoder().encode_lines([{name: value for name, value in op.items() if value != "none"}])
    vault = Vault(MemoryStore(), ME, name="vault", limits=LIMITS)
    vault.deliver([Sealed(1, 1, 1, len(raw), zstandard.ZstdCompressor().compress(raw), ())])
    (finding,) = vault.verify({})
    assert (finding.problem, finding.machine) == ("changed", ME.id)
    assert f"holds operation 1, which {why}" in finding.detail
    if why.startswith("is none"):
        with pytest.raises(Damaged, match=r"covers operation 1, which is none: .*`\$\.(op|position)`"):
            list(vault.read(ME.id))


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_clean_vault_has_no_findings(site: Site) -> None:
    assert len(site.segments()) > 4
    assert len(site.segments(THEIRS)) > 4
    assert site.findings(ME) == []
    assert site.findings(OTHER) == []
    assert site.vault().verify({}) == []
    assert site.repair() == []
    assert site.store.values == site.intact


# -- each class, planted and found


def removed(site: Site) -> str:
    key = site.segments()[2]
    del site.store.values[key]
    return key


def flipped(site: Site) -> str:
    key = site.segments()[2]
    site.store.values[key] = flip(site.store.values[key], 99)
    return key


def flip(data: bytes, bit: int) -> bytes:
    at = bit // 8 % len(data)
    return data[:at] + bytes([data[at] ^ (1 << bit % 8)]) + data[at + 1 :]


def truncated(site: Site) -> str:
    key = site.segments()[2]
    site.store.values[key] = site.store.values[key][:-1]
    return key


def emptied(site: Site) -> str:
    key = site.segments()[2]
    site.store.values[key] = b""
    return key


def grown(site: Site) -> str:
    key = site.segments()[2]
    site.store.values[key] += b"\0"
    return key


def of_another_place(site: Site) -> str:
    first, second = site.segments()[1:3]
    site.store.values[first] = site.store.values[second]
    return first


def of_another_machine(site: Site) -> str:
    key = site.segments()[0]
    theirs = next(one for one in site.segments(THEIRS) if site.store.values[one] != site.store.values[key])
    site.store.values[key] = site.store.values[theirs]
    return key


def foreign_file(site: Site) -> str:
    site.store.values["readme.txt"] = b"hello"
    return "readme.txt"


def foreign_in_log(site: Site) -> str:
    key = MINE + "segments/notes.txt"
    site.store.values[key] = b"hello"
    return key


def foreign_segment(site: Site) -> str:
    key = MINE + "segments/000000000100-000000000200-0123456789abcdef.jsonl.zst"
    site.store.values[key] = b"hello"
    return key


def head_removed(site: Site) -> str:
    return drop(site, MINE + "head.json")


def head_flipped(site: Site) -> str:
    key = MINE + "head.json"
    site.store.values[key] = site.store.values[key].replace(b'"laptop"', b'"lbptop"')
    return key


def head_garbled(site: Site) -> str:
    key = MINE + "head.json"
    site.store.values[key] = site.store.values[key].replace(b'"machine"', b'"machin\xff"')
    return key


def head_cut(site: Site) -> str:
    key = MINE + "head.json"
    site.store.values[key] = site.store.values[key][:-1]
    return key


def head_of_another_machine(site: Site) -> str:
    site.store.values[MINE + "head.json"] = site.store.values[THEIRS + "head.json"]
    return MINE + "head.json"


def head_of_the_day_before(site: Site) -> str:
    site.deliver(ME, [put(61)])
    site.store.values |= site.intact
    return MINE + "head.json"


def head_too_new(site: Site) -> str:
    key = MINE + "head.json"
    head = json.loads(site.store.values[key])
    site.store.values[key] = json.dumps(head | {"sequence": head["sequence"] + 2}).encode()
    return key


def head_that_does_not_follow(site: Site) -> str:
    key = MINE + "head.json"
    head = json.loads(site.store.values[key])
    site.store.values[key] = json.dumps(head | {"sequence": head["sequence"] + 1, "previous": "0" * 64}).encode()
    return key


def format_removed(site: Site) -> str:
    return drop(site, "FORMAT")


def format_cut(site: Site) -> str:
    site.store.values["FORMAT"] = site.store.values["FORMAT"][:-5]
    return "FORMAT"


def format_garbled(site: Site) -> str:
    site.store.values["FORMAT"] = site.store.values["FORMAT"].replace(b"memferry-vault", b"memferry-fault")
    return "FORMAT"


def format_version_flipped(site: Site) -> str:
    site.store.values["FORMAT"] = site.store.values["FORMAT"].replace(b'"version":1', b'"version":3')
    return "FORMAT"


def drop(site: Site, key: str) -> str:
    del site.store.values[key]
    return key


PLANTED: Mapping[Callable[[Site], str], str] = {
    removed: "removed", flipped: "changed", truncated: "truncated", emptied: "truncated", grown: "changed",
    of_another_place: "reordered", of_another_machine: "reordered",
    foreign_file: "foreign", foreign_in_log: "foreign", foreign_segment: "foreign",
    head_removed: "missing-head", head_flipped: "changed", head_garbled: "changed", head_cut: "truncated",
    head_of_another_machine: "reordered", head_of_the_day_before: "rolled-back", head_too_new: "changed",
    head_that_does_not_follow: "changed",
    format_removed: "removed", format_cut: "truncated", format_garbled: "changed", format_version_flipped: "changed",
}  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted_found_and_repaired(site: Site, plant: Callable[[Site], str]) -> None:
    key = plant(site)
    planted = site.store.values.get(key)
    assert (PLANTED[plant], key) in site.findings()
    assert all(problem == PLANTED[plant] for problem, _ in site.findings())
    assert all(done for done, _ in site.repair())
    assert site.findings() == []
    assert site.is_whole()
    if PLANTED[plant] == "foreign":
        assert site.store.values["lost+found/" + key] == planted
    site.deliver(ME, [put(100)])
    assert site.findings() == []
    assert site.is_whole()


@pytest.mark.parametrize(
    "plant", [plant for plant in PLANTED if plant is not head_too_new], ids=lambda plant: plant.__name__
)
def test_the_other_machine_finds_it_and_names_who_can_repair_it(site: Site, plant: Callable[[Site], str]) -> None:
    key = plant(site)
    assert (PLANTED[plant], key) in site.findings(OTHER)
    answers = site.repair(OTHER)
    if key.startswith(MINE):
        assert all(not done and "on machine" in detail for done, detail in answers)
        assert site.repair(ME)
    assert site.findings(OTHER) == []
    assert site.is_whole()


def test_only_its_owner_knows_that_a_head_is_too_new(site: Site) -> None:
    """While heads carry no MAC."""
    head_too_new(site)
    assert site.findings(OTHER) == []
    assert site.findings(ME) == [("changed", MINE + "head.json")]


def test_random_faults(site: Site) -> None:
    """Every fault that changes a byte is found in its class, and repaired."""
    chance = random.Random(20260101)
    for _ in range(400):
        key = chance.choice([one for one in site.store.values if one == "FORMAT" or one.startswith(MINE)])
        data = site.store.values[key]
        expected = chance.choice(["removed", "changed", "truncated", "foreign"])
        match expected:
            case "removed":
                del site.store.values[key]
                if key.endswith("head.json"):
                    expected = "missing-head"
            case "changed":
                site.store.values[key] = flip(data, chance.randrange(len(data) * 8))
            case "truncated":
                site.store.values[key] = data[: chance.randrange(len(data))]
            case "foreign":
                key = chance.choice(["", MINE, MINE + "segments/", "machines/"]) + f"{chance.getrandbits(64):x}"
                site.store.values[key] = chance.randbytes(30)
        found = {key: problem for problem, key in site.findings()}
        assert key in found
        assert list(found) == [key] or key.endswith("head.json")  # what it lists may look broken then
        assert found[key] in similar(expected, key)
        assert all(done for done, _ in site.repair())
        assert site.findings() == []
    assert site.is_whole()


def similar(expected: str, key: str) -> set[str]:
    """One flipped bit of a head may make it look older, cut short, or another machine's."""
    if expected == "changed" and not key.endswith(".zst"):
        return {"changed", "rolled-back", "truncated", "reordered"}
    return {expected}


def test_the_vault_that_wrote_it_repairs_it_too(site: Site) -> None:
    """It must not trust what it remembers of the store."""
    vault = site.vault()
    site.journals[ME.id].withdraw([3])
    row = seal([retract(61, 3)])
    site.journals[ME.id].rows.append(row)
    vault.deliver([row])
    rewritten = site.segments()[0]
    site.store.values[rewritten] = flip(site.store.values[rewritten], 99)
    seen = vault.head_seen()
    assert seen
    found = vault.verify({ME.id: seen})
    assert [one.done for one in vault.repair(found, site.journals[ME.id])] == [True]
    assert rewritten not in site.store.values
    assert site.is_whole()


def test_everything_gone(site: Site) -> None:
    site.store.values.clear()
    heads = [("missing-head", MINE + "head.json"), ("missing-head", THEIRS + "head.json")]
    assert site.findings() == [("removed", "FORMAT"), *heads]
    assert [done for done, _ in site.repair(ME)] == [True, True, False]
    assert [done for done, _ in site.repair(OTHER)] == [True]
    assert site.findings() == []
    assert site.is_whole()


# -- what is no finding


def test_an_interrupted_delivery_is_no_finding(site: Site) -> None:
    unpublished = Site()
    unpublished.deliver(ME, puts(61, 90))
    for extra in set(unpublished.segments()) - set(site.segments()):
        site.store.values[extra] = unpublished.store.values[extra]
    assert site.segments() != unpublished.segments()
    assert site.findings(ME) == []
    assert site.findings(OTHER) == []


def test_an_interrupted_first_delivery_is_no_finding(site: Site) -> None:
    del site.store.values[MINE + "head.json"]
    del site.seen[ME.id]
    assert site.findings(ME) == []
    assert site.findings(OTHER) == [("missing-head", MINE + "head.json")]


def test_a_delivery_that_was_not_acknowledged_is_no_finding(site: Site) -> None:
    seen = dict(site.seen)
    site.deliver(ME, [put(61)])
    assert list(site.vault().verify(seen)) == []


def test_a_segment_that_is_merged_away_before_we_read_it_is_no_finding(site: Site) -> None:
    class Busy(MemoryStore):
        def get(self, key: str, *, at_most: int | None = None) -> bytes:
            if key.startswith(THEIRS + "segments/"):
                site.store.__class__ = MemoryStore  # once
                site.deliver(OTHER, [retract(61, *range(1, 50))])
            return MemoryStore.get(self, key, at_most=at_most)

    site.store.__class__ = Busy
    seen = dict(site.seen)
    assert site.vault().verify(seen) == []
    assert site.seen[OTHER.id] != seen[OTHER.id]


def test_a_log_that_is_replaced_while_we_look_is_no_finding(site: Site) -> None:
    """Between the listing and the look at the segments another machine merges."""

    class Busy(MemoryStore):
        def entries(self, prefix: str = "") -> Iterator[Entry]:
            found = list(super().entries(prefix))
            if prefix == "" and site.seen[OTHER.id].last_seq < 200:
                site.deliver(OTHER, *([put(seq)] for seq in range(200, 210)))
            return iter(found)

    site.store.__class__ = Busy
    seen = dict(site.seen)
    assert site.vault().verify(seen) == []
    assert site.seen[OTHER.id] != seen[OTHER.id]


def test_lost_and_found_and_litter_are_no_finding(site: Site) -> None:
    site.store.values |= {"lost+found/x": b"x", ".DS_Store": b"x", MINE + "Thumbs.db": b"x", MINE + "._head.json": b"x"}
    assert site.findings() == []


# -- limits of repair


def test_an_empty_journal_repairs_nothing(site: Site) -> None:
    removed(site)
    site.journals[ME.id].rows.clear()
    before = dict(site.store.values)
    ((done, detail),) = site.repair()
    assert not done
    assert "journal" in detail
    assert site.store.values == before


def test_what_the_journal_does_not_have_is_kept_aside(site: Site) -> None:
    key = flipped(site)
    broken = site.store.values[key]
    first, last = (int(part) for part in key.rpartition("/")[2].split("-")[:2])
    site.journals[ME.id].withdraw(range(first, last))
    ((done, detail),) = site.repair()
    assert done
    assert "1 of" in detail
    assert site.store.values["lost+found/" + key] == broken
    site.deliver(ME, [retract(61, *range(first, last))])  # whatever the broken file holds goes with them
    assert "lost+found/" + key not in site.store.values
    assert site.findings() == []
    assert site.is_whole()


def test_a_fork_is_not_repaired_away(site: Site) -> None:
    """Somebody else continued this log: its records are nowhere else."""
    clone = Vault(site.store, msgspec.structs.replace(ME, epoch="clone"), name="vault", seen=site.seen[ME.id])
    clone.deliver([seal([put(61, "only here")])])
    clone.deliver([seal([put(62, "only here too")])])
    before = dict(site.store.values)
    assert site.findings() == [("changed", MINE + "head.json")]
    ((done, detail),) = site.repair()
    assert not done
    assert "another state" in detail
    assert site.store.values == before


def test_a_newer_vault_is_not_repaired_back(site: Site) -> None:
    site.store.values["FORMAT"] = site.store.values["FORMAT"].replace(b'"version":1', b'"version":2')
    theirs = THEIRS + "head.json"
    site.store.values[theirs] = site.store.values[theirs].replace(b'"version":1', b'"version":2')
    before = dict(site.store.values)
    assert ("changed", "FORMAT") in site.findings()
    assert all(not done and "upgrade" in detail for done, detail in site.repair())
    assert site.store.values == before
    mine = MINE + "head.json"
    site.store.values[mine] = site.store.values[mine].replace(b'"version":1', b'"version":2')
    with pytest.raises(TargetRefused, match="version 2") as caught:
        site.findings()
    assert "upgrade" in caught.value.hint


# -- on a real disk


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_things_that_are_no_files(tmp_path: Path) -> None:
    vault = Vault(LocalStore(tmp_path / "vault"), ME, name="vault")
    journal = Journal([seal(puts(1, 5))])
    vault.deliver(journal.rows)
    seen = vault.head_seen()
    assert seen
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (tmp_path / "vault" / "link").symlink_to(outside)
    os.mkfifo(tmp_path / "vault" / "machines" / "pipe")
    (tmp_path / "vault" / "odd\nname").write_bytes(b"x")
    (segment,) = (tmp_path / "vault").rglob("*.zst")
    segment.unlink()
    segment.symlink_to(outside / "secret")

    found = vault.verify({ME.id: seen})
    assert sorted((one.problem, one.object) for one in found if not one.object.endswith(".zst")) == [
        ("foreign", "link"), ("foreign", "machines/pipe"), ("foreign", "odd\\nname"),
    ]  # fmt: skip
    assert [one.problem for one in found if one.object.endswith(".zst")] == ["changed"]
    repaired = vault.repair(found, journal)
    assert {one.finding.object: one.done for one in repaired if not one.finding.object.endswith(".zst")} == {
        "link": False, "machines/pipe": False, "odd\\nname": False,
    }  # fmt: skip
    assert all("by hand" in one.detail for one in repaired if not one.done)
    assert [one.done for one in repaired if one.finding.object.endswith(".zst")] == [True]
    assert list(vault.read(ME.id)) == journal.ops
    assert not segment.is_symlink()
    assert contents(outside) == {"secret": b"secret"}
