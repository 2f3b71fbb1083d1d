"""What stays at home, and what a person decides about it. The state has no text of it, so the files are read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from memferry.agent.commands import naming
from memferry.agent.files import gzipped, opening, tail
from memferry.agent.files.tree import Tree
from memferry.agent.intake.decisions import Decision
from memferry.agent.intake.ingest import TOO_LONG, records_in
from memferry.agent.intake.judging import kind_of
from memferry.agent.report import Report, delivery_report
from memferry.agent.scope import Scope
from memferry.agent.service import Agent
from memferry.config.node import nearest
from memferry.errors import ConfigError, MemferryError
from memferry.formats.base import Kind, Whole
from memferry.model import Record, Source
from memferry.policies.contents import contents_of
from memferry.policies.desk import DECIDED, masked
from memferry.policies.lineage import TOO_MANY
from memferry.policies.rule import SECRETS, Do
from memferry.policies.strings import ELSEWHERE

FAR = 64 << 20
"""Bytes: lines behind that are not counted to."""
STEP = 1 << 20
SHORTEST_NAME = 6
WAYS_OUT: Mapping[str, str] = {
    "secrets.too-large": "split it, or let it go unsearched: a rule that allows the finding too-large",
    "overlap.too-long": "split it",
    "labels": "its own label holds it: change that in the file if it may leave",
    "lineage": "it refers to a record that is held: it may leave when that may",
    "overlap": "it repeats a held record's words: reword one of the two, or let that one go",
    "rules": "a rule of yours holds it: change the rule",
    "redact": "it stands in a name, a number, its own id or the name of its file: change it there",
    "parse": "it cannot be read exactly: repair it in the file",
}
WAYS_OUT_BY_REASON: Mapping[str, str] = {
    TOO_LONG: "split it, or raise agent.max_line_bytes and run `memferry sync-memory --force`",
    TOO_MANY.reason: "split it",
}
"""Where a rule has several."""
GONE = "it is not there any more; what repeats it is held all the same, until `memferry held allow` lets it go"
UNREAD = "its file cannot be read now"


class HeldRecord(NamedTuple):
    """A held record as the state knows it. `name`: what a person calls it here, the beginning of `id` in hex."""

    name: str
    id: int
    space: str
    file: str
    start: int
    rule: str
    reason: str


class Excerpt(NamedTuple):
    """What was found in a record, and what surrounds it there. The secret itself is masked."""

    finding: str
    does: Do
    text: str


def listed(agent: Agent, *, rule: str = "", space: str = "", decided: bool = False) -> list[HeldRecord]:
    """By rule, file and place. `rule`: only such (`secrets` for all of `secrets.*`). `decided`: with what somebody
    decided to keep."""
    rows = agent.state.rows(
        "select held.id, file.space, file.path, held.start, rule.rule, rule.reason from held"
        " join rule on rule.id = held.rule left join file on file.id = held.file"
        " order by rule.rule, file.space, file.path, held.start"
    )
    size = _name_size([row[0] for row in rows])
    every = [HeldRecord(_hex(row[0])[:size], row[0], row[1] or "", row[2] or "", *row[3:]) for row in rows]
    return [
        one
        for one in every
        if (not rule or one.rule == rule or one.rule.startswith(f"{rule}."))
        and (not space or one.space == space)
        and (decided or one.reason != DECIDED)
    ]


def find(agent: Agent, name: str) -> HeldRecord:
    """By the beginning of its name. ConfigError: there is none, or more than one."""
    found = [one for one in listed(agent, decided=True) if _hex(one.id).startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} held records are called {name}" if found else f"no held record is called {name}"
    raise ConfigError(problem, hint="`memferry held` lists them")


def excerpts(agent: Agent, one: HeldRecord) -> list[Excerpt]:
    """What was found in a held record, read again from its file; empty where nothing was found, or it is gone."""
    record = _reread(agent, one)
    if record is None or not one.rule.startswith(SECRETS):
        return []
    desk, contents = agent.judging.desk(agent.trees[one.space]), contents_of(record)
    return [
        Excerpt(found.name, desk.does(record, contents, found)[0], masked(found)) for found in desk.find([record])[0]
    ]


def line_of(agent: Agent, one: HeldRecord) -> int | None:
    """The line in its file, from 1, where that says something."""
    tree = agent.trees.get(one.space)
    kind = kind_of(tree, one.file) if tree else None
    if tree is None or kind is None or isinstance(kind.reader, Whole) or one.file.lower().endswith(".gz"):
        return None
    if one.start > FAR:
        return None
    try:
        with opening.opened(tree.root, one.file) as (descriptor, _):
            steps = ((min(STEP, one.start - at), at) for at in range(0, one.start, STEP))
            return 1 + sum(opening.read_at(descriptor, size, at).count(b"\n") for size, at in steps)
    except MemferryError:
        return None


# -- deciding


def decide(agent: Agent, name: str, do: Do, reason: str) -> list[Decision]:
    """About every finding that holds a record; or, by its name, about what was decided before. It counts from now on,
    also where the same secret stands elsewhere in the space. Empty where a record was let go that is not there any
    more."""
    before = _decided(agent, name)
    if before is not None:
        made = [agent.judging.decisions.decide_again(before, do, reason)]
    else:
        one = find(agent, name)
        if do == "allow" and _is_gone(agent, one):
            _let_go(agent, one)
            return []
        made = list(_decide_about(agent, one, do, reason))
    with agent.state.transaction():
        agent.catalog.files.reconsider_findings()
    return made


def _let_go(agent: Agent, one: HeldRecord) -> None:
    """What it said counts as public: the space is read and judged again. Where it still stands somewhere, it is held
    again."""
    with agent.state.transaction():
        agent.catalog.release([one.id])
        agent.state.execute("delete from record where id = ?", (one.id,))
        agent.catalog.files.reconsider_all(one.space)


def _decide_about(agent: Agent, one: HeldRecord, do: Do, reason: str) -> Iterator[Decision]:
    if not one.rule.startswith(SECRETS):
        why = _way_out(one) or "only what the scanner found can be decided about"
        raise ConfigError(f"{one.name} is held by {one.rule}, which no decision can undo", hint=why)
    record = _reread(agent, one)
    if record is None:
        raise ConfigError(f"{one.name}: {GONE if _is_gone(agent, one) else UNREAD}", hint="`memferry held` lists them")
    desk, contents = agent.judging.desk(agent.trees[one.space]), contents_of(record)
    for found in desk.find([record])[0]:
        if found.number != ELSEWHERE and desk.does(record, contents, found)[0] == "hold":
            yield agent.judging.decisions.decide(do, one.space, found.name, found.secret, reason)


def _decided(agent: Agent, name: str) -> Decision | None:
    found = [one for one in agent.judging.decisions if decision_name(one).startswith(name.lower())]
    return found[0] if len(found) == 1 and len(name) > 1 else None


def decision_name(one: Decision) -> str:
    """What a person calls it here; no held record is called so."""
    return "d" + "-" + _hex(one.about)[:SHORTEST_NAME]


def bring_up_to_date(agent: Agent) -> dict[str, Any]:
    """Read what a decision is about once more, and deliver what that makes of it."""
    outcome, halted = agent.ingest_all(Scope())
    read = {"stored": outcome.new + outcome.modified, "withdrawn": outcome.withdrawn, "halted": halted}
    return read | delivery_report(agent.deliver())


# -- reading again


def _reread(agent: Agent, one: HeldRecord) -> Record | None:
    """None: it is not where it was, or cannot be read now."""
    tree = agent.trees.get(one.space)
    kind = kind_of(tree, one.file) if tree else None
    if tree is None or kind is None:
        return None
    try:
        return _found(agent, tree, one, kind)
    except MemferryError:
        return None


def _is_gone(agent: Agent, one: HeldRecord) -> bool:
    """Whether it surely is not where it was."""
    tree = agent.trees.get(one.space)
    kind = kind_of(tree, one.file) if tree else None
    if tree is None or kind is None:
        return False
    try:
        return _found(agent, tree, one, kind) is None
    except opening.Unreadable as error:
        return error.gone
    except MemferryError:
        return False


def _found(agent: Agent, tree: Tree, one: HeldRecord, kind: Kind) -> Record | None:
    found = (r for r in _records(agent, tree, one, kind) if agent.fingerprint.key(one.space, r.key) == one.id)
    return next(found, None)


def _records(agent: Agent, tree: Tree, one: HeldRecord, kind: Kind) -> Sequence[Record]:
    line_bytes = agent.config.agent.max_line_bytes
    source = Source(one.space, one.file, kind.format, kind.derived)
    if isinstance(kind.reader, Whole):
        read = opening.read_stable(tree.root, one.file, tail.LINE_BYTES * 4)
        snapshot = kind.reader.parse(source, read[0]) if read else None
        return snapshot.records if snapshot else ()
    with opening.opened(tree.root, one.file) as (descriptor, _):
        if one.file.lower().endswith(".gz"):
            parts = gzipped.read_gz_lines(descriptor, line_bytes=line_bytes)
        else:
            parts = tail.read_lines(descriptor, one.start, chunk_bytes=1 << 16, line_bytes=line_bytes)
        for part in parts:
            if isinstance(part, tail.Oversize) and part.start == one.start:
                return records_in(kind.reader, source, part)
            if isinstance(part, tail.Chunk) and part.start <= one.start < part.start + len(part.lines):
                line = part.lines[one.start - part.start :].split(b"\n")[0]
                return kind.reader.parse(source, line + b"\n", one.start)
    return ()


def _hex(id_: int) -> str:
    return f"{id_ & (1 << 64) - 1:016x}"


def _name_size(ids: Sequence[int]) -> int:
    """Hex digits by which all of them differ."""
    names = sorted(map(_hex, ids))
    size = SHORTEST_NAME
    for one, other in pairwise(names):
        while size < 16 and one[:size] == other[:size]:
            size += 1
    return size


def held(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """What stays at home, by rule, with what was found in it; or what a person decided, or decides now."""
    if arguments.get("do"):
        made = [decide(agent, name, arguments["do"], str(arguments["reason"])) for name in arguments["names"]]
        decided = [_decision(one) for some in made for one in some]
        return {"decided": decided, "let_go": made.count([])} | bring_up_to_date(agent)
    agent.ingest_all(Scope())
    if arguments.get("decisions"):
        return {"decisions": list(map(_decision, agent.judging.decisions))}
    if arguments.get("names"):
        found = [find(agent, name) for name in arguments["names"]]
        return {"held": [_held(agent, one) for one in found], "total": len(found)}
    wanted = {name: arguments[name] for name in ("rule", "space") if arguments.get(name)}
    _require_known(agent, **wanted)
    every = listed(agent, **wanted, decided=bool(arguments.get("all")))
    return {"held": [_held(agent, one) for one in every[: int(arguments.get("limit", 50))]], "total": len(every)}


def _require_known(agent: Agent, *, rule: str = "", space: str = "") -> None:
    """Raises ConfigError for a space that is not here, or a kind of rule that there is not."""
    if space:
        naming.require_space(agent, space)
    known = {one for (name,) in agent.state.rows("select rule from rule") for one in (name, name.partition(".")[0])}
    known |= {name.partition(".")[0] for name in WAYS_OUT}
    if rule and rule.partition(".")[0] not in known:
        raise ConfigError(f"there is no rule {rule}", hint=nearest(rule, sorted(known)))


def _held(agent: Agent, one: HeldRecord) -> Report:
    found = [excerpt._asdict() for excerpt in excerpts(agent, one)]
    shown = {name: value for name, value in one._asdict().items() if name != "id"}
    way_out = GONE if not found and _is_gone(agent, one) else _way_out(one)
    return shown | {"line": line_of(agent, one), "findings": found, "way_out": way_out}


def _way_out(one: HeldRecord) -> str:
    by_rule = WAYS_OUT.get(one.rule) or WAYS_OUT.get(one.rule.partition(".")[0], "")
    return WAYS_OUT_BY_REASON.get(one.reason, by_rule)


def _decision(one: Decision) -> Report:
    about = {"name": decision_name(one)}
    return about | {name: value for name, value in one._asdict().items() if name != "about"}
