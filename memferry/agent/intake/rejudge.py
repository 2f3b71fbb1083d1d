"""Judging anew what was stored, when the rules or the scanner have changed: what may leave no more is taken back.

Every version that the journal holds is judged, also of files that are gone. Then all files are read again, so that what
was held and may leave now is stored, and what is to be redacted is stored without that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from memferry.agent.intake.holding import Holding
from memferry.agent.intake.work import Work
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State
from memferry.agent.state.journal import unseal
from memferry.agent.state.known import HELD, WITHDRAWN
from memferry.filelock import sync_file
from memferry.model import Put, Sealed
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge

ASIDE = "taken-back.jsonl"
"""In the state directory: what was taken back although its file is gone, so that nothing is lost by it."""


def is_judged(state: State, space: str, version: str) -> bool:
    """Whether all that is stored of a space was judged by the rules of this version."""
    return state.meta(f"judged {space}") == version


def rejudge(work: Work, version: str, *, dry_run: bool = False) -> bool:
    """Bring one space under the rules of this version. False: it is. What left redacted is made anew from its file, if
    there is one. `dry_run`: inside a rehearsal of the state."""
    state, tree, holding = work.state, work.tree, Holding(work)
    name = f"judged {tree.name}"
    before = state.meta(name)
    if before == version:
        return False
    catalog = Catalog(state)
    counted = work.outcome.held.copy()
    for sealed in _rows(work):
        stored = [op for op in unseal(sealed) if isinstance(op, Put) and op.space == tree.name]
        puts = _withdrawable(work, catalog, stored)
        verdicts = judge([holding.stored(put) for put in puts], catalog, work.fingerprint, desk=work.desk)
        changed = [
            (put, verdict)
            for put, verdict in zip(puts, verdicts, strict=True)
            if _may_not_leave(put, verdict) or (before is not None and put.redacted and not _is_gone(put, catalog))
        ]
        if changed:
            with state.transaction():
                if not dry_run:
                    _keep_aside(state, catalog, [put for put, _ in changed])
                holding.hold_stored([(holding.id_of(put), one) for put, one in changed if isinstance(one, Held)])
                cut = [holding.id_of(put) for put, one in changed if not isinstance(one, Held)]
                work.withdrawal.withdraw_own(tree.name, cut, WITHDRAWN)
    work.outcome.held = counted  # what is read again is counted then
    with state.transaction():
        catalog.files.reconsider_all(tree.name)
        state.set_meta(name, version)
    return True


def _rows(work: Work) -> Iterable[Sealed]:
    """Of the journal; none for a space of which nothing is stored, as for each of many new ones."""
    is_stored = work.state.one("select 1 from file where space = ? and cleared limit 1", work.tree.name)
    return work.journal.sealed(1, work.journal.last_seq) if is_stored else ()


def _withdrawable(work: Work, catalog: Catalog, puts: Sequence[Put]) -> Sequence[Put]:
    """Without those whose records count as held already, as earlier versions of memferry left some: nobody would
    withdraw them any more, so that is done here."""
    ids = {put.seq: work.fingerprint.key(put.space, put.key) for put in puts}
    seen = catalog.seen(set(ids.values()))
    left = {seq: id_ for seq, id_ in ids.items() if id_ in seen and seen[id_].seq == HELD}
    if left:
        with work.state.transaction():
            work.withdrawal.withdraw_versions(work.tree.name, left)
            work.outcome.take_back(left)
    return [put for put in puts if put.seq not in left]


def _may_not_leave(put: Put, verdict: Kept | Held) -> bool:
    """Not at all, or not as it is."""
    return isinstance(verdict, Held) or verdict.record.body.decode() != put.body


def _is_gone(put: Put, catalog: Catalog) -> bool:
    known = catalog.files.find(put.space, put.file)
    return known is None or known.gone


def _keep_aside(state: State, catalog: Catalog, puts: Sequence[Put]) -> None:
    """An agent deletes its own transcripts: of these the backends may have had the only copy."""
    gone = [
        {"space": put.space, "file": put.file, "key": put.key, "ts": put.ts, "body": put.body}
        for put in puts
        if _is_gone(put, catalog)
    ]
    if not gone:
        return
    path = Path(state.path.parent, ASIDE)
    path.touch(0o600)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in gone)
        file.flush()
        sync_file(file.fileno())
