"""Files that are rewritten in place: read as a whole when nobody is writing them, documents many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memferry.agent.files import opening
from memferry.agent.files.scan import Stat
from memferry.agent.intake.ending import Ended, Ending
from memferry.agent.intake.storing import Storing
from memferry.agent.intake.work import Pass, Work
from memferry.agent.state.known import KnownFile
from memferry.errors import MemferryError
from memferry.formats.base import Kind, Snapshot, Whole
from memferry.keys import digest
from memferry.model import Record, Source
from memferry.policies.damaged import private_part

LIMIT_BYTES = 64 << 20


class _Taken(NamedTuple):
    """The bytes of a file at one moment."""

    path: str
    kind: Kind
    content: bytes
    stat: Stat


class Wholes:
    """Call from the thread that owns the state."""

    def __init__(self, work: Work, storing: Storing, ending: Ending) -> None:
        self._work = work
        self._state = work.state
        self._files = work.catalog.files
        self._space = work.tree.name
        self._outcome = work.outcome
        self._storing = storing
        self._ending = ending

    def read(self, files: Iterable[tuple[str, Kind]]) -> None:
        """Bring one array up to date, or any number of documents: these are judged and stored together. One that cannot
        be read does not stop the others."""
        taken = [one for path, kind in files if (one := self._taken(path, kind)) is not None]
        with self._state.transaction():
            known = self._files.meet_all(self._space, {one.path: one.kind.format for one in taken})
            read = [new for one in taken if (new := self._parsed(one, known[one.path])) is not None]
            self._storing.store_whole([(ended.this, snapshot) for ended, snapshot in read])
            self._ending.finish([ended for ended, _ in read])

    def _taken(self, path: str, kind: Kind) -> _Taken | None:
        try:
            read = opening.read_stable(
                self._work.tree.root, path, LIMIT_BYTES, quiet_s=self._work.reading.settle_s, now=self._state.clock
            )
        except MemferryError as error:
            self._work.fail(path, error)
            return None
        if read is None:
            self._outcome.unsettled.append(f"{self._space}/{path}")
            return None
        return _Taken(path, kind, *read)

    def _parsed(self, taken: _Taken, known: KnownFile) -> tuple[Ended, Snapshot] | None:
        """What is new in a file; None: nothing, or nothing that could be taken."""
        path, kind, content, stat = taken
        assert isinstance(kind.reader, Whole)
        mark = self._work.fingerprint(content)
        if known.content == mark and not known.gone and not self._work.reading.force:
            self._files.save(known._replace(format=kind.format, stat=stat))
            self._state.clear_problem("file", f"{self._space}/{path}")  # it may have been something else in between
            return None
        if known.cleared and not content.strip() and not self._was_blank(known):
            self._refuse_blank(known, taken)
            return None
        snapshot = kind.reader.parse(Source(self._space, path, kind.format, kind.derived), content)
        if snapshot is None:
            self._refuse_broken(known, taken)
            return None
        self._outcome.read_bytes += len(content)
        return Ended(Pass(known, kind), stat, content=mark, frame=snapshot.frame), snapshot

    def _was_blank(self, known: KnownFile) -> bool:
        """Whether a document was blank before, too."""
        id_ = self._work.fingerprint.key(self._space, known.path)
        seen = self._work.catalog.seen([id_]).get(id_)
        put = self._work.journal.put(seen.seq) if seen is not None and seen.seq > 0 else None
        return put is not None and not put.body.strip()

    def _refuse_blank(self, known: KnownFile, taken: _Taken) -> None:
        """A blank version never replaces a full one silently."""
        subject = f"{self._space}/{taken.path}"
        text = "is blank now; its last full version is kept in the backends"
        hint = f"write it again, `memferry restore` it, or `memferry forget {subject}`"
        self._refuse(known, taken, text, hint)

    def _refuse_broken(self, known: KnownFile, taken: _Taken) -> None:
        """Half-written or broken: the last good version stays, and the next change is looked at again."""
        this = Pass(known, taken.kind)
        self._storing.hold_beside(this, _remains(known, taken))
        hint = "repair the file; its last good version is kept" if known.cleared else "repair the file, or remove it"
        self._refuse(this.known, taken, "is not complete (it does not parse)", hint)

    def _refuse(self, known: KnownFile, taken: _Taken, text: str, hint: str) -> None:
        self._files.save(known._replace(format=taken.kind.format, stat=taken.stat))
        self._outcome.failed[f"{self._space}/{taken.path}"] = (text, hint)
        self._state.report_problem("file", f"{self._space}/{taken.path}", text, hint)


def _remains(known: KnownFile, taken: _Taken) -> Sequence[Record]:
    """What of a broken array may be private is recognised elsewhere until it is repaired."""
    part = private_part(taken.content)
    if not part:
        return ()
    source = Source(known.space, known.path, taken.kind.format, taken.kind.derived)
    return (Record(source, known.path, digest(part), part, 0, problem="is not complete (it does not parse)"),)
