"""What is really in a vault, and whether anything private got out. Shares no code with memferry: JSON, zstd and age."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyrage
import zstandard

from tests.backends.samples import unpacked
from tests.canary.search import Leak, folder, home, search
from tests.canary.traces import Traces

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


def leaks(private: Iterable[str], vault: Path, state: Path | None, logs: Path, keys: Identities = ()) -> list[Leak]:
    """Traces of `private` in every byte and every name of a vault, of a state and of logs."""
    places = [folder(vault), folder(logs), *([home(state)] if state else [])]
    return search(Traces(private), places, keys)


def files(below: Path) -> list[Path]:
    return sorted(path for path in below.rglob("*") if path.is_file())


def fingerprint(below: Path) -> dict[str, tuple[str, int]]:
    """Every file with its SHA-256 and the time it was last written, in ns."""
    return {
        str(path.relative_to(below)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files(below)
    }
