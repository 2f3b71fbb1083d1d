"""An encrypted vault: what a vault promises, and what a server then sees and can do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memferry.backends.base import HeadSeen
from memferry.backends.encryption import age
from memferry.backends.encryption import ring as rings
from memferry.backends.encryption.keys import Keys
from memferry.backends.faulty import Fault, FaultyStore, When
from memferry.backends.local import LocalStore
from memferry.backends.memory import MemoryStore
from memferry.backends.vault.backend import Vault
from memferry.backends.vault.segments import Limits
from memferry.errors import Damaged, ForkedLog, StateError, TargetRefused, TransientError
from memferry.model import Identity
from tests.backends.contract import BackendContract
from tests.backends.encrypted import encrypted_vault, let_in, members, revoke
from tests.backends.samples import ME, OTHER, Journal, contents, put, puts, retract, seal
from tests.backends.test_vault_verify import (
    MINE,
    THEIRS,
    Site,
    drop,
    emptied,
    flip,
    flipped,
    foreign_file,
    foreign_in_log,
    format_cut,
    format_garbled,
    format_removed,
    grown,
    of_another_machine,
    of_another_place,
    removed,
    truncated,
)

THIRD = Identity("c" * 32, "phone", "epoch-5", "installation-5")
LIMITS = Limits(target_bytes=600, small_bytes=200)


class TestEncryptedVault(BackendContract):
    def make_backend(self, tmp_path: Path) -> Vault:
        return encrypted_vault(LocalStore(tmp_path / "vault", name="vault"), ME, Keys(tmp_path / "state"))


class TestEncryptedVaultOfSmallSegments(BackendContract):
    def make_backend(self, tmp_path: Path) -> Vault:
        store = LocalStore(tmp_path / "vault", name="vault")
        return encrypted_vault(store, ME, Keys(tmp_path / "state"), limits=Limits(target_bytes=300, small_bytes=150))


class EncryptedSite(Site):
    """A vault with two machines' logs, encrypted. The first made it, the second was let in."""

    def __init__(self, base: Path) -> None:
        self.keys = {me.id: Keys(base / me.name) for me in (ME, OTHER, THIRD)}
        self.witnessed: dict[str, Mapping[str, HeadSeen]] = {}
        super().__init__()

    def vault(self, me: Identity = ME) -> Vault:
        if me != ME and not members(self.store, self.keys[me.id]).is_member:
            let_in(self.store, me, self.keys[me.id], self.keys[ME.id])
        vault = encrypted_vault(self.store, me, self.keys[me.id], seen=self.seen.get(me.id), limits=LIMITS)
        vault.attest(self.witnessed.get(me.id, {}))
        return vault

    def look(self, me: Identity) -> None:
        """As a pull does."""
        self.witnessed[me.id] = {log.id: log.head for log in self.vault(me).machines()}

    def segments(self, prefix: str = MINE) -> list[str]:
        return sorted(key for key in self.store.values if key.startswith(prefix) and key.endswith(".zst.age"))


@pytest.fixture
def site(tmp_path: Path) -> EncryptedSite:
    return EncryptedSite(tmp_path)


# -- what lies there


def test_the_tree(site: EncryptedSite) -> None:
    shapes = {re.sub(r"[0-9a-f]{16}|[0-9]{12}", "#", re.sub(r"(a{32}|b{32})", "M", key)) for key in site.store.values}
    assert shapes == {
        "FORMAT", "keys/1.age", "keys/1-#.age", "machines/M/head.json.age", "machines/M/segments/#-#-#.jsonl.zst.age",
    }  # fmt: skip
    assert json.loads(site.store.values["FORMAT"])["encryption"] == "age"


def test_a_head_names_its_keys_and_what_its_writer_saw(site: EncryptedSite) -> None:
    site.look(ME)
    site.deliver(ME, [put(61)])
    head = json.loads(opened(site, MINE + "head.json.age"))
    assert (head["machine"], head["generation"]) == (ME.id, 1)
    assert head["witness"] == {OTHER.id: list(site.seen[OTHER.id][:2])}
    assert re.fullmatch("[0-9a-f]{64}", head["mac"])


def opened(site: EncryptedSite, key: str) -> bytes:
    ring = members(site.store, site.keys[ME.id]).ring
    return age.decrypt(site.store.values[key], [keys.identity for keys in ring.generations])


def test_the_same_operations_never_give_the_same_bytes(site: EncryptedSite, tmp_path: Path) -> None:
    again = EncryptedSite(tmp_path / "again")
    assert not set(site.store.values.values()) & set(again.store.values.values()) - {site.store.values["FORMAT"]}
    named = [{key for key in one.store.values if key.endswith(".zst.age")} for one in (site, again)]
    assert not named[0] & named[1]


@pytest.mark.parametrize("encryption", ["none", "age"])
def test_never_downgraded(tmp_path: Path, encryption: str) -> None:
    store = MemoryStore()
    plain, encrypted = Vault(store, ME, name="vault"), encrypted_vault(store, ME, Keys(tmp_path))
    first, second = (plain, encrypted) if encryption == "none" else (encrypted, plain)
    first.deliver([seal(puts(1, 3))])
    before = dict(store.values)
    for use in (lambda: second.deliver([seal(puts(1, 3))]), second.machines, lambda: second.verify({})):
        with pytest.raises(TargetRefused, match=f"encryption {encryption}") as caught:
            use()
        assert f"encryption: {encryption}" in caught.value.hint
    assert store.values == before


def test_no_keys_is_an_error_that_says_how_to_get_some(site: EncryptedSite, tmp_path: Path) -> None:
    stranger = encrypted_vault(site.store, THIRD, Keys(tmp_path / "stranger"))
    for use in (lambda: stranger.deliver([seal(puts(1, 3))]), stranger.machines, lambda: list(stranger.read(ME.id))):
        with pytest.raises(TargetRefused, match="no keys") as caught:
            use()
        assert "memferry machines join" in caught.value.hint
        assert caught.value.exit_code == 4
    assert site.store.values == site.intact
    assert not (tmp_path / "stranger").exists()


# -- planted, found, repaired


def head_flipped(site: Site) -> str:
    key = MINE + "head.json.age"
    site.store.values[key] = flip(site.store.values[key], 8 * len(site.store.values[key]) - 9)
    return key


def head_cut(site: Site) -> str:
    key = MINE + "head.json.age"
    site.store.values[key] = site.store.values[key][:-1]
    return key


def head_removed(site: Site) -> str:
    return drop(site, MINE + "head.json.age")


def head_of_another_machine(site: Site) -> str:
    site.store.values[MINE + "head.json.age"] = site.store.values[THEIRS + "head.json.age"]
    return MINE + "head.json.age"


def head_of_the_day_before(site: Site) -> str:
    site.deliver(ME, [put(61)])
    site.store.values |= site.intact
    return MINE + "head.json.age"


def head_in_clear(site: Site) -> str:
    assert isinstance(site, EncryptedSite)
    site.store.values[MINE + "head.json"] = opened(site, MINE + "head.json.age")
    return MINE + "head.json"


def head_of_a_member_without_a_mac(site: Site) -> str:
    return _resealed(site, mac=None)


def head_with_another_mac(site: Site) -> str:
    return _resealed(site, mac="0" * 64)


def head_with_more(site: Site) -> str:
    return _resealed(site, last_seq=1000)


def head_of_other_keys(site: Site) -> str:
    return _resealed(site, generation=2)


def _resealed(site: Site, **changes: object) -> str:
    """By somebody who knows the recipient, and no more."""
    assert isinstance(site, EncryptedSite)
    key = MINE + "head.json.age"
    head = json.loads(opened(site, key)) | changes
    recipient = members(site.store, site.keys[ME.id]).ring.newest.recipient
    site.store.values[key] = age.encrypt(msgspec.json.encode(head), [recipient])
    return key


def keys_removed(site: Site) -> str:
    return drop(site, "keys/1.age")


def keys_flipped(site: Site) -> str:
    site.store.values["keys/1.age"] = flip(site.store.values["keys/1.age"], 99999)
    return "keys/1.age"


def addition_removed(site: Site) -> str:
    return drop(site, addition(site))


def addition_flipped(site: Site) -> str:
    key = addition(site)
    site.store.values[key] = flip(site.store.values[key], 4321)
    return key


def addition(site: Site) -> str:
    """Where the second machine is written down."""
    (key,) = [key for key in site.store.values if key.startswith("keys/1-")]
    return key


def keys_of_nobody(site: Site) -> str:
    site.store.values["keys/one.age"] = b"x"
    return "keys/one.age"


PLANTED: Mapping[Callable[[Site], str], str] = {
    removed: "removed", flipped: "changed", truncated: "truncated", emptied: "truncated", grown: "changed",
    of_another_place: "reordered", of_another_machine: "reordered", foreign_file: "foreign", foreign_in_log: "foreign",
    head_removed: "missing-head", head_flipped: "changed", head_cut: "changed", head_of_another_machine: "reordered",
    head_of_the_day_before: "rolled-back", head_in_clear: "foreign", head_of_a_member_without_a_mac: "changed",
    head_with_another_mac: "changed", head_with_more: "changed", head_of_other_keys: "changed",
    format_removed: "removed", format_cut: "truncated", format_garbled: "changed",
    addition_removed: "removed", addition_flipped: "changed",
    keys_removed: "removed", keys_flipped: "changed", keys_of_nobody: "foreign",
}  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted_found_and_repaired(site: EncryptedSite, plant: Callable[[Site], str]) -> None:
    members(site.store, site.keys[ME.id]).refresh()
    key = plant(site)
    assert set(site.findings()) == {(PLANTED[plant], key)}
    assert set(site.findings(OTHER)) == {(PLANTED[plant], key)}
    assert all(done for done, _ in site.repair())
    assert site.findings() == []
    assert site.is_whole()
    site.deliver(ME, [put(100)])
    assert site.findings() == []
    assert site.is_whole()


def test_a_vault_that_is_gone_is_made_again_with_the_same_keys(site: EncryptedSite) -> None:
    ring = members(site.store, site.keys[ME.id]).ring
    site.store.values.clear()
    assert all(done for done, _ in site.repair() if _.startswith("written"))
    assert all(done for done, _ in site.repair(OTHER))
    assert site.findings() == []
    assert site.is_whole()
    assert members(site.store, site.keys[OTHER.id]).refresh().generations == ring.generations


# -- what one machine saw, others know


def test_a_log_that_is_shown_older_than_a_witness_saw_it_is_refused(site: EncryptedSite) -> None:
    """A machine that never was here before is told by the heads of the others."""
    older = site.store.values[MINE + "head.json.age"]
    site.deliver(ME, [put(61)])
    site.look(OTHER)
    site.deliver(OTHER, [put(61)])
    site.vault(THIRD)
    site.store.values[MINE + "head.json.age"] = older
    with pytest.raises(Damaged, match=r"desktop saw head") as caught:
        site.vault(THIRD).machines()
    assert (caught.value.problem, caught.value.key) == ("rolled-back", MINE + "head.json.age")
    assert ("rolled-back", MINE + "head.json.age") in site.findings(THIRD)


def test_a_log_that_is_hidden_although_a_witness_saw_it_is_refused(site: EncryptedSite) -> None:
    site.look(OTHER)
    site.deliver(OTHER, [put(61)])
    for key in [key for key in site.store.values if key.startswith(MINE)]:
        del site.store.values[key]
    with pytest.raises(Damaged, match="is missing, but machine desktop saw"):
        site.vault(THIRD).machines()


def test_two_views_of_one_vault_do_not_meet_unnoticed(site: EncryptedSite) -> None:
    """One machine is shown the newest head of the first log, another one that is older: until what the one writes is
    shown to the other."""
    key = MINE + "head.json.age"
    older = site.store.values[key]
    site.deliver(ME, [put(61)])
    newer = site.store.values[key]
    site.look(THIRD)
    site.vault(THIRD).deliver([seal(puts(1, 3))])
    site.store.values[key] = older
    with pytest.raises(Damaged, match="phone saw head"):
        site.vault(OTHER).machines()
    site.store.values[key] = newer
    assert len(site.vault(OTHER).machines()) == 3


def test_what_is_written_while_we_look_is_no_rollback(site: EncryptedSite) -> None:
    """The first head is read before the second one, whose writer saw a newer first one meanwhile."""
    site.vault(THIRD)

    class Busy(MemoryStore):
        def get(self, key: str, *, at_most: int | None = None) -> bytes:
            found = super().get(key, at_most=at_most)
            if key == MINE + "head.json.age" and site.seen[ME.id].last_seq < 61:
                self.__class__ = MemoryStore
                site.deliver(ME, [put(61)])
                site.look(OTHER)
                site.deliver(OTHER, [put(61)])
            return found

    site.store.__class__ = Busy
    assert [log.head.last_seq for log in site.vault(THIRD).machines()] == [61, 61]


# -- who is out


def test_after_a_revocation_new_keys_are_used_and_the_old_ones_are_worth_nothing(site: EncryptedSite) -> None:
    site.look(ME)
    revoke(site.store, ME, site.keys[ME.id], OTHER)
    for use in (site.vault(OTHER).machines, lambda: site.vault(OTHER).deliver([seal([put(61)])])):
        with pytest.raises(TargetRefused, match="was revoked") as caught:
            use()
        assert caught.value.exit_code == 4
    vault = site.vault(ME)
    vault.renew()
    assert [(log.name, log.generation) for log in vault.machines()] == [("laptop", 2), ("desktop", 1)]
    assert list(vault.read(OTHER.id)) == site.journals[OTHER.id].ops
    assert list(vault.read(ME.id)) == site.journals[ME.id].ops
    assert vault.verify({}) == []
    old = members(site.store, site.keys[OTHER.id]).keys.pinned("vault")
    assert old
    for key in [key for key in site.store.values if key.startswith(MINE)]:
        with pytest.raises(age.Undecryptable):
            age.decrypt(site.store.values[key], [keys.identity for keys in old.ring.generations])


def test_other_machines_write_their_logs_anew_when_they_next_deliver(site: EncryptedSite) -> None:
    site.vault(THIRD).deliver([seal(puts(1, 20))])
    revoke(site.store, ME, site.keys[ME.id], OTHER)
    site.deliver(ME, [put(61)])
    site.vault(THIRD).deliver([seal([put(21)])])
    generations = {log.name: log.generation for log in site.vault(ME).machines()}
    assert generations == {"laptop": 2, "desktop": 1, "phone": 2}
    assert list(site.vault(ME).read(THIRD.id)) == puts(1, 21)


def test_what_a_revoked_machine_writes_with_its_old_keys_counts_for_nothing(site: EncryptedSite) -> None:
    """With the server's help, which hides the new keys from it: the others go on without its log."""
    revoke(site.store, ME, site.keys[ME.id], OTHER)
    site.vault(ME).renew()
    hidden = site.store.values.pop("keys/2.age")
    site.vault(OTHER).deliver([seal([put(61, "after it was revoked")])])
    site.store.values["keys/2.age"] = hidden
    assert [log.name for log in site.vault(ME).machines()] == ["laptop"]
    assert site.findings(ME) == [("changed", THEIRS + "head.json.age")]


def test_a_head_in_anothers_name_by_old_keys_is_refused(site: EncryptedSite) -> None:
    site.vault(THIRD).deliver([seal(puts(1, 5))])
    old_ring = members(site.store, site.keys[OTHER.id]).ring
    revoke(site.store, ME, site.keys[ME.id], OTHER)
    new_keys = site.store.values.pop("keys/2.age")
    clone = encrypted_vault(site.store, THIRD, site.keys[OTHER.id])
    clone.deliver([seal(puts(1, 6))])
    assert members(site.store, site.keys[OTHER.id]).ring == old_ring
    site.store.values["keys/2.age"] = new_keys
    with pytest.raises(Damaged, match="taken back") as caught:
        site.vault(ME).machines()
    assert THIRD.id in caught.value.key


def test_a_head_of_new_keys_that_are_hidden_is_refused(site: EncryptedSite) -> None:
    site.vault(THIRD)
    revoke(site.store, ME, site.keys[ME.id], OTHER)
    site.vault(ME).renew()
    del site.store.values["keys/2.age"]
    with pytest.raises(Damaged, match="not for the keys known here"):
        site.vault(THIRD).machines()


def test_keys_that_somebody_made_up_are_refused(site: EncryptedSite, tmp_path: Path) -> None:
    """Although they are encrypted to this machine, by someone who knows its recipient."""
    elsewhere = MemoryStore()
    forger = Keys(tmp_path / "forger")
    encrypted_vault(elsewhere, OTHER, forger).deliver([seal(puts(1, 3))])
    forged = members(elsewhere, forger).ring
    recipient = site.keys[ME.id].recipient()
    site.store.values["keys/2.age"] = age.encrypt(rings.encode(rings.placed(forged, "keys/2.age")), [recipient])
    with pytest.raises(Damaged, match="another vault"):
        site.vault(ME).machines()
    assert site.findings() == [("changed", "keys/2.age")]
    (answer,) = site.repair()
    assert not answer[0]
    assert "keys/2.age" in site.store.values


def test_who_joined_while_the_keys_changed_is_let_in_behind(site: EncryptedSite) -> None:
    """A join reads the keys before, and writes itself down after somebody else has listed the members."""
    mine = members(site.store, site.keys[ME.id])
    mine.refresh()
    site.vault(THIRD)  # joins generation 1
    put_ring = site.store.put
    late = {key: site.store.values.pop(key) for key in list(site.store.values) if key.startswith("keys/1-")}
    doomed = [one for one in mine.ring.members if one.machine == OTHER.id]

    def put(key: str, value: bytes, *, if_version: str | None) -> str:
        if key == "keys/2.age":
            site.store.values |= late
        return put_ring(key, value, if_version=if_version)

    site.store.put = put  # type: ignore[method-assign]
    ring = mine.revoke(doomed, {})
    assert {one.name for one in ring.members} == {"laptop", "phone"}
    assert site.vault(THIRD).members
    assert members(site.store, site.keys[THIRD.id]).unlock().number == 2


def test_who_was_revoked_cannot_let_others_in_later(site: EncryptedSite, tmp_path: Path) -> None:
    thief = members(site.store, site.keys[OTHER.id])
    thief.refresh()
    revoke(site.store, ME, site.keys[ME.id], OTHER)
    hidden = site.store.values.pop("keys/2.age")
    friend = Keys(tmp_path / "friend")
    secret = site.keys[ME.id].recovery("vault")
    assert secret
    theirs = members(site.store, friend)
    theirs.adopt(thief.ring)
    theirs.enrol(THIRD)
    site.store.values["keys/2.age"] = hidden
    ring = members(site.store, site.keys[ME.id]).refresh()
    assert {one.name for one in ring.members} == {"laptop"}
    with pytest.raises(TargetRefused, match="was revoked"):
        encrypted_vault(site.store, THIRD, friend).machines()


def test_a_revoked_witness_counts_for_nothing(site: EncryptedSite) -> None:
    """It could say that it saw heads which never were, and so shut the others out."""
    liar = site.vault(OTHER)
    liar.attest({ME.id: HeadSeen(10**9, "0" * 64, 10**9)})
    liar.deliver([seal([put(61)])])
    with pytest.raises(Damaged, match="desktop saw head"):
        site.vault(ME).machines()
    revoke(site.store, ME, site.keys[ME.id], OTHER)
    assert {log.name for log in site.vault(ME).machines()} == {"laptop", "desktop"}
    assert site.findings(ME) == []


# -- interrupted


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_first_delivery_that_fails_at_any_call_goes_on_with_the_same_keys(tmp_path: Path, when: When) -> None:
    for at in range(1, 20):
        store, fault = MemoryStore(), Fault(at, when)
        keys = Keys(tmp_path / f"{at}")
        try:
            encrypted_vault(FaultyStore(store, fault), ME, keys).deliver([seal(puts(1, 3))])
        except TransientError:
            first = keys.pinned("vault")
            vault = encrypted_vault(store, ME, keys)
            vault.deliver([seal(puts(1, 3))])
            assert first is None or first.ring == members(store, keys).ring
            assert list(vault.read(ME.id)) == puts(1, 3)
            assert vault.verify({}) == []
        if not fault.failed:
            break
    else:
        pytest.fail("never got through")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_revocation_that_fails_at_any_call_is_finished_by_the_next(tmp_path: Path, when: When) -> None:
    for at in range(1, 60):
        site = EncryptedSite(tmp_path / f"{at}")
        fault = Fault(at, when)
        faulty = FaultyStore(site.store, fault)
        try:
            revoke(faulty, ME, site.keys[ME.id], OTHER)
            encrypted_vault(faulty, ME, site.keys[ME.id], seen=site.seen[ME.id], limits=LIMITS).renew()
        except TransientError:
            if members(site.store, site.keys[ME.id]).unlock().number == 1:
                revoke(site.store, ME, site.keys[ME.id], OTHER)
            site.deliver(ME, [put(61)])
        assert {log.name: log.generation for log in site.vault(ME).machines()} == {"laptop": 2, "desktop": 1}
        assert site.vault(ME).verify({}) == []
        assert [op.seq for op in site.vault(ME).read(ME.id)][:60] == list(range(1, 61))
        if not fault.failed:
            break
    else:
        pytest.fail("never got through")


def test_of_two_machines_that_make_one_vault_at_once_one_wins(tmp_path: Path) -> None:
    store = MemoryStore()
    winner, loser = Keys(tmp_path / "winner"), Keys(tmp_path / "loser")

    class Slow(FaultyStore):
        def put(self, key: str, value: bytes, *, if_version: str | None) -> str:
            if key == "keys/1.age":
                encrypted_vault(store, OTHER, winner).deliver([seal(puts(1, 3))])
            return super().put(key, value, if_version=if_version)

    with pytest.raises(TargetRefused, match="no keys"):
        encrypted_vault(Slow(store, Fault(None)), ME, loser).deliver([seal(puts(1, 3))])
    assert loser.pinned("vault") is None
    assert not loser.has_recovery("vault")
    assert list(encrypted_vault(store, OTHER, winner).read(OTHER.id)) == puts(1, 3)
    let_in(store, ME, loser, winner)
    encrypted_vault(store, ME, loser).deliver([seal(puts(1, 3))])


def test_a_fork_is_told_in_an_encrypted_vault_too(site: EncryptedSite) -> None:
    clone = encrypted_vault(site.store, msgspec.structs.replace(ME, epoch="clone"), site.keys[ME.id], limits=LIMITS)
    with pytest.raises(ForkedLog):
        clone.deliver([seal([put(61)])])


# -- files


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_keys_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path, careless: None) -> None:
    state = tmp_path / "state"
    encrypted_vault(LocalStore(tmp_path / "vault"), ME, Keys(state)).deliver([seal(puts(1, 3))])
    modes = {path.name: path.stat().st_mode & 0o777 for path in (state / "keys").iterdir()}
    assert modes == {"machine.txt": 0o600, "vault.json": 0o600, "vault.recovery.txt": 0o600}
    assert (state / "keys").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "vault").rglob("*"))


def test_damaged_keys_are_named_and_never_quoted(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    vault = encrypted_vault(MemoryStore(), ME, keys)
    vault.deliver([seal(puts(1, 3))])
    for name in ("vault.json", "machine.txt"):
        path = tmp_path / "keys" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:40])
        with pytest.raises(StateError, match=re.escape(name)) as caught:
            (keys.identity if name == "machine.txt" else lambda: keys.pinned("vault"))()
        assert "SECRET" not in str(caught.value)
        path.write_bytes(whole)


def test_no_object_shows_a_key(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    vault = encrypted_vault(MemoryStore(), ME, keys)
    vault.deliver([seal(puts(1, 3))])
    shown = "".join(map(repr, (keys, keys.pinned("vault"), vault, vault.members, vault.members and vault.members.ring)))
    assert "SECRET" not in shown
    pin = keys.pinned("vault")
    assert pin
    assert pin.ring.newest.mac not in shown


# -- any life


@given(st.lists(st.sampled_from(["put", "retract", "again", "look", "damage"]), max_size=12))
@settings(max_examples=15, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_life_gives_what_was_delivered(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    base = tmp_path_factory.mktemp("life")
    store, journal, keys = MemoryStore(), Journal([seal(puts(1, 4))]), Keys(base)
    vault = encrypted_vault(store, ME, keys, limits=LIMITS)
    vault.deliver(journal.rows)
    for step in steps:
        seq = journal.ops[-1].seq + 1
        if step == "put":
            journal.rows.append(seal([put(seq)]))
        elif step == "retract":
            victim = next((op.seq for op in journal.ops if op.seq % 3 == 0), None)
            if victim is None:
                continue
            journal.withdraw([victim])
            journal.rows.append(seal([retract(seq, victim)]))
        elif step == "look":
            vault = encrypted_vault(store, ME, keys, limits=LIMITS, seen=vault.head_seen())
            continue
        elif step == "damage":
            key = next(key for key in store.values if key.endswith(".zst.age"))
            store.values[key] = flip(store.values[key], 1234)
            assert [one.done for one in vault.repair(vault.verify({}), journal)] == [True]
            continue
        vault.deliver(journal.rows[-1:])
    assert list(vault.read(ME.id)) == journal.ops
    assert vault.verify({}) == []


def test_contents_of_a_local_vault_are_all_ciphertext(tmp_path: Path) -> None:
    vault = encrypted_vault(LocalStore(tmp_path / "vault"), ME, Keys(tmp_path / "state"))
    vault.deliver([seal(puts(1, 3))])
    for name, data in contents(tmp_path / "vault").items():
        assert name == "FORMAT" or data.startswith(b"age-encryption.org/v1\n")
