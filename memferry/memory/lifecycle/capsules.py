"""checkpoint, handoff and attach: texts that carry a session over to the next one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.records import Fields, Who
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import NOBODY, PRIVATE, csv, is_private, slug

Sections: TypeAlias = Sequence[tuple[str, Sequence[str]]]
"""Headings, and what is listed under them."""

OPEN, CLOSE = "<private>", "</private>"

_ACTIVE = """select id, summary, due_at, private from objects
             where type = ? and slug = ? and project = ? and active order by ts desc, number desc limit ?"""


def checkpoint(turn: Turn, asked: Namespace) -> Fields:
    """Where the project stands now."""
    project, who = _who(turn, asked)
    said: Fields = {
        "now": asked.now or "-", "next": asked.next or "-", "risks": csv(asked.risks),
        "decision_ids": csv(asked.decisions), "commitment_ids": csv(asked.commitments), "project": project,
    }  # fmt: skip
    sections: Sections = [
        ("Updated At", [turn.ts]), ("Now", [said["now"]]), ("Next", [said["next"]]), ("Risks", said["risks"]),
        ("Active Decision IDs", said["decision_ids"]), ("Active Commitment IDs", said["commitment_ids"]),
    ]  # fmt: skip
    file = tree.state(project)
    answer = _tell(turn, who, "memory.checkpointed", said, file, f"Project State: {project}", sections)
    return {"project": project, "scope": who.scope, "state_path": turn.path(file)} | answer


def handoff(turn: Turn, asked: Namespace) -> Fields:
    """What the next session must know, and do first."""
    project, who = _who(turn, asked)
    said: Fields = {
        "summary": asked.summary, "next_actions": csv(asked.next_actions), "risks": csv(asked.risks),
        "open_questions": csv(asked.open_questions), "project": project,
    }  # fmt: skip
    sections: Sections = [
        ("Updated At", [turn.ts]), ("Last Session Summary", [asked.summary.strip()]),
        ("Next Session First Action", said["next_actions"]), ("Open Risks", said["risks"]),
        ("Open Questions", said["open_questions"]),
    ]  # fmt: skip
    file = tree.resume(project)
    answer = _tell(turn, who, "memory.handoff", said, file, f"Project Resume: {project}", sections)
    return {"project": project, "resume_path": turn.path(file)} | answer


def attach(turn: Turn, asked: Namespace) -> Fields:
    """What a new session reads first: resume, state, and what is decided and promised."""
    project = slug(asked.project)
    scope = asked.scope or f"project:{project}"
    turn.refuse_damage("views/")
    text, decided, promised = written(turn, project, scope, asked.top_decisions, asked.top_commitments)
    return {
        "project": project, "scope": scope, "attach_path": turn.path(tree.capsule(project)),
        "decision_count": decided, "commitment_count": promised, "capsule": text,
    }  # fmt: skip


def written(turn: Turn, project: str, scope: str, decisions: int, commitments: int) -> tuple[str, int, int]:
    """Plan a capsule; answers its text and how many decisions and commitments it lists."""
    decided = turn.index.rows(_ACTIVE, "decision", slug(scope), project, max(0, decisions))
    promised = turn.index.rows(_ACTIVE, "commitment", slug(scope), project, max(0, commitments))
    lines = [
        f"# Attach Capsule: {project}", "", f"- Generated at: {turn.ts}", f"- Scope: {scope}", "",
        "## Resume", turn.text(tree.resume(project)).strip() or "- No resume available.", "",
        "## State", turn.text(tree.state(project)).strip() or "- No state available.", "",
        "## Active Decisions", *_listed((f"- {id_}: {_flat(text)}", hide) for id_, text, _, hide in decided), "",
        "## Active Commitments",
        *_listed((f"- {id_} ({due or 'no due date'}): {_flat(text)}", hide) for id_, text, due, hide in promised),
    ]  # fmt: skip
    text = "\n".join(lines) + "\n"
    turn.replace(tree.capsule(project), text)
    return text, len(decided), len(promised)


def _listed(lines: Iterable[tuple[str, bool]]) -> list[str]:
    """Private lines stand in a block of their own, so that whoever carries the page sees that it has some."""
    found = list(lines)
    shown = [line for line, hidden in found if not hidden]
    private = [line for line, hidden in found if hidden]
    return [*shown, *([OPEN, *private, CLOSE] if private else [])] or ["- None"]


def _who(turn: Turn, asked: Namespace) -> tuple[str, Who]:
    project = slug(asked.project)
    instance = slug(asked.instance_id or NOBODY)
    scope = asked.scope or f"project:{project}"
    return project, Who(scope, project, instance, asked.run_id or turn.new_id("run"), asked.visibility, instance)


def _tell(turn: Turn, who: Who, type_: str, said: Fields, file: str, title: str, sections: Sections) -> Fields:
    """Plan the event and the page that says the same."""
    who = _as_private_as(turn, who, said)
    event = turn.event(type_, who, said)
    turn.append(tree.stream(who.scope, who.instance, turn.ts), event)
    turn.replace(file, _page(title, sections, who))
    return {"event_id": event["event_id"], "visibility": who.visibility}


def _as_private_as(turn: Turn, who: Who, said: Fields) -> Who:
    """A page that names a private object, or repeats what one says, is private as a whole."""
    words = [word for value in said.values() for word in (value if isinstance(value, list) else [value])]
    text = "\n".join(words)
    private = is_private(who.visibility, (), text) or turn.names_private(words) or turn.quotes_private(text)
    return who._replace(visibility=PRIVATE) if private else who


def _page(title: str, sections: Sections, who: Who) -> str:
    lines = []
    for heading, items in sections:
        lines += [f"## {heading}", *([f"- {_flat(item)}" for item in items] or ["-"]), ""]
    lines += ["## Source", f"- instance: {who.instance}", f"- run: {who.run}"]
    if who.visibility == PRIVATE:
        lines = [OPEN, *lines, CLOSE]
    return "\n".join([f"# {title}", "", *lines]) + "\n"


def _flat(text: str) -> str:
    """On one line, and without marks of its own: a block must not be ended from inside."""
    return " ".join(text.split()).replace("</private", "< /private")
