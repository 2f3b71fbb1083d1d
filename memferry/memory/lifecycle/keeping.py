"""hygiene: long ledgers in parts, old ones compressed, the lists of `index/` made anew."""

from __future__ import annotations

import gzip
import os
from argparse import Namespace
from collections.abc import Iterator
from itertools import count
from typing import Any

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.catalogue import reindexed
from memferry.memory.lifecycle.ledgers import sync_folder
from memferry.memory.lifecycle.records import Fields
from memferry.memory.lifecycle.turn import Turn

ROTATED = ("streams/", "bus/", "views/", "governance/health/", "governance/actions/")
"""Ledgers that are read as a whole folder. Those that are read by their name stay as they are: other tools look for
open conflicts and leases there only."""

DATED = ("streams/", "bus/", "views/")


def hygiene(turn: Turn, asked: Namespace) -> Fields:
    """Plan what was asked for; nothing in particular: the lists."""
    turn.refuse_damage("")
    answer: Fields = {"rotated": [], "archived": [], "index": {}}
    if asked.rotate:
        answer["rotated"] = [_rotate(turn, file, asked.max_lines) for file in _long(turn, asked.max_lines)]
    if asked.archive_before:
        rotated = {one["source"] for one in answer["rotated"]}
        old = [file for file in _old(turn, asked.archive_before) if turn.path(file) not in rotated]
        answer["archived"] = [_archive(turn, file, prune=asked.prune) for file in old]
    if asked.reindex or not (asked.rotate or asked.archive_before):
        if turn.keeps:
            turn.afterwards.append(lambda: answer.update(index=reindexed(turn)))
        else:
            answer["index"] = reindexed(turn, write=False)
    return answer


# -- rotation


def _long(turn: Turn, max_lines: int) -> list[str]:
    rows = turn.index.rows("select path from files where lines > ? order by path", max_lines)
    return [file for (file,) in rows if file.startswith(ROTATED) and _is_whole(file)]


def _is_whole(file: str) -> bool:
    """Neither a part nor another machine's."""
    found = tree.place(file)
    return found is not None and not found.is_part and not found.origin


def _rotate(turn: Turn, file: str, max_lines: int) -> Fields:
    """`X.jsonl` becomes `X-p01.jsonl` and so on, behind the parts that are there. A crash in between leaves parts that
    say the same as `X.jsonl`; they are written again."""
    with open(_at(turn, file), "rb") as opened:
        lines = opened.read().splitlines(keepends=True)
    chunks = [b"".join(lines[at : at + max_lines]) for at in range(0, len(lines), max_lines)]
    names = list(_part_names(turn, file, chunks))

    def rotate() -> None:
        for name, chunk in zip(names, chunks, strict=True):
            turn.write_bytes(name, chunk)
        os.unlink(_at(turn, file))
        sync_folder(os.path.dirname(_at(turn, file)))

    turn.afterwards.append(rotate)
    return {"source": turn.path(file), "parts": [turn.path(name) for name in names]}


def _part_names(turn: Turn, file: str, chunks: list[bytes]) -> Iterator[str]:
    stem = file.removesuffix(".jsonl")
    numbers = count(1)
    for chunk in chunks:
        yield next(name for number in numbers if _is_free(turn, name := f"{stem}-p{number:02d}.jsonl", chunk))


def _is_free(turn: Turn, name: str, chunk: bytes) -> bool:
    try:
        with open(_at(turn, name), "rb") as opened:
            return opened.read() == chunk
    except FileNotFoundError:
        return True


# -- archive


def _old(turn: Turn, before: str) -> list[str]:
    rows = turn.index.rows("select path from files order by path")
    return [file for (file,) in rows if file.startswith(DATED) and _is_own(file) and _month(file) < before]


def _is_own(file: str) -> bool:
    found = tree.place(file)
    return found is not None and not found.origin


def _month(file: str) -> str:
    return file.rpartition("/")[2][:7]


def _archive(turn: Turn, file: str, *, prune: bool) -> Fields:
    """A copy in `archive/`. The ledger itself goes with `prune`, unless something in it is still needed."""
    target = f"archive/{file}.gz"
    needed = _why_needed(turn, file) if prune else ""
    pruned = prune and not needed

    def archive() -> None:
        with open(_at(turn, file), "rb") as opened:
            turn.write_bytes(target, gzip.compress(_with_what_is_there(_at(turn, target), opened.read()), mtime=0))
        if pruned:
            os.unlink(_at(turn, file))
            sync_folder(os.path.dirname(_at(turn, file)))

    turn.afterwards.append(archive)
    answer: dict[str, Any] = {"source": turn.path(file), "target": turn.path(target), "pruned": pruned and turn.keeps}
    return answer | ({"kept_because": needed} if needed else {})


_WAITS = "select 1 from waiting where path = ?"
_BINDS = "select 1 from objects where path = ? and active and type = 'decision' and decision_key != ''"


def _why_needed(turn: Turn, file: str) -> str:
    """Why a ledger must stay, "" where it need not. Without a decision nobody would notice what contradicts it."""
    if turn.index.one(_WAITS, file) is not None:
        return "events in it wait to be worked on"
    return "it holds decisions that are active" if turn.index.one(_BINDS, file) is not None else ""


def _with_what_is_there(path: str, content: bytes) -> bytes:
    """An archive never loses a line: a ledger of the same name may have begun anew after the last time."""
    try:
        with gzip.open(path, "rb") as opened:
            before = opened.read()
    except FileNotFoundError:
        return content
    return content if content.startswith(before) else before if before.endswith(content) else before + content


def _at(turn: Turn, file: str) -> str:
    return os.path.join(turn.root, *file.split("/"))
