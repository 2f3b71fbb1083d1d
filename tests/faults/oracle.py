"""What is really in a vault, and whether anything private got out. Shares no code with memferry: JSON, zstd and age."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyrage
import zstandard

from tests.backends.samples import unpacked

ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "blake2b")
HEX = re.compile(rb"[0-9a-fA-F]{32,}")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{22,}")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
HEX_SHOWN = 32
BASE64_SHOWN = 21
NUMBER_BYTES = 8

Identities = Sequence[str]
"""age identities, as text, that open an encrypted vault; none: it is not encrypted."""


class Content(NamedTuple):
    """A vault, read by its heads. `bodies`: how often each text is stored. `problems`: what could not be read."""

    bodies: Counter[str]
    retracts: int
    problems: list[str]


class Count(NamedTuple):
    """The verdict of the content oracle: entries missing, copies too many, and texts that nobody wrote."""

    lost: int
    doubled: int
    torn: int


def identities(state: Path, backend: str = "vault") -> Identities:
    """The keys that a machine has of a backend's vault."""
    kept = state / "keys" / f"{backend}.json"
    if not kept.exists():
        return ()
    return [one["identity"] for one in json.loads(kept.read_bytes())["ring"]["generations"]]


def opened(path: Path, keys: Identities = ()) -> bytes:
    """A file of a vault, decrypted where it is encrypted. ValueError if it cannot be."""
    data = path.read_bytes()
    if path.suffix != ".age":
        return data
    try:
        return bytes(pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(key) for key in keys]))
    except pyrage.DecryptError as error:
        raise ValueError(f"{path.name} cannot be decrypted") from error


def read_vault(vault: Path, keys: Identities = ()) -> Content:
    bodies: Counter[str] = Counter()
    retracts, problems = 0, []
    for head in sorted(vault.glob(f"machines/*/head.json{'.age' if keys else ''}")):
        try:
            for operation in operations(head, keys):
                if operation["op"] == "put":
                    bodies[operation["body"]] += 1
                retracts += operation["op"] == "retract"
        except (OSError, ValueError, KeyError, zstandard.ZstdError) as error:
            problems.append(f"{head.parent.name}: {type(error).__name__}: {error}")
    return Content(bodies, retracts, problems)


def operations(head: Path, keys: Identities = ()) -> Iterator[dict[str, Any]]:
    """One machine's log in order. A segment that is not what its head says raises ValueError."""
    for segment in json.loads(opened(head, keys))["segments"]:
        path = head.parent / "segments" / segment["name"]
        if hashlib.sha256(path.read_bytes()).hexdigest() != segment["sha256"]:
            raise ValueError(f"segment {segment['name']} is not what its head says")
        yield from map(json.loads, unpacked(opened(path, keys)).split(b"\n")[:-1])


def unlisted(vault: Path, keys: Identities = ()) -> list[Path]:
    """Segments that lie in a vault and that no head lists."""
    listed = {
        head.parent / "segments" / segment["name"]
        for head in vault.glob(f"machines/*/head.json{'.age' if keys else ''}")
        for segment in json.loads(opened(head, keys))["segments"]
    }
    return sorted(set(vault.glob("machines/*/segments/*")) - listed)


def compare(content: Content, expected: Iterable[str], written: Iterable[str]) -> Count:
    """`expected`: what must be there. `written`: everything that may be, as somebody once wrote it; so may empty lines,
    which belong to their file."""
    stored = content.bodies
    return Count(
        len(set(expected) - stored.keys()) + len(content.problems),
        stored.total() - len(stored),
        len(stored.keys() - set(written) - {""}),
    )


def settled(vault: Path, expected: set[str], keys: Identities = ()) -> bool:
    """Whether everything expected has arrived; a vault that is being written counts as not yet."""
    content = read_vault(vault, keys)
    return not content.problems and expected <= content.bodies.keys()


# -- what must be nowhere


class Traces:
    """Finds private texts and what betrays them: their canaries, and plain digests of any usual kind."""

    def __init__(self, private: Iterable[str]) -> None:
        self._hex: set[bytes] = set()
        self._base64: set[bytes] = set()
        self._numbers: set[bytes] = set()
        for text in private:
            self._learn(text)

    def _learn(self, text: str) -> None:
        self._hex.update(match[:HEX_SHOWN] for match in HEX.findall(text.encode()))
        for body in (text.encode(), text.encode() + b"\n"):
            for name in ALGORITHMS:
                digest = hashlib.new(name, body).digest()
                self._hex.add(digest.hex().encode()[:HEX_SHOWN])
                self._base64.add(base64.b64encode(digest)[:BASE64_SHOWN])
                self._base64.add(base64.urlsafe_b64encode(digest)[:BASE64_SHOWN])
                self._numbers.update((digest[:NUMBER_BYTES], digest[:NUMBER_BYTES][::-1]))

    def count(self, data: bytes) -> int:
        """How many traces there are in text, or in bytes as they lie on a disk."""
        found = _windows(HEX, data, HEX_SHOWN, self._hex) | _windows(BASE64, data, BASE64_SHOWN, self._base64)
        return len(found)

    def count_binary(self, data: bytes) -> int:
        """Digests as bytes, or as the 64-bit numbers that a database makes of them."""
        return sum(number in data for number in list(self._numbers)[:200])


def _windows(pattern: re.Pattern[bytes], data: bytes, width: int, wanted: set[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for match in pattern.finditer(data):
        run = match[0].lower() if pattern is HEX else match[0]
        if len(run) == width:
            found.update({run} & wanted)
        else:
            found.update({run[at : at + width] for at in range(len(run) - width + 1)} & wanted)
    return found


def leaks(private: Iterable[str], vault: Path, state: Path | None, logs: Path, keys: Identities = ()) -> int:
    """Traces of `private` in every byte and every name of a vault, raw, decrypted and unpacked, in the state and in
    the logs."""
    traces = Traces(private)
    total = 0
    for path in files(vault):
        data = path.read_bytes()
        total += traces.count(data) + traces.count_binary(data) + traces.count(str(path.relative_to(vault)).encode())
        total += sum(traces.count(inner) for inner in _inside(path, data, keys))
    for path in [*(files(state) if state else ()), *files(logs)]:
        if path.name != "secret.key":
            data = path.read_bytes()
            total += traces.count(data) + traces.count_binary(data)
    queued = _queued(state) if state else []
    return total + sum(traces.count(_whatever_unpacks(frame)) for frame in queued)


def _inside(path: Path, data: bytes, keys: Identities) -> Iterator[bytes]:
    """What lies in a file's bytes, layer by layer, as far as it opens."""
    if path.suffix == ".age":
        with contextlib.suppress(ValueError):  # not for these keys
            data = opened(path, keys)
            yield data
    if ".zst" in path.suffixes or ZSTD_MAGIC in data[:4]:
        yield _whatever_unpacks(data)


def _whatever_unpacks(data: bytes) -> bytes:
    try:
        return unpacked(data)
    except zstandard.ZstdError:
        return b""


def _queued(state: Path) -> list[bytes]:
    """The frames of the queue, of a state that may be damaged."""
    database = state / "state.db"
    if not database.exists():
        return []
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute("select frame from journal")]
        finally:
            connection.close()
    except sqlite3.Error:
        return []


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file with its SHA-256 and the time it was last written, in ns."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files(folder)
    }
