"""B17: the destination is away for long, and what arrives meanwhile waits in the journal."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

from tests.faults.bar import Result, Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said, until

NO_SCAN = "scan_interval_s: 3600\n  settle_ms: 200"
"""Nothing but its own clock makes it try again."""
LEDGERS = 10
AT_ONCE = 1000
MOST_RSS_MB = 200
LONGEST_REST_S = 300.0
"""The cap of the backoff: after so long it must have tried again."""


@bar("B17", "the remote is away while records arrive, some sources are deleted, and it comes back")
def long_outage(trial: Trial) -> None:
    machine, book = Machine(trial.folder("b17"), agent=NO_SCAN, vault="disk/vault"), Book(trial.seed)
    disk, unplugged = machine.base / "disk", machine.base / "unplugged"
    with machine.running() as process:
        _append(machine.space, book, AT_ONCE)
        trial.result.expect(machine.await_content(set(book.public), "the first records"), "nothing was delivered")
        before, delivered = _peak_mb(process.pid), len(book.public)
        disk.rename(unplugged)
        _append(machine.space, book, trial.pick(30_000, 1_000_000))
        queued = len(book.public) - delivered
        until(lambda: machine.backend()["waiting"] >= queued, "everything to be queued", trial.pick(60, 900))
        _delete_one(trial.result, machine)
        _check_status(trial.result, machine)
        trial.result.notes.append(_size_of_queue(machine.state))
        unplugged.rename(disk)
        until(lambda: not machine.backend()["waiting"], "the queue to drain", LONGEST_REST_S + trial.pick(60, 900))
        after = _peak_mb(process.pid)
        _check_recovered(trial.result, machine)
    trial.result.n = len(book.public)
    trial.result.notes.append(f"peak memory {before} MB before the outage, {after} MB after it")
    trial.result.expect(after <= MOST_RSS_MB, f"it took {after} MB")
    machine.judge(trial.result, book.public, book, "after the outage")


def _append(space: Path, book: Book, count: int) -> None:
    """A few ledgers grow in turns, as when several agents work."""
    for turn in range(count // AT_ONCE):
        with open(space / f"ledger-{turn % LEDGERS}.jsonl", "ab") as ledger:
            ledger.write(joined(book.next(AT_ONCE)))


def _delete_one(result: Result, machine: Machine) -> None:
    """A source goes while what it held is queued; and somebody asks for a push, which can only say what is wrong."""
    (machine.space / "ledger-0.jsonl").unlink()
    answer = machine.push()
    result.expect(answer.code == 1 and "is not there" in answer.out, f"a push while it was away: {said(answer)}")
    gone = machine.status()["spaces"][0]["gone"]
    result.expect(gone == 1, f"{gone} files are known to be gone instead of 1")


def _check_status(result: Result, machine: Machine) -> None:
    backend, now = machine.backend(), time.time()
    result.expect("is not there" in (backend["error"] or ""), f"status gives as its error: {backend['error']}")
    result.expect(backend["failing_since"] and backend["failing_since"] < now, "status does not say since when")
    ahead = (backend["next_attempt_at"] or now - LONGEST_REST_S) - now
    result.expect(-LONGEST_REST_S < ahead <= LONGEST_REST_S, f"the next attempt is {ahead:.0f} s ahead")
    result.notes.append(f"away: {backend['failures']} attempts, the next {ahead:.0f} s ahead")


def _check_recovered(result: Result, machine: Machine) -> None:
    backend = machine.backend()
    told = {name: backend[name] for name in ("failures", "error", "failing_since", "next_attempt_at")}
    result.expect(not any(told.values()), f"after the outage status still says {json.dumps(told)}")


def _size_of_queue(state: Path) -> str:
    database = sqlite3.connect(f"file:{state / 'state.db'}?mode=ro", uri=True)
    try:
        records, rows, size = database.execute(
            "select total(count), count(*), total(length(frame)) from journal"
        ).fetchone()
    finally:
        database.close()
    return f"the journal holds {records:,.0f} records in {rows:,} rows, {size / records:.0f} bytes each"


def _peak_mb(pid: int) -> int:
    """The most memory that this process ever held, resident."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) // 1000
