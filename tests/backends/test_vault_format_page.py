"""A reader that knows what docs/vault-format.md says and nothing else finds what memferry finds; and memferry takes
what such a writer writes. Neither uses anything of memferry.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrage
import pytest
import zstandard

from tests.agent.machines import Typed

VOLATILE = ("access_count", "last_accessed")
IDS = ("event_id", "uuid", "id")
WITHOUT_FRAME = ("[\n", ",\n", "\n]\n")

Ops = list[dict[str, Any]]
Opened = Callable[[bytes], bytes]


# -- "head.json", "Segments"


def log_of(vault: Path, machine: str, opened: Opened = bytes, suffix: str = "") -> Ops:
    """All operations, ascending. `opened`: bytes from what is stored."""
    about = json.loads((vault / "FORMAT").read_bytes())
    assert (about["format"], about["version"], about["compression"]) == ("memferry-vault", 1, "zstd")
    folder = vault / "machines" / machine
    head = json.loads(opened((folder / f"head.json{suffix}").read_bytes()))
    assert (head["version"], head["machine"]) == (1, machine)
    return [op for segment in head["segments"] for op in _operations(folder / "segments", segment, opened, suffix)]


def _operations(folder: Path, listed: Mapping[str, Any], opened: Opened, suffix: str) -> Iterator[dict[str, Any]]:
    data = (folder / listed["name"]).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    assert (len(data), sha256) == (listed["size"], listed["sha256"])
    assert listed["name"] == f"{listed['first']:012}-{listed['last']:012}-{sha256[:16]}.jsonl.zst{suffix}"
    unpacker = zstandard.ZstdDecompressor(max_window_size=32 << 20)
    raw = unpacker.stream_reader(io.BytesIO(opened(data)), read_across_frames=True).read()
    *lines, rest = raw.split(b"\n")
    assert (len(raw), len(lines), rest) == (listed["raw"], listed["records"], b"")
    yield from map(json.loads, lines)


# -- "Keys and digests"


def key_and_digest(put: Mapping[str, Any]) -> tuple[str, str]:
    body = put["body"]
    if put["format"] == "document" or put["key"] == put["file"]:
        return put["file"], hashlib.sha256(body.encode()).hexdigest()
    is_entry = put["format"] == "entries"
    value = json.loads(body) if is_entry or body else None
    digest = hashlib.sha256((canonical(value) if is_entry else body).encode()).hexdigest()
    ids = [value.get(name) for name in (("id",) if is_entry else IDS)] if isinstance(value, dict) else []
    return next((one for one in ids if isinstance(one, str) and one), digest), digest


def canonical(entry: object) -> str:
    if isinstance(entry, dict):
        entry = {name: value for name, value in entry.items() if name not in VOLATILE}
    return json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


# -- "From a log to files"


@dataclass
class File:
    table: dict[int, int] = field(default_factory=dict)
    format: str = ""
    frame: tuple[str, str, str] | None = None
    mtime_ns: int | None = None
    gone: bool = False


def files_of(log: Ops) -> dict[str, tuple[bytes, int | None]]:
    """Content and time of what a restore writes, by path."""
    files: dict[tuple[str, str], File] = {}
    puts = {op["seq"]: op for op in log if op["op"] == "put"}
    lies_in = {seq: (op["space"], op["file"]) for seq, op in puts.items()}
    for op in (op for op in log if op["op"] in ("put", "place", "file")):
        name = (op["space"], op["file"])
        if "was" in op and (was := (op["space"], op["was"])) != name:
            files[name] = files.pop(was, File())
            lies_in |= {seq: name for seq, lay_in in lies_in.items() if lay_in == was and seq < op["seq"]}
        _apply(op, files.setdefault(name, File()))
    live = {seq for file in files.values() if not file.gone for seq in file.table.values()}
    found: dict[str, tuple[bytes, int | None]] = {}
    for (space, path), file in files.items():
        bodies = [puts[seq]["body"] for _, seq in sorted(file.table.items()) if seq in puts]
        if _is_written(file, bodies, live):
            found[f"{space}/{path}"] = _content(path, file.format, bodies, file.frame), file.mtime_ns
    return found | {path: (content, 0) for path, content in _kept(files, puts, lies_in)}


def _apply(op: Mapping[str, Any], file: File) -> None:
    if op["op"] == "file":
        if "keep" in op:
            file.table = {position: seq for position, seq in file.table.items() if position < op["keep"]}
        file.format = op.get("format") or file.format
        file.frame = op.get("frame") or file.frame
        file.mtime_ns = op.get("mtime_ns", file.mtime_ns)
        file.gone = op.get("gone", False)
        return
    if op["op"] == "put" and (not file.format or file.gone):
        file.format = op["format"]
    file.gone = False
    file.table[op["position"]] = op["put"] if op["op"] == "place" else op["seq"]


def _is_written(file: File, bodies: list[str], live: set[int]) -> bool:
    if file.gone:
        return not live.issuperset(file.table.values())
    may_be_empty = file.frame is not None if file.format == "entries" else file.format != "document"
    return bool(bodies) or (may_be_empty and file.mtime_ns is not None)


def _content(path: str, format_: str, bodies: list[str], frame: tuple[str, str, str] | None) -> bytes:
    if format_ == "document":
        return "".join(bodies).encode()
    if format_ == "entries":
        before, between, after = frame or WITHOUT_FRAME
        return (before + between.join(bodies) + after).encode()
    lines = "".join(body + "\n" for body in bodies).encode()
    return gzip.compress(lines) if path.endswith(".gz") else lines


def _kept(
    files: Mapping[tuple[str, str], File], puts: Mapping[int, Mapping[str, Any]], lies_in: Mapping[int, tuple[str, str]]
) -> Iterator[tuple[str, bytes]]:
    """What is in no table any more. Only a document has a file for each."""
    shown = {seq for file in files.values() for seq in file.table.values()}
    kept: dict[str, tuple[str, list[str]]] = {}
    for seq, put in puts.items():
        space, path = lies_in[seq]
        if seq in shown or any(_replaces(new, put) for new in puts.values()):
            continue
        if put["format"] == "document":
            stem, suffix = posixpath.splitext(path)
            path = f"{stem}.{seq}{suffix}"
        kept.setdefault(f".memferry-kept/{space}/{path}", (put["format"], []))[1].append(put["body"])
    for path, (format_, bodies) in kept.items():
        yield path, _content(path, format_, bodies, None)


def _replaces(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    same = (new["space"], new["key"]) == (old["space"], old["key"])
    return same and new["seq"] > old["seq"] and len(new["body"].encode()) >= len(old["body"].encode())


# -- the tests


def line(name: str, text: str) -> str:
    return json.dumps({"id": name, "text": text}) + "\n"


@pytest.fixture
def ant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Has written, and then rewritten, renamed and removed."""
    ant = Typed(tmp_path, "ant", capsys)
    talk = "".join(line(f"talk-{number}", f"words {number}") for number in range(5))
    entries = [{"id": f"fact-{number}", "content": f"fact {number}", "access_count": 0} for number in range(4)]
    ant.write("log.jsonl", talk + line("twice", "said") * 2 + "\n" + '{"text": "no id"}\n')
    ant.write("rotated.jsonl", line("rotated", "away"))
    ant.write("emptied.jsonl", line("emptied", "soon"))
    ant.write("lost.jsonl", line("lost", "and kept"))
    (ant.tree / "old.jsonl.gz").write_bytes(gzip.compress(line("old", "packed").encode()))
    ant.write("facts.json", json.dumps(entries, indent=2) + "\n")
    ant.write(
        "odd.json",
        '[{"id":"d","n":[1.0,1e5,1e16,0.00001,-0]},{"id":"d","n":2},{"id":"d#2"},{"id":"d","n":2},{"id":7},3]',
    )
    ant.write("within.json", '{"about": "ferries", "entries": [ {"id":"in","é":"\\u00e9\\/\\u0001"} ] }\n')
    ant.write("single.json", '{"id": "not its key", "access_count": 1}\n')
    ant.write("plan.md", "We sail on Tuesdays, from the northern pier.\n")
    ant.write("notes/left.md", "no newline at the end")
    ant.write("moved.md", "This one moves.\n")
    ant.run("push")
    ant.write("log.jsonl", "".join(ant.read("log.jsonl").splitlines(keepends=True)[1:]) + line("more", "of it"))
    (ant.tree / "rotated.jsonl").rename(ant.tree / "rotated.jsonl.1")
    ant.write("rotated.jsonl", line("fresh", "begun"))
    ant.write("emptied.jsonl", "")
    entries[0]["access_count"], entries[1]["content"] = 9, "f"
    ant.write("facts.json", json.dumps(entries[:3], indent=2) + "\n")
    ant.write("plan.md", "We sail.\n")
    (ant.tree / "moved.md").rename(ant.tree / "notes" / "moved.md")
    for gone in ("lost.jsonl", "notes/left.md"):
        (ant.tree / gone).unlink()
    ant.run("push")
    return ant


def test_the_files_that_the_page_describes_are_those_of_a_restore(ant: Typed, tmp_path: Path) -> None:
    (folder,) = (tmp_path / "vault" / "machines").iterdir()
    described = files_of(log_of(tmp_path / "vault", folder.name))
    ant.run("restore", "--machine", "ant", "--to", str(tmp_path / "restored"))
    restored = {
        path.relative_to(tmp_path / "restored").as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (tmp_path / "restored").rglob("*")
        if path.is_file()
    }
    assert {path: _unpacked(path, content) for path, (content, _) in described.items()} == {
        path: _unpacked(path, content) for path, (content, _) in restored.items()
    }
    if os.name == "posix":
        assert {path: when for path, (_, when) in described.items()} == {path: at for path, (_, at) in restored.items()}
    kept = {path.partition(".memferry-kept/notes/")[2] for path in restored} - {""}
    assert {"log.jsonl", "facts.json"} < kept
    assert any(path.startswith("plan.") for path in kept)


def _unpacked(path: str, content: bytes) -> bytes:
    return gzip.decompress(content) if path.endswith(".gz") else content


def test_keys_and_digests_are_as_described(ant: Typed, tmp_path: Path) -> None:
    (folder,) = (tmp_path / "vault" / "machines").iterdir()
    puts = [op for op in log_of(tmp_path / "vault", folder.name) if op["op"] == "put"]
    several = {"d#3": "d"}  # d#2 is the id of another entry
    assert [(several.get(put["key"], put["key"]), put["digest"]) for put in puts] == list(map(key_and_digest, puts))
    keys = {put["key"] for put in puts}
    assert {"d", "d#2", "d#3", "in", "single.json", "notes/left.md", "notes/moved.md"} <= keys
    assert not keys & {"7", "not its key"}


def test_what_vouches_for_an_encrypted_vault_is_made_as_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ant, bee, cat = (Typed(tmp_path, name, capsys, encryption="age") for name in ("ant", "bee", "cat"))
    ant.log("the first of all")
    ant.run("push")
    recovery = ant.run("machines", "recovery").split()[0]
    for other in (bee, cat):
        other.tree.mkdir(exist_ok=True)
        (tmp_path / "code").write_text(recovery)
        other.run("join", "--recovery", "--file", str(tmp_path / "code"))
        other.log(f"and {other.name}")
        other.run("push")
    ant.run("machines", "revoke", "cat")

    def opened(*identities: str) -> Opened:
        keys = [pyrage.x25519.Identity.from_str(one) for one in identities]
        return lambda data: bytes(pyrage.decrypt(data, keys))

    def mac(keys: Mapping[str, str], purpose: str, data: bytes) -> str:
        key = hmac.digest(bytes.fromhex(keys["mac"]), f"memferry {purpose}".encode(), "sha256")
        return hmac.digest(key, data, "sha256").hex()

    vault = tmp_path / "vault"
    stored = {path.relative_to(vault).as_posix(): opened(recovery)(path.read_bytes()) for path in vault.glob("keys/*")}
    rings = {place: json.loads(data) for place, data in stored.items()}
    newest = rings["keys/2.age"]["generations"]
    for place, ring in rings.items():
        generations = ring["generations"]
        exact = json.dumps(ring | {"mac": ""}, ensure_ascii=False, separators=(",", ":")).encode()
        assert ring["mac"] == mac(generations[-2] if len(generations) > 1 else generations[0], "ring", exact)
        said = f"memferry recovery {ring['vault']} {generations[0]['mac']}"
        assert ring["proof"] == hmac.digest(recovery.encode(), said.encode(), "sha256").hex()
        assert ring["place"] == place
        assert generations == newest[: len(generations)]
        label = mac(generations[-1], "addition", ring["members"][-1]["recipient"].encode())[:16]
        assert place in (f"keys/{len(generations)}.age", f"keys/{len(generations)}-{label}.age")
    assert len(rings) == 4

    unlocked = opened(*(one["identity"] for one in newest))
    for folder in (vault / "machines").iterdir():
        data = unlocked((folder / "head.json.age").read_bytes())
        head = json.loads(data)
        without = data.replace(b'"mac":"%s"' % head["mac"].encode(), b'"mac":null')
        assert head["mac"] == mac(newest[head["generation"] - 1], "head", without)
        assert [op["op"] for op in log_of(vault, folder.name, unlocked, ".age")][:1] == ["put"]


# -- a writer that knows the page alone


def write_log(vault: Path, machine: str, ops: Ops) -> None:
    """With the required fields and blanks, as few machines would write it."""
    raw = "".join(json.dumps(op) + "\n" for op in ops).encode()
    data = zstandard.ZstdCompressor().compress(raw)
    sha256 = hashlib.sha256(data).hexdigest()
    first, last = ops[0]["seq"], ops[-1]["seq"]
    name = f"{first:012}-{last:012}-{sha256[:16]}.jsonl.zst"
    segment = {"name": name, "first": first, "last": last, "records": len(ops), "size": len(data), "raw": len(raw)}
    head = {"version": 1, "machine": machine, "name": "owl", "epoch": "any", "installation": "any", "sequence": 1}
    head |= {"last_seq": last, "segments": [segment | {"sha256": sha256}], "previous": None, "unknown": "accepted"}
    folder = vault / "machines" / machine
    (folder / "segments").mkdir(parents=True)
    about = {"format": "memferry-vault", "version": 1, "encryption": "none", "compression": "zstd"}
    (vault / "FORMAT").write_text(json.dumps(about))
    (folder / "segments" / name).write_bytes(data)
    (folder / "head.json").write_text(json.dumps(head))


def written(*puts: tuple[str, str, str]) -> Ops:
    """Of (format, file, body)."""
    ops: Ops = []
    for seq, (format_, file, body) in enumerate(puts, start=1):
        put = {"format": format_, "file": file, "body": body, "key": ""}
        key, digest = key_and_digest(put)
        op = {"op": "put", "seq": seq, "hlc": f"{seq:016x}", "space": "notes", "position": 0, "unknown": "accepted"}
        ops.append(op | put | {"key": key, "digest": digest})
    return ops


WRITTEN = written(
    ("jsonl", "log.jsonl", '{"id": "one", "text": "plums"}'),
    ("document", "plan.md", "We sail.\n"),
    ("entries", "facts.json", '{"id":"fact","n":[1e5,1.50],"last_accessed":"now"}'),
)


def test_a_log_written_by_the_page_alone_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "vault", "c" * 32, WRITTEN)
    ant = Typed(tmp_path, "ant", capsys)
    ant.run("pull")
    assert ant.read("log@owl.jsonl") == '{"id": "one", "text": "plums"}\n'
    assert ant.read("plan.md") == "We sail.\n"
    assert json.loads(ant.read("facts.json"))[0]["id"] == "fact"
    ant.run("verify")
    ant.run("restore", "--machine", "owl", "--to", str(tmp_path / "restored"))
    assert {path.name for path in (tmp_path / "restored" / "notes").iterdir()} == {"log.jsonl", "plan.md", "facts.json"}


@pytest.mark.parametrize(
    "last",
    [
        {"op": "unknown"},
        {"op": "file", "file": "plan.md", "keep": "all"},
        {"op": "place", "file": "plan.md", "put": 1},
    ],
    ids=lambda op: op["op"],
)
def test_an_operation_that_is_not_described_makes_a_log_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: dict[str, Any]
) -> None:
    write_log(tmp_path / "vault", "c" * 32, [*WRITTEN, {"seq": 9, "hlc": f"{9:016x}", "space": "notes"} | last])
    ant = Typed(tmp_path, "ant", capsys)
    ant.run("pull", exit_code=4)
    ant.run("restore", "--machine", "owl", "--to", str(tmp_path / "restored"), exit_code=4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hlc": "8" + "0" * 15},
        {"hlc": "0" * 15 + "A"},
        {"digest": "0" * 64},
        {"file": "a/../plan.md"},
        {"key": "other"},
    ],
    ids=["too late", "upper case", "another digest", "a way out", "another key"],
)
def test_a_put_that_cannot_be_what_it_claims_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    ops = [op | wrong if op["format"] == "document" else op for op in WRITTEN]
    write_log(tmp_path / "vault", "c" * 32, ops)
    ant = Typed(tmp_path, "ant", capsys)
    ant.run("pull", exit_code=4)
    assert not (ant.tree / "plan.md").exists()
    assert ant.read("log@owl.jsonl")
