"""memferry with a broken ear: `python -m tests.faults.launch FAULT ...arguments of memferry...`.

deaf: no event ever arrives, and nobody says so. lying: every second event is swallowed. dying: the thread that reads
events dies at its first one. crashing: whoever stores a batch raises an error that holds all of it.
sound: nothing but what `tests.faults.mutants` is asked for.
doubting: whoever judges a record of which nobody knows what to think raises one that holds it.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from memferry.agent.files import watch
from memferry.cli.main import main
from tests.faults.mutants import sow_what_is_asked_for


def deafen() -> None:
    def tell(self: watch.Watcher, paths: frozenset[Path]) -> None:
        """Nothing."""

    watch.Watcher._tell = tell  # type: ignore[method-assign]


def make_lie() -> None:
    honest, number = watch.Watcher._tell, count()

    def tell(self: watch.Watcher, paths: frozenset[Path]) -> None:
        if next(number) % 2:
            honest(self, paths)

    watch.Watcher._tell = tell  # type: ignore[method-assign]


def make_die() -> None:
    """Its thread ends as one does that met an error: without a word to anybody."""
    from memferry.agent.files import observe

    def dispatch(self: observe.Listener, event: object) -> None:
        raise SystemExit

    observe.Listener.dispatch = dispatch  # type: ignore[method-assign]


def make_crash() -> None:
    """The worst error that there could be: its text is what nobody may read."""
    from memferry.agent.intake.storing import Storing

    def store(self: Storing, this: object, records: object, cursor: object = None) -> None:
        raise RuntimeError(repr(records))

    Storing.store = store  # type: ignore[method-assign]


def make_doubt() -> None:
    """The record is the one with the canary of `tests.policies.doubtful`."""
    from memferry.model import Record
    from memferry.policies import chain
    from memferry.policies.contents import Contents, contents_of
    from tests.policies.doubtful import CANARY

    honest = contents_of

    def doubt(record: Record) -> Contents:
        if CANARY.encode() in record.body:
            raise ValueError(repr(record.body))
        return honest(record)

    chain.__dict__["contents_of"] = doubt


FAULTS = {
    "sound": lambda: None,
    "deaf": deafen,
    "lying": make_lie,
    "dying": make_die,
    "crashing": make_crash,
    "doubting": make_doubt,
}

if __name__ == "__main__":
    sow_what_is_asked_for()
    FAULTS[sys.argv.pop(1)]()
    sys.exit(main())
