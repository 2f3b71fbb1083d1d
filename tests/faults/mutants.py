"""Bugs that would let something private out, or lose something, each as one changed function, and the bar that must
notice it.

`python -m tests.faults --teeth` tries them all. A bug is sown by its name in the environment, in this process and in
every one that a bar starts (`tests.faults.launch`).
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

VARIABLE = "TESTS_FAULTS_MUTANT"
STATE = "memferry.agent.state"


class Mutant(NamedTuple):
    """`place`: `module:name`, or `module:Class.name`, of what is changed; `make`: from the honest one to the other."""

    bar: str
    place: str
    make: Callable[[Any], Any]


def _never(answer: object) -> Callable[[Any], Any]:
    """A function that always answers the same."""
    return lambda honest: lambda *arguments, **named: answer


def _last_wins(honest: Any) -> Any:
    def decode_lines(chunk: bytes, lines: Any) -> list[object]:
        import json

        values: list[object] = []
        for line, value in zip(lines, honest(chunk, lines), strict=True):
            try:
                values.append(json.loads(line) if isinstance(value, ValueError) else value)
            except (ValueError, RecursionError):
                values.append(value)
        return values

    return decode_lines


def _top_only(honest: Any) -> Any:
    def contents_of(record: Any) -> Any:
        found = honest(record)
        top = [one for one in found.telling if one[0] is found.objects[0]]
        return type(found)(found.objects[:1], top, found.names, found.texts)

    return contents_of


def _log_the_body(honest: Any) -> Any:
    def store(self: Any, this: Any, records: Any, cursor: Any = None) -> None:
        logging.getLogger("memferry.agent").debug("judging %s", [record.body for record in records])
        honest(self, this, records, cursor)

    return store


def _name_the_file(honest: Any) -> Any:
    def read(self: Any, path: str, kind: Any, *, was: str | None = None) -> None:
        logging.getLogger("memferry.agent").info("reading %s", path)
        honest(self, path, kind, was=was)

    return read


def _unkeyed(honest: Any) -> Any:
    def fingerprint(self: Any, text: bytes) -> int:
        return int.from_bytes(text[:8], "big", signed=True) if len(text) == 32 else int(honest(self, text))

    return fingerprint


def _keep_the_text(honest: Any) -> Any:
    def hold(self: Any, met: Any, *rest: Any) -> None:
        honest(self, met, *rest)
        for _, one in met:
            self._state.report_problem("held", str(one.id), one.record.body.decode("utf-8", "replace"), "")

    return hold


def _open_on_error(honest: Any) -> Any:
    def alone(record: Any, fingerprint: Any, *rest: Any, **named: Any) -> Any:
        case = honest(record, fingerprint, *rest, **named)
        if case.verdict is not None and case.verdict.rule.endswith(".failed"):
            case.verdict = None
        return case

    return alone


def _blind_where_it_fails(honest: Any) -> Any:
    def text(marker: Any) -> str:
        from memferry.errors import SpaceMissing

        try:
            return str(honest(marker))
        except SpaceMissing:
            return ""

    return text


def _same_place_only(honest: Any) -> Any:
    """As it was before B30: what moved away is not looked for."""

    def read_again(agent: Any, tree: Any, files: Any, outcome: Any, *, elsewhere: bool) -> None:
        from memferry.agent.scope import Scope

        agent.ingest(tree, Scope(thorough=True), outcome, files)

    return read_again


def _repair_at_once(honest: Any) -> Any:
    return lambda agent, backend, findings: backend.repair(findings, agent.journal)


MUTANTS: Mapping[str, Mutant] = {
    "a file is not synced": Mutant("B3", "memferry.durable:os.fsync", _never(None)),
    "a folder is not synced": Mutant("B3", "memferry.durable:Folder.sync", _never(None)),
    "the last of two equal keys wins": Mutant("B31", "memferry.formats.ledger:decode_lines", _last_wins),
    "labels count at the top only": Mutant("B31", "memferry.policies.chain:contents_of", _top_only),
    "a misspelled label is none": Mutant("B31", "memferry.policies.shapes:looks_like", _never(False)),
    "<private> means nothing": Mutant("B31", "memferry.policies.labels:is_marked", _never(False)),
    "what a policy raised for is sent": Mutant("B31", "memferry.policies.chain:_alone", _open_on_error),
    "an ignore file that cannot be read is none": Mutant("B31", "memferry.policies.paths:_text", _blind_where_it_fails),
    "what repeats a held text is sent": Mutant("B29", "memferry.policies.overlap:repeats", _never(False)),
    "what names a held record is sent": Mutant("B29", "memferry.policies.lineage:names", _never(frozenset())),
    "the body is logged": Mutant("B29", "memferry.agent.intake.storing:Storing.store", _log_the_body),
    "the name of every file is logged": Mutant("B29", "memferry.agent.intake.ingest:Ingest.read", _name_the_file),
    "the state has digests without a key": Mutant("B29", "memferry.keys:Fingerprinter.__call__", _unkeyed),
    "the state keeps what is held": Mutant("B29", "memferry.agent.state.catalog:Catalog.hold", _keep_the_text),
    "a fault is shown with its text": Mutant("B29", "memferry.errors:place", lambda honest: repr),
    "nothing is looked at again": Mutant("B30", "memferry.agent.sending.dispatch:look_again", _never(False)),
    "what moved is not looked for": Mutant("B30", "memferry.agent.sending.late:_read_again", _same_place_only),
    "a repair does not look again": Mutant("B30", "memferry.agent.commands.verify:_repair", _repair_at_once),
    "the queue keeps what is withdrawn": Mutant("B30", "memferry.agent.state.journal:Journal.scrub", _never(None)),
    "a service does not retract": Mutant("B30-service", f"{STATE}.withdraw:Withdrawal._retract", _never(None)),
    "a service keeps what is withdrawn": Mutant("B30-service", f"{STATE}.journal:Journal.scrub", _never(None)),
    "what was sent is not retracted": Mutant("B30", "memferry.agent.state.withdraw:Withdrawal._retract", _never(None)),
}  # fmt: skip


def found(name: str) -> tuple[Any, str]:
    """Who has the function that is changed, and under which name. Raises AttributeError where nobody has it."""
    module, _, path = MUTANTS[name].place.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, last = path.split(".")
    for one in classes:
        owner = getattr(owner, one)
    getattr(owner, last)
    return owner, last


def sow(name: str) -> None:
    """From now on this process has the bug."""
    owner, last = found(name)
    setattr(owner, last, MUTANTS[name].make(getattr(owner, last)))


def sow_what_is_asked_for() -> None:
    """By whoever started this process."""
    if name := os.environ.get(VARIABLE):
        sow(name)


def sown(name: str) -> None:
    """Here and in all processes that are started from here."""
    from tests.faults import machine

    os.environ[VARIABLE] = name
    machine.LAUNCHER = ("-m", "tests.faults.launch", "sound")
    sow(name)
