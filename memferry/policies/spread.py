"""What derives from held records is held: from those that were held before, and from others of the same batch.

Since that may follow from another record of the batch, it goes on until nothing changes. The result does not depend on
the order: whoever names a held record is held for that, even if it was found to repeat one before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from memferry.keys import Fingerprinter
from memferry.model import Hold
from memferry.policies import lineage, overlap
from memferry.policies.base import Known
from memferry.policies.case import Case
from memferry.policies.overlap import Passages
from memferry.policies.sweep import Sweep, passages_of_all

QUIET = frozenset({"overlap", "secrets", "redact"})
"""Rules whose records are not secret word by word: a copy is found as the record itself was."""


def spread(cases: Sequence[Case], known: Known, fingerprint: Fingerprinter) -> None:
    """Over one batch, held records included. Raises what `known` raises."""
    open_cases = [case for case in cases if case.verdict is None]
    held_ids = known.held_ids({ref for case in open_cases for ref in case.refs})
    nothing_held = len(open_cases) == len(cases) and not (held_ids or any(case.removed for case in cases))
    if nothing_held and not known.has_passages() and _note_echoes(open_cases, fingerprint):
        return
    traced = _Traced(open_cases, fingerprint)
    for case in open_cases if held_ids else ():
        if any(not {case.id}.issuperset(held_ids.get(ref, ())) for ref in case.refs):
            case.verdict = lineage.NAMES_HELD
    found = known.passages(traced.marks)
    traced.repeating(overlap.index((mark, *one) for mark, group in found.items() for one in group))
    _repeat_blocks(cases, traced)
    _from_each_other(cases, traced)


def _note_echoes(cases: Sequence[Case], fingerprint: Fingerprinter) -> bool:
    """Where there is nothing that could be repeated: by what they are found again when there is. Whether it worked."""
    ordinary = [case for case in cases if case.ordinary]
    others = [case for case in cases if not case.ordinary]
    try:
        for case, echoes in zip(ordinary, Sweep([case.said for case in ordinary], fingerprint).echoes, strict=True):
            case.echoes = echoes
        for case in others:
            case.echoes = overlap.echoes(case.record, case.said, fingerprint)
    except Exception:  # noqa: BLE001 - whatever is raised is raised again by what traces them, one by one
        return False
    return True


class _Traced:
    """The cases that nothing is held against so far, and where they may repeat something. A policy that fails holds."""

    def __init__(self, cases: Sequence[Case], fingerprint: Fingerprinter) -> None:
        self.fingerprint = fingerprint
        self._ordinary: list[Case] = []
        for case in cases:
            if case.ordinary:
                self._ordinary.append(case)
            else:
                self._trace(case, vouched=False)
        self._sweep = self._swept()
        self.open = [case for case in cases if case.verdict is None]
        self.marks = set(chain.from_iterable([case.traces.marks for case in self.open]))
        self.marks.update(self._sweep.marks if self._sweep else ())

    def _swept(self) -> Sweep | None:
        """All ordinary ones at once; None: that failed."""
        try:
            sweep = Sweep([case.said for case in self._ordinary], self.fingerprint).traced()
        except Exception as exc:  # noqa: BLE001 - whatever is raised, what was to be looked at must not leave
            for case in self._ordinary:
                case.verdict = _failed(exc)
            return None
        for case, echoes in zip(self._ordinary, sweep.echoes, strict=True):
            case.echoes = echoes
        return sweep

    def _trace(self, case: Case, *, vouched: bool) -> None:
        try:
            case.trace(self.fingerprint, vouched=vouched)
        except overlap.TooLong:
            case.verdict = overlap.TOO_LONG
        except Exception as exc:  # noqa: BLE001 - whatever a policy raises, the record must not leave
            case.verdict = _failed(exc)

    def repeating(self, passages: Passages) -> list[Case]:
        """Hold those that repeat one of the passages."""
        if not passages:
            return []
        for number in self._sweep.suspects(passages.keys()) if self._sweep else ():
            if self._ordinary[number].traces is overlap.NO_TRACES:
                self._trace(self._ordinary[number], vouched=True)
        found = [
            case
            for case in self.open
            if case.verdict is None and overlap.repeats(case.traces, passages, case.id, self.fingerprint)
        ]
        for case in found:
            case.verdict = overlap.REPEATS_HELD
        return found


def _failed(exc: Exception) -> Hold:
    return Hold("traces.failed", f"the policy raised {type(exc).__name__}")


# -- from each other


def _repeat_blocks(cases: Sequence[Case], traced: _Traced) -> None:
    """Hold what repeats a block that was cut out of a document of this batch."""
    traced.repeating(
        overlap.index((*one, case.removed_id) for case in cases for one in case.removed if one.mark in traced.marks)
    )


def _from_each_other(cases: Sequence[Case], traced: _Traced) -> None:
    naming: dict[int, list[Case]] = defaultdict(list)
    for case in cases:
        for ref in case.refs:
            naming[ref].append(case)
    fresh = [case for case in cases if case.verdict is not None]
    while fresh:
        fresh = traced.repeating(_learn(_with_those_who_name(fresh, naming, traced.fingerprint), traced))


def _with_those_who_name(
    held: list[Case], naming: Mapping[int, Sequence[Case]], fingerprint: Fingerprinter
) -> list[Case]:
    """`held`, and all that name one of them, directly or through others."""
    if not naming:
        return held
    reached = list(held)
    for case in reached:
        for id_ in (case.id, *case.also(fingerprint)):
            for other in naming.get(id_, ()):
                if other.id != case.id and (other.verdict is None or other.verdict is overlap.REPEATS_HELD):
                    other.verdict = lineage.NAMES_HELD
                    reached.append(other)
    return reached


def _learn(held: Sequence[Case], traced: _Traced) -> Passages:
    """The passages of newly held records; of them, those that others of this batch may repeat by their marks."""
    secret = [case for case in held if _is_secret_by_itself(case)]
    parsed = [case for case in secret if case.record.text is None and case.record.problem is None]
    for case, passages in zip(
        parsed, passages_of_all([case.contents for case in parsed], traced.fingerprint), strict=True
    ):
        case.passages = passages
    for case in secret:
        if case.record.text is not None or case.record.problem is not None:
            case.passages = overlap.passages(case.record, case.contents, traced.fingerprint)
    return overlap.index((*one, case.id) for case in held for one in case.passages if one.mark in traced.marks)


def _is_secret_by_itself(case: Case) -> bool:
    """Not what was copied from others: a document or a derived text that names a held record has many sources, most of
    them public; a note about records says the same of all."""
    assert case.verdict is not None
    record = case.record
    if case.verdict.rule == lineage.NAMES_HELD.rule:
        return record.text is None and not record.source.derived and not lineage.is_note(record)
    return case.verdict.rule.partition(".")[0] not in QUIET
