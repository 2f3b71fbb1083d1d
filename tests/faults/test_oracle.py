"""The oracles have teeth: each kind of fault, made by hand, is seen."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pyrage
import pytest
import zstandard

from tests.faults import oracle
from tests.faults.lines import Book


def vault_of(base: Path, bodies: list[str]) -> Path:
    """A vault with one segment that holds these texts."""
    segments = base / "vault" / "machines" / "m" / "segments"
    segments.mkdir(parents=True)
    lines = "".join(json.dumps({"op": "put", "body": body}) + "\n" for body in bodies)
    stored = zstandard.compress(lines.encode())
    (segments / "one.jsonl.zst").write_bytes(stored)
    listed = {"name": "one.jsonl.zst", "sha256": hashlib.sha256(stored).hexdigest()}
    (segments.parent / "head.json").write_text(json.dumps({"segments": [listed]}))
    return base / "vault"


def test_counts_lost_doubled_and_torn(tmp_path: Path) -> None:
    vault = vault_of(tmp_path, ["a", "a", "b", "hal"])
    assert oracle.compare(oracle.read_vault(vault), {"a", "b", "half"}, {"a", "b", "half"}) == (1, 1, 1)


def test_a_sound_vault_is_sound(tmp_path: Path) -> None:
    vault = vault_of(tmp_path, ["a", "b"])
    assert oracle.compare(oracle.read_vault(vault), {"a"}, {"a", "b"}) == (0, 0, 0)


def test_a_damaged_segment_is_a_loss(tmp_path: Path) -> None:
    vault = vault_of(tmp_path, ["a"])
    next(vault.rglob("*.zst")).write_bytes(b"")
    content = oracle.read_vault(vault)
    assert content.problems
    assert oracle.compare(content, set(), set()).lost == 1


def encrypted(vault: Path) -> str:
    """The same vault encrypted; its key."""
    identity = pyrage.x25519.Identity.generate()
    (head,) = vault.rglob("head.json")
    (segment,) = vault.rglob("*.zst")
    sealed = pyrage.encrypt(segment.read_bytes(), [identity.to_public()])
    segment.unlink()
    segment.with_name("one.jsonl.zst.age").write_bytes(sealed)
    listed = {"name": "one.jsonl.zst.age", "sha256": hashlib.sha256(sealed).hexdigest()}
    head.unlink()
    clear = json.dumps({"segments": [listed]}).encode()
    head.with_name("head.json.age").write_bytes(pyrage.encrypt(clear, [identity.to_public()]))
    return str(identity)


def test_an_encrypted_vault_is_opened(tmp_path: Path) -> None:
    vault = vault_of(tmp_path, ["a", "a", "b"])
    key = encrypted(vault)
    assert oracle.compare(oracle.read_vault(vault, [key]), {"a", "c"}, {"a", "b"}) == (1, 1, 0)
    assert oracle.compare(oracle.read_vault(vault), {"a", "b"}, {"a", "b"}).lost == 2  # not seen is not there
    other = str(pyrage.x25519.Identity.generate())
    assert oracle.compare(oracle.read_vault(vault, [other]), set(), {"a", "b"}).lost == 1


def test_what_is_private_is_found_under_the_encryption(tmp_path: Path) -> None:
    (private,) = Book(7).next(1, private=True)
    vault = vault_of(tmp_path, [private])
    key = encrypted(vault)
    (tmp_path / "logs").mkdir()
    assert oracle.leaks([private], vault, None, tmp_path / "logs", [key])
    assert not oracle.leaks([private], vault, None, tmp_path / "logs")


@pytest.mark.parametrize("place", ["vault", "state", "logs"])
def test_what_is_private_is_looked_for_in_each_place(tmp_path: Path, place: str) -> None:
    """How it may be disguised there is the business of tests/canary."""
    book = Book(1)
    (private,) = book.next(1, private=True)
    for name in ("vault", "state", "logs"):
        (tmp_path / name).mkdir()
    places = (tmp_path / "vault", tmp_path / "state", tmp_path / "logs")
    assert not oracle.leaks(book.private, *places)
    (tmp_path / place / "some.bin").write_bytes(b"before " + private.encode() + b" behind")
    assert oracle.leaks(book.private, *places)


def test_the_same_seed_writes_the_same_lines() -> None:
    first, second = Book(7), Book(7)
    assert first.next(200) == second.next(200)
    assert first.private == second.private
    assert 0 < len(first.private) < 40
    assert len(Counter(map(len, first.public | first.private))) == 1
    assert Book(8).next(1) != Book(7).next(1)
