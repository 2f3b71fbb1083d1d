"""The backend of type `qdrant`: a vector index of what this machine carries. Never the only copy: it is made again from
the journal, and nothing is read back from it but what it takes to keep it right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from memferry.backends.base import Capacity, Finding, HeadSeen, Known, Probe, Receipt, Refill, Repaired
from memferry.backends.encryption.keys import Keys
from memferry.backends.qdrant.audit import Audit, operations
from memferry.backends.qdrant.engine import Engine, Stored
from memferry.backends.qdrant.points import Drawing, metadata_of
from memferry.backends.qdrant.settings import Settings, settings_from
from memferry.backends.qdrant.writing import Writer, text_in
from memferry.errors import BackendError, ConfigError, TransientError
from memferry.model import Identity, Put, Retract, Sealed

INSTALL = 'pip install "memferry[qdrant]"'


class _Tools(NamedTuple):
    """What is made of what the agent told."""

    known: Known
    drawing: Drawing
    writer: Writer


class Index:
    """A `Backend`, `Informed`, `Tended`, `Verifiable` and `Probed`. One thread at a time.

    `open_engine`: is called when something is to be done, for what it needs takes long to load. Of this machine's
    operations it holds the newest version of each record; of retractions, whosesoever, the effect.
    """

    def __init__(self, open_engine: Callable[[], Engine], settings: Settings, me: Identity, *, name: str) -> None:
        self.name = name
        self._open_engine = open_engine
        self._settings = settings
        self._me = me
        self._opened: Engine | None = None
        self._tools: _Tools | None = None
        self._closed = False
        self._met = False
        self._untended = True

    # -- Informed

    def inform(self, known: Known) -> None:
        """See `Informed`."""
        self._tools = self._tools and self._tools._replace(known=known)
        if self._tools is None:
            drawing = Drawing(self._me, known.prose, texts=self._settings.payload == "text")
            self._tools = _Tools(known, drawing, self._writer(drawing, known))

    def _writer(self, drawing: Drawing, known: Known) -> Writer:
        return Writer(self._engine, drawing, self._me, known.embedder, self._collection_of, name=self.name)

    # -- Backend

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """See `Backend`. TargetRefused if the collection holds vectors of another size."""
        tools, engine = self._ready(), self._engine()
        self._untended = True
        try:
            self._meet(tools.known)
            refused = self._take(tools.writer, batch)
            engine.flush()
        except BackendError:
            tools.writer.forget()
            self._met = False
            raise
        return Receipt(batch[-1].last if batch else 0, refused)

    def _take(self, writer: Writer, batch: Sequence[Sealed]) -> Mapping[int, str]:
        withdrawn = frozenset(seq for sealed in batch for seq in sealed.retracts)
        retracts: list[Retract] = []

        def puts() -> Iterator[Put]:
            for op in chain.from_iterable(map(operations, batch)):
                if isinstance(op, Put) and op.seq not in withdrawn:
                    yield op
                elif isinstance(op, Retract):
                    retracts.append(op)

        refused = writer.store(puts())
        writer.withdraw(retracts)
        return refused

    def capacity(self) -> Capacity:
        """See `Backend`."""
        engine = self._engine()
        return engine.capacity(self._own_collections(engine))

    def close(self) -> None:
        """See `Backend`."""
        self._closed = True
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    # -- Tended

    def tend(self) -> bool:
        """See `Tended`: what was withdrawn goes from the engine's files, too; vectors of a model that was changed, and
        smaller ones where there are many points."""
        if not self._untended:
            return False
        tools, engine = self._ready(), self._engine()
        self._meet(tools.known)
        waiting = False
        for collection in self._own_collections(engine):
            waiting |= engine.purge(collection)
            self._quantize(engine, collection)
            if tools.writer.revector(collection, self._text_of(tools)):
                engine.flush()
                return True
        self._untended = waiting
        return False

    def _quantize(self, engine: Engine, collection: str) -> None:
        found, above = engine.look(collection), self._settings.quantize_above
        if found is not None and found.quantized is False and 0 < above < found.points:
            engine.quantize(collection)

    def _text_of(self, tools: _Tools) -> Callable[[Stored], str]:
        def text_of(stored: Stored) -> str:
            text = text_in(stored)
            return text if text is not None else self._text_in_journal(tools, stored)

        return text_of

    def _text_in_journal(self, tools: _Tools, stored: Stored) -> str:
        """Empty where the journal has it no more: then it is about to be withdrawn."""
        seq = metadata_of(stored.payload).get("seq")
        rows = tools.known.journal.sealed(seq, seq) if isinstance(seq, int) else ()
        for op in chain.from_iterable(map(operations, rows)):
            if isinstance(op, Put) and op.seq == seq:
                return next((one.text for one in tools.drawing.points(op) if one.id == stored.id), "")
        return ""

    # -- Verifiable

    def verify(self, seen: Mapping[str, HeadSeen]) -> Sequence[Finding]:
        """See `Verifiable`: against this machine's journal; there are no heads."""
        tools, engine = self._ready(), self._engine()
        return self._audit(tools, tools.known.journal).findings(
            self._own_collections(engine), tools.writer.vector().name
        )

    def repair(self, findings: Sequence[Finding], refill: Refill) -> Sequence[Repaired]:
        """See `Verifiable`."""
        tools, engine = self._ready(), self._engine()
        tools.writer.forget()
        done = self._audit(tools, refill).repair(findings, tools.writer)
        for collection in self._own_collections(engine):
            while tools.writer.revector(collection, self._text_of(tools)):
                engine.flush()
        engine.flush()
        return done

    def _audit(self, tools: _Tools, journal: Refill) -> Audit:
        known = tools.known
        return Audit(
            self._engine(), tools.drawing, self._me, journal, self._collection_of,
            through=known.through, refused=known.refused,
        )  # fmt: skip

    # -- Probed

    def probe(self) -> Iterator[Probe]:
        """See `Probed`."""
        yield from self._engine().probe()

    # -- collections

    def _collection_of(self, space: str) -> str:
        return f"{self._settings.collection}-{space}" if self._settings.per_space else self._settings.collection

    def _own_collections(self, engine: Engine) -> Sequence[str]:
        """Those that are there. Of collections per space, also those of spaces that are configured no more."""
        name, prefix = self._settings.collection, f"{self._settings.collection}-"
        there = engine.collections()
        return [one for one in there if (one.startswith(prefix) if self._settings.per_space else one == name)]

    def _meet(self, known: Known) -> None:
        """Once for each connection: what was there may be lost, and would be missed by nobody."""
        if self._met:
            return
        if known.through and not self._own_collections(self._engine()):
            raise TransientError(
                f"{self.name} has no collection {self._settings.collection}, though this machine has delivered to it",
                backend=self.name, hint="if it is lost, `memferry verify --repair` fills it again from the journal",
            )  # fmt: skip
        self._met = True

    def _ready(self) -> _Tools:
        self._refuse_closed()
        if self._tools is None:
            raise ValueError(f"backend {self.name} was told nothing: call `inform` first")
        return self._tools

    def _engine(self) -> Engine:
        self._refuse_closed()
        if self._opened is None:
            self._opened = self._open_engine()
        return self._opened

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError(f"backend {self.name} is closed")


def open_backend(name: str, settings: Mapping[str, object], me: Identity, keys: Keys) -> Index:
    """The backend of type `qdrant`. Settings: see `qdrant_settings.Settings`. ConfigError if they say something else,
    or what they need is not installed."""
    read = settings_from(name, settings)
    package = "qdrant_client" if read.url else "qdrant_edge"
    if find_spec(package) is None or find_spec("numpy") is None:
        raise ConfigError(f"backend {name}: {package} is not installed", hint=INSTALL)

    def open_engine() -> Engine:
        if read.path is not None:
            from memferry.backends.qdrant.embedded import Embedded

            return Embedded(Path(read.path).expanduser(), name=name)
        from memferry.backends.qdrant.server import Server

        return Server(read, name=name)

    return Index(open_engine, read, me, name=name)
