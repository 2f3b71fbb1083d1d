"""All policies in order. `judge` is the only place where a record becomes cleared.

Each record is first judged by itself. What remains is held when it names a held record or repeats its text; since that
may follow from another record of the same batch, it goes on until nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from memferry.errors import ScannerBroken
from memferry.keys import Fingerprinter
from memferry.model import Cleared, Hold, Record
from memferry.policies import labels, lineage, overlap
from memferry.policies.base import Held, Kept, Known, Passage
from memferry.policies.case import Case
from memferry.policies.contents import Contents, around_of, contents_of
from memferry.policies.desk import NOT_CUT, Desk
from memferry.policies.rule import BLOCK
from memferry.policies.spread import spread

Policy: TypeAlias = Callable[[Record, Contents], Hold | None]
"""A verdict on a record by itself; None: nothing against it."""

Policies: TypeAlias = Sequence[tuple[str, Policy]]
"""Named, in order; the first that holds decides."""

POLICIES: Policies = (("labels", labels.judge),)
"""What always applies. Secrets and the user's own rules stand behind the labels."""

NO_DESK = Desk()


def judge(
    records: Sequence[Record],
    known: Known,
    fingerprint: Fingerprinter,
    policies: Policies = POLICIES,
    desk: Desk = NO_DESK,
) -> list[Kept | Held]:
    """One verdict a record, in order. `known`: what was held before; where it raises, nothing is cleared. `desk`: what
    becomes of findings, and the user's rules."""
    if desk.rules:
        policies = (*policies, ("rules", desk.rules.judge))
    around = _Around(policies)
    cases = [_alone(record, fingerprint, policies, desk, around) for record in records]
    _search([case for case in cases if case.verdict is None], fingerprint, policies, desk)
    spread(cases, known, fingerprint)
    return [_closed(case, fingerprint) for case in cases]


def recheck(
    record: Record, known: Known, fingerprint: Fingerprinter, policies: Policies = POLICIES, desk: Desk = NO_DESK
) -> Kept | Held:
    """Judge a kept record once more, when something is held that it may derive from."""
    return judge((record,), known, fingerprint, policies, desk)[0]


# -- by itself


def _alone(record: Record, fingerprint: Fingerprinter, policies: Policies, desk: Desk, around: _Around) -> Case:
    case = Case(record, fingerprint.key(record.source.space, record.key))
    step = "blocks"
    try:
        if desk.rules and record.problem is None and labels.is_marked(record):
            record = _cut_blocks(case, record, fingerprint, desk)
        step = "contents"
        case.contents = contents_of(record)
        if record.problem is not None:
            case.verdict = Hold("parse", record.problem)
            return case
        for name, policy in policies:
            step = name
            case.verdict = policy(record, case.contents)
            if case.verdict is None and record.around is not None:
                case.verdict = around.verdict(record, name)
            if case.verdict is not None:
                return case
        step = "lineage"
        _name(case, fingerprint, around)
    except Exception as exc:  # noqa: BLE001 - whatever a policy raises, the record must not leave
        case.verdict = Hold(f"{step}.failed", f"the policy raised {type(exc).__name__}")
    return case


def _cut_blocks(case: Case, record: Record, fingerprint: Fingerprinter, desk: Desk) -> Record:
    """The document without what is private in it, if a rule wants that. What was cut out is recognised elsewhere."""
    cut = desk.without_blocks(record)
    if cut is None:
        return record
    case.record, blocks = cut
    found: dict[Passage, None] = {}
    for block in blocks:
        alone = Record(record.source, record.key, record.digest, b"", 0, text=block)
        found |= dict.fromkeys(overlap.passages(alone, Contents([], [], [], [block]), fingerprint))
    case.removed = tuple(found)
    case.removed_id = fingerprint.key(record.source.space, f"{record.key}\0{BLOCK}")
    return case.record


class _Around:
    """The objects around array entries, judged like records: each once, however many entries it surrounds."""

    def __init__(self, policies: Policies) -> None:
        self._policies = dict(policies)
        self._records: dict[int, tuple[Record, Contents]] = {}
        self._verdicts: dict[tuple[int, str], Hold | None] = {}

    def contents(self, record: Record) -> Contents:
        return self._as_record(record)[1]

    def verdict(self, record: Record, policy: str) -> Hold | None:
        key = id(record.around), policy
        if key not in self._verdicts:
            self._verdicts[key] = self._policies[policy](*self._as_record(record))
        return self._verdicts[key]

    def _as_record(self, record: Record) -> tuple[Record, Contents]:
        number = id(record.around)
        if number not in self._records:
            made = around_of(record)
            assert made is not None
            self._records[number] = made, contents_of(made)
        return self._records[number]


def _name(case: Case, fingerprint: Fingerprinter, around: _Around) -> None:
    """Note what the record names, and all that it says."""
    record, said = case.record, case.contents
    case.ordinary = record.text is None and not record.source.derived and labels.is_labelled(record, said)
    if record.around is not None:
        said = said.with_those_of(around.contents(record))
    case.said = said.with_text(lineage.title(record))
    named = lineage.names(record, said)
    if len(named) > lineage.MOST_NAMES:
        case.verdict = lineage.TOO_MANY
    elif named:
        case.refs = tuple([fingerprint.key(record.source.space, name) for name in named])


# -- what is found in it


def _search(cases: Sequence[Case], fingerprint: Fingerprinter, policies: Policies, desk: Desk) -> None:
    """Hold what holds what should not leave; cut out what is to be redacted."""
    if desk.search is None and not desk.rules.cut:
        return
    to_cut: list[Case] = []
    try:
        looked_at = zip(cases, desk.find([case.record for case in cases]), strict=True)
        for case, found in looked_at if desk.rules.cut else [pair for pair in looked_at if pair[1]]:
            case.verdict = desk.verdict(case.record, case.contents, found)
            if case.verdict is None and desk.is_to_be_cut(case.record, case.contents, found):
                left = desk.cut(case.record, found)
                if isinstance(left, Hold):
                    case.verdict = left
                else:
                    case.cut = left
                    to_cut.append(case)
        _judge_what_is_left(to_cut, fingerprint, policies, desk)
    except ScannerBroken:
        raise
    except Exception as exc:  # noqa: BLE001 - whatever is raised, what was to be looked at must not leave
        for case in cases:
            case.verdict = Hold("secrets.failed", f"the search raised {type(exc).__name__}")


def _judge_what_is_left(cases: Sequence[Case], fingerprint: Fingerprinter, policies: Policies, desk: Desk) -> None:
    """As a record of its own: it is what would be sent. What it names and may repeat stays that of the whole record."""
    records = [case.cut for case in cases if case.cut is not None]
    around = _Around(policies)
    for case, record, left in zip(cases, records, desk.judge_again(records), strict=True):
        once_more = _alone(record, fingerprint, policies, NO_DESK, around)
        case.verdict = NOT_CUT if record.problem else once_more.verdict or left
        if case.verdict is None:
            case.record, case.id = record, once_more.id


# -- closed


def _closed(case: Case, fingerprint: Fingerprinter) -> Kept | Held:
    if case.verdict is None:
        cleared = cast(Cleared, case.record)
        return Kept(cleared, case.id, case.refs, case.echoes, case.removed, case.removed_id)
    return Held(case.record, case.verdict, case.id, case.passages + case.removed, case.also(fingerprint))
