"""All policies in order. `judge` is the only place where a record becomes cleared.

Each record is first judged by itself. What remains is held when it names a held record or repeats its text; since that
may follow from another record of the same batch, it goes on until nothing changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import TypeAlias, cast

from memferry.errors import ScannerBroken
from memferry.keys import Fingerprinter
from memferry.model import Cleared, Hold, Record
from memferry.policies import labels, lineage, overlap
from memferry.policies.base import Held, Kept, Known, Passage
from memferry.policies.contents import NOTHING, Contents, contents_of
from memferry.policies.desk import NOT_CUT, Desk
from memferry.policies.overlap import Passages
from memferry.policies.rule import BLOCK

Policy: TypeAlias = Callable[[Record, Contents], Hold | None]
"""A verdict on a record by itself; None: nothing against it."""

Policies: TypeAlias = Sequence[tuple[str, Policy]]
"""Named, in order; the first that holds decides."""

POLICIES: Policies = (("labels", labels.judge),)
"""What always applies. Secrets and the user's own rules stand behind the labels."""

NO_DESK = Desk()

QUIET = frozenset({"overlap", "secrets", "redact"})
"""Rules whose records are not secret word by word: a copy is found as the record itself was."""


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
    cases = [_alone(record, fingerprint, policies, desk) for record in records]
    _search([case for case in cases if case.verdict is None], fingerprint, policies, desk)
    _ask(cases, known, fingerprint)
    _spread(cases, fingerprint)
    return [_closed(case, fingerprint) for case in cases]


def recheck(
    record: Record, known: Known, fingerprint: Fingerprinter, policies: Policies = POLICIES, desk: Desk = NO_DESK
) -> Kept | Held:
    """Judge a kept record once more, when something is held that it may derive from."""
    return judge((record,), known, fingerprint, policies, desk)[0]


class _Case:
    """A record on its way to a verdict. `refs`: what it names; `passages`: what a held one makes known. `cut`: the
    record without what is to be redacted; `removed`: of blocks that were cut out, known under `removed_id`."""

    __slots__ = ("contents", "cut", "id", "passages", "record", "refs", "removed", "removed_id", "traces", "verdict")

    def __init__(self, record: Record, id_: int) -> None:
        self.record = record
        self.id = id_
        self.contents = NOTHING
        self.verdict: Hold | None = None
        self.refs: tuple[int, ...] = ()
        self.traces = overlap.NO_TRACES
        self.passages: tuple[Passage, ...] = ()
        self.cut: Record | None = None
        self.removed: tuple[Passage, ...] = ()
        self.removed_id = 0


# -- by itself


def _alone(record: Record, fingerprint: Fingerprinter, policies: Policies, desk: Desk) -> _Case:
    case = _Case(record, fingerprint.key(record.source.space, record.key))
    step = "blocks"
    try:
        if record.problem is None and desk.rules and labels.is_marked(record):
            record = _cut_blocks(case, record, fingerprint, desk)
        step = "contents"
        case.contents = contents_of(record)
        if record.problem is not None:
            case.verdict = Hold("parse", record.problem)
            return case
        for name, policy in policies:
            step = name
            case.verdict = _verdict(policy, record, case.contents)
            if case.verdict is not None:
                return case
        step = "traces"
        _trace(case, fingerprint)
    except Exception as exc:  # noqa: BLE001 - whatever a policy raises, the record must not leave
        case.verdict = Hold(f"{step}.failed", f"the policy raised {type(exc).__name__}")
    return case


def _verdict(policy: Policy, record: Record, contents: Contents) -> Hold | None:
    """On a record and on what stands around it."""
    verdict = policy(record, contents)
    if verdict is None and record.around is not None:
        return policy(*_surroundings(record))
    return verdict


def _cut_blocks(case: _Case, record: Record, fingerprint: Fingerprinter, desk: Desk) -> Record:
    """The document without what is private in it, if a rule wants that. What was cut out is recognised elsewhere."""
    cut = desk.without_blocks(record)
    if cut is None:
        return record
    case.record, blocks = cut
    found: dict[Passage, None] = {}
    for block in blocks:
        alone = Record(record.source, record.key, record.digest, b"", 0, text=block)
        found |= dict.fromkeys(overlap.passages(alone, Contents([], [], [block]), fingerprint))
    case.removed = tuple(found)
    case.removed_id = fingerprint.key(record.source.space, f"{record.key}\0{BLOCK}")
    return case.record


def _surroundings(record: Record) -> tuple[Record, Contents]:
    """The object around an array entry, to be judged like a record."""
    assert record.around is not None
    around = Record(record.source, record.key, record.digest, record.around.body, record.start, record.around.fields)
    return around, contents_of(around)


def _trace(case: _Case, fingerprint: Fingerprinter) -> None:
    """Note what the record names and where it may repeat something."""
    record, contents = case.record, case.contents
    if record.around is not None:
        contents = contents.with_those_of(_surroundings(record)[1])
    named = lineage.names(record, contents)
    if len(named) > lineage.MOST_NAMES:
        case.verdict = lineage.TOO_MANY
        return
    if named:
        case.refs = tuple([fingerprint.key(record.source.space, name) for name in named])
    vouched = record.text is None and not record.source.derived and labels.is_labelled(record)
    case.traces = overlap.traces(record, contents, fingerprint, vouched=vouched)


# -- what is found in it


def _search(cases: Sequence[_Case], fingerprint: Fingerprinter, policies: Policies, desk: Desk) -> None:
    """Hold what holds what should not leave; cut out what is to be redacted."""
    if desk.search is None and not desk.rules.cut:
        return
    to_cut: list[_Case] = []
    try:
        for case, found in zip(cases, desk.find([case.record for case in cases]), strict=True):
            case.verdict = desk.verdict(case.record, case.contents, found)
            if case.verdict is None and desk.is_to_be_cut(case.record, case.contents, found):
                case.cut = desk.cut(case.record, found)
                case.verdict = NOT_CUT if case.cut is None else None
                to_cut += [case] if case.cut is not None else []
        _judge_what_is_left(to_cut, fingerprint, policies, desk)
    except ScannerBroken:
        raise
    except Exception as exc:  # noqa: BLE001 - whatever is raised, what was to be looked at must not leave
        for case in cases:
            case.verdict = Hold("secrets.failed", f"the search raised {type(exc).__name__}")


def _judge_what_is_left(cases: Sequence[_Case], fingerprint: Fingerprinter, policies: Policies, desk: Desk) -> None:
    """As a record of its own: it is what would be sent. What it names and may repeat stays that of the whole record."""
    records = [case.cut for case in cases if case.cut is not None]
    for case, record, left in zip(cases, records, desk.judge_again(records), strict=True):
        once_more = _alone(record, fingerprint, policies, NO_DESK)
        case.verdict = NOT_CUT if record.problem else once_more.verdict or left
        if case.verdict is None:
            case.record, case.id = record, once_more.id


# -- against what was held before


def _ask(cases: Iterable[_Case], known: Known, fingerprint: Fingerprinter) -> None:
    open_cases = [case for case in cases if case.verdict is None]
    held_ids = set(known.held_ids({ref for case in open_cases for ref in case.refs}))
    found = known.passages(_marks(open_cases))
    passages = overlap.index((mark, *one) for mark, group in found.items() for one in group)
    for case in open_cases:
        if not held_ids.isdisjoint(case.refs):
            case.verdict = lineage.NAMES_HELD
        elif overlap.repeats(case.traces, passages, case.id, fingerprint):
            case.verdict = overlap.REPEATS_HELD


def _marks(cases: Iterable[_Case]) -> set[int]:
    return set(chain.from_iterable([case.traces.marks for case in cases]))


# -- against each other


def _spread(cases: Sequence[_Case], fingerprint: Fingerprinter) -> None:
    """Hold what derives from held records of this batch, until nothing changes. The result does not depend on the
    order: whoever names a held record is held for that, even if it was found to repeat one before."""
    naming: dict[int, list[_Case]] = defaultdict(list)
    for case in cases:
        for ref in case.refs:
            naming[ref].append(case)
    marks = _marks(cases)
    _repeat_blocks(cases, marks, fingerprint)
    fresh = [case for case in cases if case.verdict is not None]
    while fresh:
        fresh = _with_those_who_name(fresh, naming, fingerprint)
        passages = _learn(fresh, marks, fingerprint)
        fresh = [
            case
            for case in cases
            if case.verdict is None and overlap.repeats(case.traces, passages, case.id, fingerprint)
        ]
        for case in fresh:
            case.verdict = overlap.REPEATS_HELD


def _repeat_blocks(cases: Sequence[_Case], marks: AbstractSet[int], fingerprint: Fingerprinter) -> None:
    """Hold what repeats a block that was cut out of a document of this batch."""
    removed = overlap.index((*one, case.removed_id) for case in cases for one in case.removed if one.mark in marks)
    for case in cases if removed else ():
        if case.verdict is None and overlap.repeats(case.traces, removed, case.id, fingerprint):
            case.verdict = overlap.REPEATS_HELD


def _with_those_who_name(
    held: list[_Case], naming: Mapping[int, Sequence[_Case]], fingerprint: Fingerprinter
) -> list[_Case]:
    """`held`, and all that name one of them, directly or through others."""
    reached = list(held)
    for case in reached:
        for id_ in (case.id, *_also(case.record, fingerprint)):
            for other in naming.get(id_, ()):
                if other.verdict is None or other.verdict is overlap.REPEATS_HELD:
                    other.verdict = lineage.NAMES_HELD
                    reached.append(other)
    return reached


def _learn(held: Sequence[_Case], marks: AbstractSet[int], fingerprint: Fingerprinter) -> Passages:
    """The passages of newly held records; of them, those that others of this batch may repeat by their marks."""
    for case in held:
        if _is_secret_by_itself(case):
            case.passages = overlap.passages(case.record, case.contents, fingerprint)
    return overlap.index((*one, case.id) for case in held for one in case.passages if one.mark in marks)


def _is_secret_by_itself(case: _Case) -> bool:
    """Not what was copied from others: a document or a derived text that names a held record has many sources, most of
    them public; a note about records says the same of all."""
    assert case.verdict is not None
    record = case.record
    if case.verdict.rule == lineage.NAMES_HELD.rule:
        return record.text is None and not record.source.derived and not lineage.is_note(record)
    return case.verdict.rule.partition(".")[0] not in QUIET


def _also(record: Record, fingerprint: Fingerprinter) -> tuple[int, ...]:
    return tuple([fingerprint.key(record.source.space, name) for name in lineage.own_names(record)])


def _closed(case: _Case, fingerprint: Fingerprinter) -> Kept | Held:
    if case.verdict is None:
        removed = (case.removed, case.removed_id)
        return Kept(cast(Cleared, case.record), case.id, case.refs, case.traces.echoes, *removed)
    return Held(case.record, case.verdict, case.id, case.passages + case.removed, _also(case.record, fingerprint))
