from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from memferry.backends.base import HeadSeen, Readable, Verifiable
from memferry.backends.faulty import Fault, FaultyStore, When
from memferry.backends.local import LocalStore
from memferry.backends.memory import MemoryStore
from memferry.backends.vault import merging, segments
from memferry.backends.vault.backend import Vault
from memferry.backends.vault.segments import Limits
from memferry.errors import (
    Damaged,
    ForkedLog,
    InvalidValue,
    NotFound,
    TargetRefused,
    TransientError,
)
from memferry.model import Identity, Op, Put, Sealed
from tests.backends.contract import BackendContract
from tests.backends.samples import ME, OTHER, Journal, contents, holds, put, puts, retract, seal, unpacked

SMALL = Limits(target_bytes=2048, small_bytes=1024)
"""A vault in which a few hundred operations fill a segment."""


def vault_at(path: Path, me: Identity = ME, **more: object) -> Vault:
    return Vault(LocalStore(path / "vault", name="vault"), me, name="vault", **more)  # type: ignore[arg-type]


class TestVault(BackendContract):
    def make_backend(self, tmp_path: Path) -> Vault:
        return vault_at(tmp_path)


class TestVaultOfSmallSegments(BackendContract):
    def make_backend(self, tmp_path: Path) -> Vault:
        return vault_at(tmp_path, limits=Limits(target_bytes=300, small_bytes=150))


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    vault = vault_at(tmp_path)
    yield vault
    vault.close()


def head_of(path: Path, me: Identity = ME) -> dict[str, object]:
    return head_in(contents(path / "vault"), me)


def head_in(tree: Mapping[str, bytes], me: Identity = ME) -> dict[str, object]:
    found = json.loads(tree[f"machines/{me.id}/head.json"])
    assert isinstance(found, dict)
    return found


def ops_in(path: Path) -> list[Op]:
    return ops_of(contents(path / "vault"))


def ops_of(tree: Mapping[str, bytes]) -> list[Op]:
    """Read without memferry's reader: by the format page alone."""
    decode = msgspec.json.Decoder(Op).decode_lines
    listed = [tree[f"machines/{ME.id}/segments/{name}"] for name in listed_in(tree)]
    return [op for data in listed for op in decode(unpacked(data))]


def listed_in(tree: Mapping[str, bytes]) -> list[str]:
    return [segment["name"] for segment in head_in(tree)["segments"]]  # type: ignore[attr-defined]


# -- the format


def test_the_tree(vault: Vault, tmp_path: Path) -> None:
    vault.deliver([seal(puts(1, 3)), seal(puts(4, 5))])
    tree = contents(tmp_path / "vault")
    (name,) = (key for key in tree if key.endswith(".zst"))
    data = tree[name]
    sha256 = hashlib.sha256(data).hexdigest()
    assert name == f"machines/{ME.id}/segments/000000000001-000000000005-{sha256[:16]}.jsonl.zst"
    assert sorted(tree) == ["FORMAT", f"machines/{ME.id}/head.json", name]
    assert tree["FORMAT"] == b'{"format":"memferry-vault","version":1,"encryption":"none","compression":"zstd"}'
    assert head_of(tmp_path) == {
        "version": 1, "machine": ME.id, "name": "laptop", "epoch": "epoch-1", "installation": "installation-1",
        "sequence": 1, "last_seq": 5, "previous": None, "mac": None,
        "segments": [
            {"name": name.rpartition("/")[2], "first": 1, "last": 5, "records": 5, "size": len(data),
             "raw": len(unpacked(data)), "sha256": sha256},
        ],
    }  # fmt: skip


def test_each_head_names_the_one_before(vault: Vault, tmp_path: Path) -> None:
    vault.deliver([seal(puts(1, 1))])
    first = (tmp_path / "vault" / "machines" / ME.id / "head.json").read_bytes()
    assert vault.head_seen() == HeadSeen(1, hashlib.sha256(first).hexdigest(), 1)
    vault.deliver([seal(puts(2, 2))])
    assert head_of(tmp_path)["previous"] == hashlib.sha256(first).hexdigest()
    assert head_of(tmp_path)["sequence"] == 2


def read_with_tools(path: Path) -> list[dict[str, object]]:
    """`zstd -d | jq`, or the library in their place where they are not installed."""
    zstd, jq = shutil.which("zstd"), shutil.which("jq")
    if zstd and jq:
        unpack = subprocess.run([zstd, "-dc", str(path)], capture_output=True, check=True)
        out = subprocess.run([jq, "-c", "."], input=unpack.stdout, capture_output=True, check=True).stdout
    else:
        out = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes()), read_across_frames=True).read()
    return [json.loads(line) for line in out.split(b"\n") if line]


def test_a_vault_is_readable_without_memferry(tmp_path: Path) -> None:
    bodies = ["plain", 'quotes " and \\ and \n newline', "\u2028 and \u0085 and 🦀", "", "\x01"]
    ops = [put(seq, body, file=f"ünter/{seq}.md", format="document") for seq, body in enumerate(bodies, start=1)]
    vault = vault_at(tmp_path)
    vault.deliver([seal(ops[:2]), seal(ops[2:])])
    (path,) = (tmp_path / "vault").rglob("*.zst")
    lines = read_with_tools(path)
    assert [(line["op"], line["seq"], line["body"]) for line in lines] == [
        ("put", seq, body) for seq, body in enumerate(bodies, start=1)
    ]


def test_large_frames_are_joined_without_compressing_them_again(vault: Vault, tmp_path: Path) -> None:
    sealed = [seal([put(seq, random_text(seq, 200_000))]) for seq in (1, 2, 3)]
    vault.deliver(sealed)
    (path,) = (tmp_path / "vault").rglob("*.zst")
    assert path.read_bytes() == b"".join(one.frame for one in sealed)


def random_text(seed: int, size: int) -> str:
    return b"".join(hashlib.sha256(b"%d %d" % (seed, n)).hexdigest().encode() for n in range(size // 64)).decode()


def test_a_full_segment_is_about_four_mebibytes(vault: Vault, tmp_path: Path) -> None:
    for start in range(0, 20, 5):
        vault.deliver([seal([put(seq, random_text(seq, 1_500_000))]) for seq in range(start + 1, start + 6)])
    sizes = [segment["size"] for segment in head_of(tmp_path)["segments"]]  # type: ignore[attr-defined]
    assert max(sizes) < 8 << 20
    assert len(sizes) < 9
    assert [op.seq for op in vault.read(ME.id)] == list(range(1, 21))


def test_protocols(vault: Vault) -> None:
    assert isinstance(vault, Readable)
    assert isinstance(vault, Verifiable)


# -- reading


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    assert list(vault.machines()) == []
    with pytest.raises(NotFound):
        list(vault.read(ME.id))
    with pytest.raises(NotFound, match="there is no vault in vault"):
        vault.verify({})
    assert vault.capacity().used_bytes == 0
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("machine", ["c" * 32, "../../etc", "", "A" * 32])
def test_a_machine_that_is_not_there(vault: Vault, machine: str) -> None:
    vault.deliver([seal(puts(1, 3))])
    with pytest.raises(NotFound) as caught:
        list(vault.read(machine))
    assert "memferry machines" in caught.value.hint


def test_reading_behind_a_seq(tmp_path: Path) -> None:
    vault = vault_at(tmp_path, limits=Limits(target_bytes=200, small_bytes=100))
    vault.deliver([seal(puts(first, first + 4)) for first in range(1, 100, 5)])
    assert len(head_of(tmp_path)["segments"]) > 5  # type: ignore[arg-type]
    for after in (0, 1, 4, 5, 6, 50, 99, 100, 1000):
        assert [op.seq for op in vault.read(ME.id, after=after)] == list(range(after + 1, 101))


def test_several_machines(tmp_path: Path) -> None:
    mine, theirs = vault_at(tmp_path), vault_at(tmp_path, OTHER)
    mine.deliver([seal(puts(1, 3))])
    theirs.deliver([seal(puts(1, 7))])
    logs = mine.machines()
    assert [(log.id, log.name, log.epoch, log.installation, log.head.last_seq) for log in logs] == [
        (ME.id, "laptop", "epoch-1", "installation-1", 3),
        (OTHER.id, "desktop", "epoch-9", "installation-9", 7),
    ]
    assert logs[0].head == mine.head_seen()
    assert [op.seq for op in mine.read(OTHER.id)] == list(range(1, 8))


def test_a_log_that_is_merged_while_it_is_read(tmp_path: Path) -> None:
    writer = vault_at(tmp_path)
    for seq in range(1, 8):
        writer.deliver([seal(puts(seq, seq))])
    reading = vault_at(tmp_path, OTHER).read(ME.id)
    got = [next(reading), next(reading)]
    writer.deliver([seal(puts(8, 8))])
    assert len(head_of(tmp_path)["segments"]) == 1  # type: ignore[arg-type]
    got += reading
    assert got == puts(1, 8)


# -- idempotence and crashes


def test_ten_deliveries_of_nothing_new_write_nothing(tmp_path: Path) -> None:
    vault_at(tmp_path).deliver([seal(puts(1, 9))])
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    vault = vault_at(tmp_path)
    for _ in range(10):
        vault.deliver([seal(puts(1, 9))])
        vault.deliver([])
    assert {path: path.stat() for path in tmp_path.rglob("*")} == before


def batches() -> tuple[Journal, list[tuple[int, ...]]]:
    """Deliveries that write, merge, rewrite and delete; withdrawn between them."""
    return Journal(), [(), (), (), (3, 5), (), (12,), (), (), (1, 2, 20), (), (), ()]


def deliver_through_faults(at: int | None, when: When, *, restart: bool) -> int:
    """The store fails once, at its call number `at`; the caller then goes on with the same vault, or a new process.
    Returns how many calls there were."""
    store, fault = MemoryStore(), Fault(at, when)
    journal, withdrawals = batches()
    acknowledged: HeadSeen | None = None

    def open_vault() -> Vault:
        return Vault(FaultyStore(store, fault), ME, name="vault", seen=acknowledged, limits=SMALL)

    vault = open_vault()
    seq = through = 0
    for withdrawn in withdrawals:
        seq = add(journal, seq, withdrawn)
        try:
            receipt = vault.deliver(list(journal.sealed(through + 1, seq)))
        except TransientError:
            if restart:
                vault = open_vault()
            receipt = vault.deliver(list(journal.sealed(through + 1, seq)))
        assert receipt.refused == {}
        through, acknowledged = receipt.through, vault.head_seen()
        for gone in withdrawn:
            assert holds(store.values, f"secret-{gone}-".encode()) == []
    assert ops_of(store.values) == journal.ops
    assert acknowledged
    assert Vault(store, ME, name="vault").verify({ME.id: acknowledged}) == []
    assert {key.rpartition("/")[2] for key in store.values if key.endswith(".zst")} == set(listed_in(store.values))
    return fault.calls


def add(journal: Journal, seq: int, withdrawn: tuple[int, ...]) -> int:
    ops: list[Op] = [put(one, f"secret-{one}-{random_text(one, 200)}") for one in range(seq + 1, seq + 4)]
    if withdrawn:
        journal.withdraw(withdrawn)
        ops.append(retract(seq + 4, *withdrawn))
    journal.rows.append(seal(ops))
    return ops[-1].seq


@pytest.mark.parametrize("restart", [False, True], ids=["same process", "new process"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failure_at_every_call_of_the_store(when: When, restart: bool) -> None:
    calls = deliver_through_faults(None, when, restart=restart)
    assert calls > 40
    for at in range(1, calls + 1):
        assert deliver_through_faults(at, when, restart=restart) >= at


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failure_at_every_call_of_a_local_store(tmp_path: Path, when: When) -> None:
    journal = Journal([seal(puts(1, 3)), seal([*puts(4, 6), retract(7, 2)])])
    for at in range(1, 30):
        (tmp_path / str(at)).mkdir()
        fault = Fault(at, when)
        vault = Vault(FaultyStore(LocalStore(tmp_path / str(at) / "vault"), fault), ME, name="vault")
        for row in journal.rows:
            with suppress(TransientError):
                vault.deliver([row])
        vault_at(tmp_path / str(at)).deliver(journal.rows)
        assert ops_in(tmp_path / str(at)) == [op for op in journal.ops if op.seq != 2]
        if not fault.failed:
            break
    assert at > 10


def test_what_a_lost_reply_left_goes_even_if_the_batch_is_cut_otherwise(tmp_path: Path) -> None:
    store, fault = MemoryStore(), Fault(None)
    vault = Vault(FaultyStore(store, fault), ME, name="vault")
    vault.deliver([seal(puts(1, 3))])
    fault.fail(1, "after")  # the segment arrives, its reply does not
    with pytest.raises(TransientError):
        vault.deliver([seal(puts(4, 6))])
    assert len([key for key in store.values if key.endswith(".zst")]) == 2
    vault.deliver([seal(puts(4, 5))])
    assert ops_of(store.values) == puts(1, 5)
    assert {key.rpartition("/")[2] for key in store.values if key.endswith(".zst")} == set(listed_in(store.values))


def test_two_crashes_before_anything_is_acknowledged(tmp_path: Path) -> None:
    journal = Journal([seal(puts(1, 3))])
    vault_at(tmp_path).deliver(journal.rows)
    journal.rows.append(seal(puts(4, 6)))
    vault_at(tmp_path).deliver(journal.rows)
    journal.rows.append(seal(puts(7, 9)))
    assert vault_at(tmp_path).deliver(journal.rows).through == 9
    assert ops_in(tmp_path) == journal.ops


def test_a_batch_cut_otherwise_after_a_crash(tmp_path: Path) -> None:
    vault_at(tmp_path).deliver([seal(puts(1, 6))])
    vault = vault_at(tmp_path)
    assert vault.deliver([seal(puts(1, 2)), seal(puts(3, 4))]).through == 4
    assert vault.deliver([seal(puts(5, 8))]).through == 8
    assert ops_in(tmp_path) == puts(1, 8)


def test_what_the_journal_withdrew_before_the_crash_was_noticed(tmp_path: Path) -> None:
    journal = Journal([seal(puts(1, 6))])
    vault_at(tmp_path).deliver(journal.rows)  # arrived, but never acknowledged
    journal.withdraw([2, 6])
    journal.rows.append(seal([retract(7, 2, 6)]))
    vault_at(tmp_path).deliver(journal.rows)
    assert ops_in(tmp_path) == journal.ops


# -- whose log it is


def test_a_copied_state_directory_forks_and_nothing_is_overwritten(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.deliver([seal(puts(1, 3))])
    seen = vault.head_seen()
    clone = vault_at(tmp_path, msgspec.structs.replace(ME, installation="another computer"), seen=seen)
    vault.deliver([seal(puts(4, 4))])
    before = contents(tmp_path)
    with pytest.raises(ForkedLog) as caught:
        clone.deliver([seal([put(4, "of the clone")])])
    assert contents(tmp_path) == before
    assert caught.value.exit_code == 4
    assert "copied" in caught.value.hint


def test_clones_that_write_at_the_same_time(tmp_path: Path) -> None:
    """Both have met the same head; the second one's comparison with it fails."""
    vault = vault_at(tmp_path)
    vault.deliver([seal(puts(1, 3))])
    clone = vault_at(tmp_path, msgspec.structs.replace(ME, installation="another computer"), seen=vault.head_seen())
    clone.deliver([seal([put(4, "of the clone")])])
    with pytest.raises(ForkedLog):
        vault.deliver([seal(puts(4, 4))])
    assert ops_in(tmp_path) == [*puts(1, 3), put(4, "of the clone")]


def test_a_state_restored_from_a_backup_forks(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.deliver([seal(puts(1, 3))])
    day_before = vault.head_seen()
    vault.deliver([seal(puts(4, 6))])
    restored = vault_at(tmp_path, seen=day_before)
    before = contents(tmp_path)
    with pytest.raises(ForkedLog, match="operation 4"):
        restored.deliver([seal([put(4, "something else")])])
    assert contents(tmp_path) == before


def test_a_log_of_another_epoch_is_adopted_when_it_is_expected(tmp_path: Path) -> None:
    vault_at(tmp_path).deliver([seal(puts(1, 3))])
    reborn = vault_at(tmp_path, msgspec.structs.replace(ME, epoch="epoch-2"))
    with pytest.raises(ForkedLog):
        reborn.deliver([seal(puts(4, 4))])
    (log,) = reborn.machines()
    reborn.expect(log.head)
    assert reborn.deliver([seal(puts(1, 3))]).through == 3
    assert head_of(tmp_path)["epoch"] == "epoch-1"
    reborn.deliver([seal(puts(4, 4))])
    assert head_of(tmp_path)["epoch"] == "epoch-2"
    assert ops_in(tmp_path) == puts(1, 4)


def test_a_rolled_back_head_is_refused(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.deliver([seal(puts(1, 3))])
    shutil.copytree(tmp_path / "vault", tmp_path / "old")
    vault.deliver([seal(puts(4, 6))])
    shutil.rmtree(tmp_path / "vault")
    (tmp_path / "old").rename(tmp_path / "vault")
    again = vault_at(tmp_path, seen=vault.head_seen())
    with pytest.raises(Damaged, match="older") as caught:
        again.deliver([seal(puts(7, 7))])
    assert caught.value.problem == "rolled-back"
    assert "verify" in caught.value.hint


def test_a_head_that_is_gone(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.deliver([seal(puts(1, 3))])
    (tmp_path / "vault" / "machines" / ME.id / "head.json").unlink()
    with pytest.raises(Damaged, match="missing"):
        vault_at(tmp_path, seen=vault.head_seen()).deliver([seal(puts(4, 4))])


def test_a_vault_that_is_gone_looks_like_an_unmounted_disk(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.deliver([seal(puts(1, 3))])
    (tmp_path / "vault").rename(tmp_path / "unmounted")
    for again in (vault, vault_at(tmp_path, seen=vault.head_seen())):
        with pytest.raises(TransientError) as caught:
            again.deliver([seal(puts(4, 4))])
        assert "mount" in caught.value.hint
        assert not (tmp_path / "vault").exists()
    (tmp_path / "unmounted").rename(tmp_path / "vault")
    vault.deliver([seal(puts(4, 4))])
    assert ops_in(tmp_path) == puts(1, 4)


# -- what is no vault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format":"memferry-vault","version":2,"encryption":"none","compression":"zstd"}', "version 2"),
        ('{"format":"memferry-vault","version":1,"encryption":"age","compression":"zstd"}', "age"),
        ('{"format":"restic","version":1,"encryption":"none","compression":"zstd"}', "not a memferry vault"),
        ("hello", "cannot be read"),
        ("", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "FORMAT").write_text(text)
    vault = vault_at(tmp_path)
    for call in (lambda: vault.deliver([seal(puts(1, 1))]), vault.machines, lambda: list(vault.read(ME.id))):
        with pytest.raises(TargetRefused, match=message) as caught:
            call()
        assert caught.value.exit_code == 4
        assert caught.value.hint
    assert list(contents(tmp_path / "vault")) == ["FORMAT"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "thesis.tex").write_text("my thesis")
    vault = vault_at(tmp_path)
    for call in (lambda: vault.deliver([seal(puts(1, 1))]), vault.machines, lambda: vault.verify({})):
        with pytest.raises(TargetRefused, match=r"thesis\.tex"):
            call()
    assert contents(tmp_path / "vault") == {"thesis.tex": b"my thesis"}


def test_what_desktops_leave_in_an_empty_folder_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "vault" / "lost+found").mkdir(parents=True)
    (tmp_path / "vault" / ".DS_Store").write_bytes(b"\0")
    vault = vault_at(tmp_path)
    vault.deliver([seal(puts(1, 1))])
    assert vault.verify({}) == []


def test_create_false(tmp_path: Path) -> None:
    with pytest.raises(TargetRefused, match="no vault"):
        vault_at(tmp_path, create=False).deliver([seal(puts(1, 1))])
    assert contents(tmp_path) == {}


# -- what cannot be stored


def test_operations_that_are_too_long_are_refused_one_by_one(tmp_path: Path) -> None:
    vault = vault_at(tmp_path, limits=Limits(target_bytes=2048, small_bytes=100, line_bytes=2000, raw_bytes=100_000))
    ops = puts(1, 5)
    ops[2] = put(3, "x" * 3000)
    receipt = vault.deliver([seal(ops), seal(puts(6, 7))])
    assert receipt.through == 7
    assert list(receipt.refused) == [3]
    assert "x" not in receipt.refused[3].replace("than", "")
    assert [op.seq for op in vault.read(ME.id)] == [1, 2, 4, 5, 6, 7]
    assert vault.deliver([seal([ops[2]])]).refused == receipt.refused
    assert vault.verify({}) == []


@pytest.mark.parametrize("change", ["bits", "count", "raw_bytes"])
def test_a_damaged_journal_is_not_carried_on(vault: Vault, tmp_path: Path, change: str) -> None:
    sealed = seal(puts(1, 5))
    damaged = {
        "bits": msgspec.structs.replace(sealed, frame=sealed.frame[:50] + b"\0" + sealed.frame[51:]),
        "count": msgspec.structs.replace(sealed, count=4),
        "raw_bytes": msgspec.structs.replace(sealed, raw_bytes=sealed.raw_bytes - 1),
    }[change]
    with pytest.raises(InvalidValue, match="1 to 5") as caught:
        vault.deliver([damaged])
    assert "doctor" in caught.value.hint
    assert not list(tmp_path.rglob("*.zst"))


def test_an_empty_row(vault: Vault) -> None:
    vault.deliver([seal(puts(1, 2)), Sealed(3, 5, 0, 0, b""), seal(puts(6, 6))])
    assert [op.seq for op in vault.read(ME.id)] == [1, 2, 6]


# -- a hostile vault


def planted(tmp_path: Path, data: bytes, **told: object) -> Vault:
    """A log of one segment with these bytes, under a head that fits them but for what is `told` otherwise."""
    sha256 = hashlib.sha256(data).hexdigest()
    first, last = int(str(told.get("first", 1))), int(str(told.get("last", 5)))
    name = f"{first:012}-{last:012}-{sha256[:16]}.jsonl.zst"
    segment = {
        "name": name,
        "first": first,
        "last": last,
        "records": 5,
        "size": len(data),
        "raw": 100,
        "sha256": sha256,
    }
    head = {
        "version": 1, "machine": ME.id, "name": "laptop", "epoch": "e", "installation": "i", "sequence": 1,
        "last_seq": last, "segments": [segment | told], "previous": None, "mac": None,
    }  # fmt: skip
    vault = vault_at(tmp_path)
    vault.deliver([])
    folder = tmp_path / "vault" / "machines" / ME.id
    (folder / "segments").mkdir(parents=True)
    (folder / "segments" / name).write_bytes(data)
    (folder / "head.json").write_text(json.dumps(head))
    return vault_at(tmp_path)


def packed(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(raw)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (bytes(1 << 30), {"raw": 100}),
        (bytes(1 << 28), {"raw": 1 << 28}),
        (b"x" * (1 << 20) + b"\n", {"raw": (1 << 20) + 1}),
        (b'{"op":"put","seq":1}\n', {"raw": 21, "records": 1}),
        (b'{"op":"steal","seq":1}\n', {"raw": 23, "records": 1}),
        (b'{"op":"put","seq":9223372036854775808}\n', {"raw": 39, "records": 1}),
        (b'{"op":"put","seq":7}\n', {"raw": 21, "records": 1}),
        (b'{"seq":2}\n{"seq":1}\n', {"raw": 20, "records": 2}),
        (b'{"seq":1}\n{"seq":1}\n', {"raw": 20, "records": 2}),
        (b'{"seq":1}\n{"seq":2}\n', {"raw": 20, "records": 1}),
        (b'{"seq":1}\n{"seq":2}', {"raw": 19, "records": 2}),
        (b'{"seq":1,"x":' + b"[" * 200_000 + b"\n", {"raw": 200_014, "records": 1}),
        (b"\n" * 1000, {"raw": 1000, "records": 1000}),
        (b"\xff\xfe\n", {"raw": 3, "records": 1}),
    ],
)
def test_hostile_segments_are_refused(tmp_path: Path, raw: bytes, told: dict[str, object]) -> None:
    vault = planted(tmp_path, packed(raw), **told)
    with pytest.raises(Damaged) as caught:
        list(vault.read(ME.id))
    assert "memferry verify" in caught.value.hint
    assert ME.id in str(caught.value)


VALID = [msgspec.json.encode(put(seq)) + b"\n" for seq in (1, 2, 3)]


@pytest.mark.parametrize(
    ("lines", "records"),
    [([0, 1, 2], 2), ([0, 1], 3), ([0, 0, 1], 3), ([1, 0, 2], 3)],
    ids=["more than told", "fewer than told", "twice", "out of order"],
)
def test_operations_that_are_not_as_told_are_refused(tmp_path: Path, lines: list[int], records: int) -> None:
    raw = b"".join(VALID[n] for n in lines)
    vault = planted(tmp_path, packed(raw), raw=len(raw), records=records)
    with pytest.raises(Damaged):
        list(vault.read(ME.id))
    assert [finding.problem for finding in vault.verify({})] == ["changed"]


def test_no_more_is_unpacked_than_told() -> None:
    found = segments.lines(packed(b"{}\n" * 1_000_000), raw=10, longest=1 << 30)
    with pytest.raises(segments.Unsound):
        for _ in found:
            pass
    assert sum(len(step) for step in segments._steps(packed(bytes(1 << 20)), raw=10)) == 11


def test_a_line_that_is_too_long_is_given_up_early() -> None:
    with pytest.raises(segments.Unsound, match="a line of more than"):
        list(segments.lines(packed(bytes(1 << 25)), raw=1 << 25, longest=1 << 20))


def test_no_more_is_fetched_than_listed(vault: Vault, tmp_path: Path) -> None:
    """A file that somebody blew up to a terabyte."""
    vault.deliver([seal(puts(1, 3))])
    (path,) = tmp_path.rglob("*.zst")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(Damaged):
        list(vault.read(ME.id))


def test_bytes_that_are_no_frame_are_refused(tmp_path: Path) -> None:
    vault = planted(tmp_path, b"not compressed at all")
    with pytest.raises(Damaged, match="cannot be unpacked"):
        list(vault.read(ME.id))


@pytest.mark.parametrize(
    "told",
    [
        {"size": 1 << 40}, {"raw": 1 << 40}, {"first": -1}, {"first": 6}, {"last": 1 << 63}, {"records": "many"},
        {"name": "../../../../etc/passwd"}, {"name": "/etc/passwd"}, {"name": "x"}, {"sha256": "0" * 64},
        {"sha256": "x"},
    ],
)  # fmt: skip
def test_hostile_heads_are_refused(tmp_path: Path, told: dict[str, object]) -> None:
    vault = planted(tmp_path, packed(b'{"seq":1}\n'), **told)
    with pytest.raises(Damaged) as caught:
        list(vault.read(ME.id))
    assert "memferry verify" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"machine": OTHER.id}, {"version": 2}, {"name": "evil\x1b[2J"}, {"name": "x" * 1000}, {"sequence": -1},
        {"last_seq": 3}, {"sequence": 1 << 60}, {"previous": "x"},
    ],
)  # fmt: skip
def test_heads_that_contradict_themselves_are_refused(vault: Vault, tmp_path: Path, change: dict[str, object]) -> None:
    vault.deliver([seal(puts(1, 5))])
    path = tmp_path / "vault" / "machines" / ME.id / "head.json"
    path.write_text(json.dumps(head_of(tmp_path) | change))
    with pytest.raises(Damaged):
        vault_at(tmp_path).machines()


def test_segments_out_of_order_are_refused(tmp_path: Path) -> None:
    vault = vault_at(tmp_path, limits=Limits(target_bytes=100, small_bytes=1))
    vault.deliver([seal(puts(1, 5)), seal(puts(6, 9))])
    path = tmp_path / "vault" / "machines" / ME.id / "head.json"
    head = head_of(tmp_path)
    head["segments"] = list(reversed(head["segments"]))  # type: ignore[call-overload]
    path.write_text(json.dumps(head))
    with pytest.raises(Damaged, match="out of order"):
        list(vault_at(tmp_path).read(ME.id))


# -- withdrawing


def test_no_withdrawn_byte_remains(tmp_path: Path) -> None:
    """Not in a segment, not in one that an interrupted write left, nor in a copy that a sync tool made of one."""
    vault = vault_at(tmp_path, limits=SMALL)
    journal = Journal(
        seal([put(seq, f"canary-{seq}-{random_text(seq, 300)}") for seq in range(first, first + 10)])
        for first in range(1, 101, 10)
    )
    vault.deliver(journal.rows)
    folder = tmp_path / "vault" / "machines" / ME.id / "segments"
    victim = next(path for path in sorted(folder.iterdir()) if b"canary-42-" in unpacked(path.read_bytes()))
    copy = victim.name.replace(".jsonl.zst", ".sync-conflict-20260101.jsonl.zst")
    (folder / copy).write_bytes(victim.read_bytes())
    aside = tmp_path / "vault" / "lost+found" / "machines" / ME.id / "segments"
    aside.mkdir(parents=True)
    (aside / victim.name).write_bytes(victim.read_bytes())
    (folder / "holiday.jpg").write_bytes(b"not ours")
    assert len(holds(contents(tmp_path), b"canary-42-")) == 3

    journal.withdraw([42, 77])
    vault.deliver([seal([retract(101, 42, 77)])])

    assert holds(contents(tmp_path), b"canary-42-") == []
    assert holds(contents(tmp_path), b"canary-77-") == []
    assert holds(contents(tmp_path), b"canary-41-") == [
        f"vault/machines/{ME.id}/segments/{found}" for found in [names_of(tmp_path, 41)]
    ]
    assert (folder / "holiday.jpg").read_bytes() == b"not ours"
    assert ops_in(tmp_path) == [*journal.ops, retract(101, 42, 77)]


def names_of(tmp_path: Path, seq: int) -> object:
    listed = head_of(tmp_path)["segments"]
    return next(one["name"] for one in listed if one["first"] <= seq <= one["last"])  # type: ignore[attr-defined]


def test_only_segments_that_hold_it_are_rewritten(tmp_path: Path) -> None:
    vault = vault_at(tmp_path, limits=SMALL)
    vault.deliver(
        [seal([put(seq, random_text(seq, 1024)) for seq in range(first, first + 5)]) for first in range(1, 100, 5)]
    )
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.zst")}
    vault.deliver([seal([retract(101, 1)])])
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.zst")}
    assert len(before) > 5
    assert len(before.items() - after.items()) == 1


def test_withdrawing_what_is_not_there_changes_no_segment(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.deliver([seal([op for op in puts(1, 9) if op.seq != 4])])
    (before,) = tmp_path.rglob("*.zst")
    vault.deliver([seal([retract(10, 4)])])
    assert before.exists()
    assert [op.seq for op in ops_in(tmp_path)] == [1, 2, 3, 5, 6, 7, 8, 9, 10]


# -- merging


@given(st.lists(st.integers(0, 40_000), max_size=300))
def test_groups_cover_everything_in_order(weights: list[int]) -> None:
    found = merging.groups(weights, 8192)
    assert [at for group in found for at in range(group.start, group.stop)] == list(range(len(weights)))


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=400))
def test_a_log_has_few_segments_and_little_is_rewritten(weights: list[int]) -> None:
    """Delivery by delivery: what is left waiting is bounded by the tiers, and nobody is rewritten more often than
    that."""
    target = 8192
    log: list[int] = []
    rewritten = 0
    for weight in weights:
        log.append(weight)
        groups = merging.groups(log, target)
        rewritten += sum(sum(log[group]) for group in groups if group.stop - group.start > 1)
        log = [sum(log[group]) for group in groups]
        full = sum(one >= target for one in log)
        assert len(log) <= 2 * full + merging.TIERS * (merging.FAN_IN - 1) + 1
    assert sum(log) == sum(weights)
    assert rewritten <= (merging.TIERS + 1) * 2 * sum(weights)


def test_small_segments_between_larger_ones_are_merged_too() -> None:
    log: list[int] = []
    for weight in ([10] * 7 + [1100]) * 50:
        log.append(weight)
        log = [sum(log[group]) for group in merging.groups(log, 8192)]
        assert len(log) <= 2 * sum(one >= 8192 for one in log) + merging.TIERS * (merging.FAN_IN - 1)


def test_many_deliveries_of_one_operation_make_few_files() -> None:
    store = MemoryStore()
    vault = Vault(store, ME, name="vault", limits=Limits(target_bytes=16_384, small_bytes=4096))
    most = 0
    for seq in range(1, 601):
        vault.deliver([seal([put(seq, random_text(seq, 128))])])
        most = max(most, len(listed_in(store.values)))
    assert most <= 34
    assert sum(key.endswith(".zst") for key in store.values) == len(listed_in(store.values))
    assert [op.seq for op in ops_of(store.values)] == list(range(1, 601))
    assert vault.verify({}) == []


# -- against a model


class VaultModel(RuleBasedStateMachine):
    """Deliveries, withdrawals, crashes and restarts, against a dict of what the journal holds."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.journal = Journal()
        self.seq = self.through = 0
        self.acknowledged: HeadSeen | None = None
        self.fault = Fault(None)
        self.restart()

    @rule()
    def restart(self) -> None:
        self.vault = Vault(
            FaultyStore(self.store, self.fault), ME, name="vault", seen=self.acknowledged, limits=Limits(900, 200)
        )

    @rule(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=6))
    def write(self, sizes: list[int]) -> None:
        ops = [put(self.seq + n, random_text(self.seq + n, size)) for n, size in enumerate(sizes, start=1)]
        self.journal.rows.append(seal(ops))
        self.seq += len(ops)

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        known = [op.seq for op in self.journal.ops if isinstance(op, Put)]
        if known:
            gone = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True))
            self.journal.withdraw(gone)
            self.seq += 1
            self.journal.rows.append(seal([retract(self.seq, *gone)]))

    @rule(
        at=st.one_of(st.none(), st.integers(1, 20)), when=st.sampled_from(["before", "after"]), rows=st.integers(1, 4)
    )
    def deliver(self, at: int | None, when: When, rows: int) -> None:
        batch = list(self.journal.sealed(self.through + 1, self.seq))[:rows]
        self.fault.fail(at, when)
        try:
            receipt = self.vault.deliver(batch)
        except TransientError:
            return
        finally:
            self.fault.fail(None)
        self.through = max(self.through, receipt.through)
        self.acknowledged = self.vault.head_seen()

    @rule(data=st.data())
    def deliver_something_again(self, data: st.DataObject) -> None:
        sent = [row for row in self.journal.rows if row.last <= self.through]
        if sent:
            self.vault.deliver([data.draw(st.sampled_from(sent))])
            self.acknowledged = self.vault.head_seen()

    @invariant()
    def everything_acknowledged_is_held(self) -> None:
        if self.through:
            reader = Vault(self.store, OTHER, name="vault", limits=Limits(900, 200))
            held = [op for op in reader.read(ME.id) if op.seq <= self.through]
            expected = [op for op in self.journal.ops if op.seq <= self.through]
            pending = {op.seq for op in held} - {op.seq for op in expected}
            assert [op for op in held if op.seq not in pending] == expected
            undelivered = {seq for row in self.journal.sealed(self.through + 1, self.seq) for seq in row.retracts}
            assert pending <= undelivered

    def teardown(self) -> None:
        self.fault.fail(None)
        self.deliver(None, "before", 1 << 20)
        reader = Vault(self.store, OTHER, name="vault", limits=Limits(900, 200))
        held = list(reader.read(ME.id)) if self.seq else []
        assert held == self.journal.ops
        assert reader.verify({ME.id: self.acknowledged} if self.acknowledged else {}) == []
        stored = {key.rpartition("/")[2] for key in self.store.values if key.endswith(".zst")}
        heads = [json.loads(value) for key, value in self.store.values.items() if key.endswith("head.json")]
        assert stored == {segment["name"] for head in heads for segment in head["segments"]}


TestVaultModel = VaultModel.TestCase
TestVaultModel.settings = settings(max_examples=100, stateful_step_count=30)
