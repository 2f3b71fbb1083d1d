"""Why a file or a record is carried, or stays at home: which rule decided."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from memferry.agent.commands import naming
from memferry.agent.files import scan
from memferry.agent.files.tree import Tree
from memferry.agent.report import Report
from memferry.agent.service import Agent
from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, WITHDRAWN, KnownFile, Seen
from memferry.errors import ConfigError

STATUS = {
    FORGOTTEN: ("forgotten", "it was withdrawn by `memferry forget`, here or on another machine"),
    FOREIGN: ("from another machine", "it is current here and was not written here"),
    WITHDRAWN: ("withdrawn", "its owner removed it"),
}
SHOWN = 200


class Explanation(NamedTuple):
    """One answer. `verdict`: carried, held, excluded, skipped, waiting, ... `at`: byte offset or index in the file."""

    subject: str
    verdict: str
    rule: str
    reason: str
    at: int | None = None


def explain_target(agent: Agent, target: str) -> list[Explanation]:
    """`target`: a file (its path, or `space/path`) or a record's key. Empty: nothing is known of it."""
    located = naming.located(agent, target)
    answers = list(_of_file(agent, *located)) if located else []
    return answers + list(_of_key(agent, target))


def _of_file(agent: Agent, space: str, file: str) -> Iterator[Explanation]:
    tree, known = agent.trees.get(space), agent.catalog.files.find(space, file)
    if tree is not None:
        yield from _of_file_here(agent, tree, file, known)
    elif known is not None:
        text = "its space is not in the configuration any more; only `memferry forget` withdraws what was sent of it"
        yield Explanation(f"{space}/{file}", "not read any more", "", text)
        yield from _of_known(agent, f"{space}/{file}", known)


def _of_file_here(agent: Agent, tree: Tree, file: str, known: KnownFile | None) -> Iterator[Explanation]:
    subject = f"{tree.name}/{file}"
    seen = scan.look(tree.root, file)
    if (verdict := tree.rules.verdict(file)) is not None:
        if known is not None or os.path.lexists(tree.root / file):
            sent = f"; what was sent before stays until `memferry forget {subject}`" if known and known.cleared else ""
            yield Explanation(subject, "excluded", verdict.rule, verdict.reason + sent)
    elif _is_pulled(agent, tree, file):
        yield Explanation(subject, "pulled", "", "it came from other machines, which carry what is in it")
    elif isinstance(seen, scan.Skipped):
        yield Explanation(subject, "skipped", "scan", seen.reason)
    elif isinstance(seen, scan.Found) and tree.kind(file) is None:
        yield Explanation(subject, "not carried", "format", f"{tree.format.name} does not carry such files")
    elif known is not None:
        yield from _of_known(agent, subject, known)
    elif isinstance(seen, scan.Found):
        yield Explanation(subject, "waiting", "scan", "it was not read yet; run `memferry push`")


def _is_pulled(agent: Agent, tree: Tree, file: str) -> bool:
    return agent.state.one("select 1 from pulled_file where space = ? and file = ?", tree.name, file) is not None


def _of_known(agent: Agent, subject: str, known: KnownFile) -> Iterator[Explanation]:
    """What became of a file that was read."""
    held = agent.state.rows(
        "select rule.rule, rule.reason, held.start from held join rule on rule.id = held.rule where held.file = ?"
        " order by held.start limit ?", known.id, SHOWN,
    )  # fmt: skip
    if known.cleared:
        where = ", ".join(_acknowledging(agent)) or "no backend yet"
        many = f"{known.placed} record{'' if known.placed == 1 else 's'} of it"
        cut = f", {redacted} redacted" if (redacted := _redacted_in(agent, known.id)) else ""
        yield Explanation(subject, "carried", "", f"{many}{cut}; delivered to {where}")
    for rule, reason, start in held:
        yield Explanation(subject, "held", rule, reason, start)
    if known.cursor is not None and known.cursor.pending_bytes:
        text = f"its last {known.cursor.pending_bytes} bytes have no newline yet"
        yield Explanation(subject, "waiting", "tail", text, known.cursor.offset)
    for problem in agent.state.problems():
        if problem.subject == subject:
            yield Explanation(subject, "problem", problem.area, problem.text)


def _redacted_in(agent: Agent, file: int) -> int:
    """How many records of a file left without what was found in them."""
    row = agent.state.one(
        "select count(*) from redacted join record using(id) join layout on layout.id = record.place >> 32"
        " where layout.file = ?", file,
    )  # fmt: skip
    return int(row[0]) if row else 0


def _of_key(agent: Agent, target: str) -> Iterator[Explanation]:
    for space, key in naming.keyed(agent, target):
        id_ = agent.fingerprint.key(space, key)
        seen = agent.catalog.seen([id_]).get(id_)
        if seen is not None:
            yield _of_record(agent, space, key, id_, seen)


def _of_record(agent: Agent, space: str, key: str, id_: int, seen: Seen) -> Explanation:
    if seen.seq == HELD:
        row = agent.state.one(
            "select rule.rule, rule.reason, held.start from held join rule on rule.id = held.rule where held.id = ?",
            id_,
        )
        return Explanation(f"{space}: {key}", "held", *(row or ("", "", None)))
    if seen.seq < 0:
        verdict, reason = STATUS[seen.seq]
        return Explanation(f"{space}: {key}", verdict, "", reason)
    put = agent.journal.put(seen.seq)
    file = (put.file + (" (redacted)" if put.redacted else "")) if put else "?"
    where = ", ".join(_acknowledging(agent, seen.seq)) or "no backend yet"
    return Explanation(
        f"{space}: {key}", "carried", "", f"from {file}, delivered to {where}", put.position if put else None
    )


def _acknowledging(agent: Agent, seq: int = 1) -> list[str]:
    return [row[0] for row in agent.state.rows("select backend from checkpoint where through >= ?", seq)]


def explain(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Which rule decided about a file or a record, and why."""
    target = str(arguments["target"])
    answers = explain_target(agent, target)
    if not answers:
        raise ConfigError(
            f"nothing is known of {target}",
            hint="give a file inside a space, `space/path`, a record's key, or `space:key`",
        )
    return {"target": target, "answers": [answer._asdict() for answer in answers]}
