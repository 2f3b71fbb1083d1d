"""The oracle has teeth: each leak that is made by hand is found, in whichever place and disguise, and nothing else."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import hashlib
import html
import io
import json
import lzma
import quopri
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pyrage
import pytest
import zstandard

from tests.canary.search import Place, file, folder, said, search
from tests.canary.traces import Traces
from tests.faults.lines import Book

ROOT = Path(__file__).resolve().parents[2]
(PRIVATE,) = Book(1).next(1, private=True)
CANARY = json.loads(PRIVATE)["text"].split()[-1]
TEXT = json.loads(PRIVATE)["text"]
CANONICAL = json.dumps(json.loads(PRIVATE), sort_keys=True, separators=(",", ":"))
TRACES = Traces([PRIVATE])
IDENTITY = pyrage.x25519.Identity.generate()
PUBLIC = "\n".join(Book(2).next(200, private=False)).encode()


def zipped(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", data)
    return made.getvalue()


def digest(name: str, text: str) -> bytes:
    return hashlib.new(name, text.encode(), usedforsecurity=False).digest()


def escaped(text: str) -> bytes:
    return "".join(f"\\u{ord(one):04x}" for one in text).encode()


def sealed(data: bytes) -> bytes:
    return bytes(pyrage.encrypt(data, [IDENTITY.to_public()]))


LINE = PRIVATE.encode()
DISGUISES: dict[str, bytes] = {
    "as it is": LINE,
    "its canary alone": CANARY.encode(),
    "in capitals": CANARY.upper().encode(),
    "a JSON string of it": json.dumps(PRIVATE).encode(),
    "gzip": gzip.compress(LINE),
    "zlib": zlib.compress(LINE, 9),
    "zstd": zstandard.compress(LINE),
    "two zstd frames": zstandard.compress(PUBLIC) + zstandard.compress(LINE),
    "bz2": bz2.compress(LINE),
    "xz": lzma.compress(LINE),
    "zip": zipped(LINE),
    "age": sealed(LINE),
    "age in zstd": sealed(zstandard.compress(LINE)),
    "base64": base64.b64encode(LINE),
    "base64 for URLs": base64.urlsafe_b64encode(LINE),
    "base64 in lines": base64.encodebytes(LINE),
    "base64 behind other letters": b"x" * 41 + base64.b64encode(LINE),
    "base32": base64.b32encode(LINE),
    "hex": LINE.hex().encode(),
    "hex with colons": LINE.hex(":").encode(),
    "percent signs": "".join(f"%{one:02X}" for one in LINE).encode(),
    "a URL": quote(PRIVATE).encode(),
    "unicode escapes": escaped(PRIVATE),
    "unicode escapes twice": escaped(PRIVATE).replace(b"\\", b"\\\\"),
    "HTML": "".join(f"&#{ord(one)};" for one in CANARY).encode(),
    "HTML entities": html.escape(PRIVATE).encode(),
    "mail": quopri.encodestring(b"=" + LINE),
    "UTF-16": PRIVATE.encode("utf-16"),
    "UTF-32": PRIVATE.encode("utf-32-be"),
    "digits in groups": " ".join(CANARY[-32:][at : at + 8] for at in range(0, 32, 8)).encode(),
    "digits over two lines": f"{CANARY[:-16]}\n  {CANARY[-16:]}".encode(),
    "gzip in base64 in JSON": json.dumps({"x": base64.b64encode(gzip.compress(LINE)).decode()}).encode(),
    "base64 in hex in zstd": zstandard.compress(base64.b64encode(LINE).hex().encode()),
    "a digest in base64 in gzip": gzip.compress(base64.b64encode(digest("sha256", PRIVATE))),
    **{f"{name} of the line": digest(name, PRIVATE).hex().encode() for name in ("md5", "sha1", "sha256", "sha512")},
    "blake2b in base64": base64.b64encode(digest("blake2b", PRIVATE)),
    "sha1 in base64 for URLs": base64.urlsafe_b64encode(digest("sha1", PRIVATE)),
    "sha256 of the line with its newline": digest("sha256", f"{PRIVATE}\n").hex().encode(),
    "sha256 of the canonical line": digest("sha256", CANONICAL).hex().upper().encode(),
    "sha256 of a value": digest("sha256", TEXT).hex().encode(),
    "sha256 of its id": digest("sha256", json.loads(PRIVATE)["id"]).hex().encode(),
    "sha256 as bytes": b"\0" + digest("sha256", PRIVATE) + b"\0",
    "blake2b, 64 bits, the other way round": digest("blake2b", PRIVATE)[:8][::-1],
    "half of a sha256": digest("sha256", PRIVATE).hex()[:32].encode(),
}  # fmt: skip


def found(place: Place) -> list[str]:
    return [str(leak) for leak in search(TRACES, [place], [str(IDENTITY)])]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_each_disguise_is_seen_through(disguise: str) -> None:
    assert found(said("wire", DISGUISES[disguise]))
    around = b"" if disguise.startswith(("age", "zip")) else b" "
    hidden = around + DISGUISES[disguise] + around + (b"" if disguise.startswith(("age", "zip")) else PUBLIC)
    assert found(said("wire", hidden))


def in_a_name(base: Path) -> None:
    (base / CANARY).touch()


def in_a_folder(base: Path) -> None:
    (base / CANARY / "x").mkdir(parents=True)


def in_a_link(base: Path) -> None:
    (base / "link").symlink_to(f"/nowhere/{CANARY}")


def in_a_log(base: Path) -> None:
    (base / "agent.log").write_text(f"ts=1 level=debug msg={json.dumps(PRIVATE)}\n")


def in_a_traceback(base: Path) -> None:
    (base / "crash.txt").write_text(f"Traceback (most recent call last):\nValueError: {PRIVATE!r}\n")


def in_a_progress_line(base: Path) -> None:
    (base / "terminal").write_text(f"\r\x1b[2Kmemferry push · reading {CANARY} 1 of 2")


def in_a_left_temp_file(base: Path) -> None:
    (base / ".x.tmp").write_bytes(zstandard.compress(LINE))


def in_a_database(base: Path) -> None:
    """A long cell lies in several pages, with numbers between them."""
    with contextlib.closing(sqlite3.connect(base / "state.db")) as database, database:
        database.execute("pragma page_size = 512")
        database.execute("create table journal(frame)")
        long = zstandard.compress(b"".join(hashlib.sha256(bytes([n])).digest() for n in range(200)) + LINE)
        database.execute("insert into journal values(?)", (long,))


def as_a_number_in_a_database(base: Path) -> None:
    with contextlib.closing(sqlite3.connect(base / "index.db")) as database, database:
        database.execute("create table seen(id integer)")
        number = int.from_bytes(digest("sha256", PRIVATE)[:8], "big", signed=True)
        database.execute("insert into seen values(?)", (number,))


def in_what_a_database_has_deleted(base: Path) -> None:
    with contextlib.closing(sqlite3.connect(base / "state.db")) as database, database:
        database.execute("pragma secure_delete = off")
        database.execute("create table problem(text)")
        database.execute("insert into problem values(?)", (PRIVATE,))
        database.commit()
        database.execute("delete from problem")


PLACES: list[Callable[[Path], None]] = [
    in_a_name, in_a_folder, in_a_link, in_a_log, in_a_traceback, in_a_progress_line, in_a_left_temp_file,
    in_a_database, as_a_number_in_a_database, in_what_a_database_has_deleted,
]  # fmt: skip


@pytest.mark.parametrize("leak", PLACES, ids=lambda leak: leak.__name__)
def test_each_place_is_searched(tmp_path: Path, leak: Callable[[Path], None]) -> None:
    assert not found(folder(tmp_path))
    leak(tmp_path)
    assert found(folder(tmp_path))


def test_a_clean_corpus_is_clean(tmp_path: Path) -> None:
    """Public entries beside all the ways in which a private one could be written."""
    other = "\n".join(Book(3).next(500, private=False)).encode()
    wraps: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstandard.compress, base64.b64encode, sealed, zipped]
    for number, wrap in enumerate(wraps):
        (tmp_path / f"{number}.bin").write_bytes(wrap(PUBLIC) + b"\n" + wrap(other))
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.execute("create table seen(id integer, digest blob)")
        rows = [(number, hashlib.sha256(bytes([number % 256])).digest()) for number in range(5000)]
        database.executemany("insert into seen values(?, ?)", rows)
    assert not found(folder(tmp_path))


def test_what_is_not_for_these_keys_stays_closed() -> None:
    assert not search(TRACES, [said("wire", sealed(LINE))], [str(pyrage.x25519.Identity.generate())])


def test_a_leak_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(base64.b64encode(LINE)))
    assert f"canary in {tmp_path.name}/x.gz > gzip > base64" in found(folder(tmp_path))


def test_the_command_searches_any_folder(tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text(f"{PRIVATE}\n")
    place = tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-m", "tests.canary", str(place), "--private", str(tmp_path / "private.txt")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    (place / "x").write_bytes(gzip.compress(LINE))
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "canary in place/x > gzip" in done.stdout


def test_a_file_alone_is_a_place(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(LINE)
    assert found(file(tmp_path / "x"))
