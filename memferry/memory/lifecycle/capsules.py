"""checkpoint, handoff and attach: texts that carry a session over to the next one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.records import Fields, Who
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import NOBODY, PRIVATE, csv, is_private, slug


class Page(NamedTuple):
    """What a session leaves to the next one: an event, and a page that says the same. `file`: where the page of a
    project lies; `headings`: of the page, by field of the event."""

    event: str
    title: str
    file: Callable[[str], str]
    headings: Mapping[str, str]


STATE = Page("memory.checkpointed", "Project State", tree.state, {
    "now": "Now", "next": "Next", "risks": "Risks", "decision_ids": "Active Decision IDs",
    "commitment_ids": "Active Commitment IDs",
})  # fmt: skip
RESUME = Page("memory.handoff", "Project Resume", tree.resume, {
    "summary": "Last Session Summary", "next_actions": "Next Session First Action", "risks": "Open Risks",
    "open_questions": "Open Questions",
})  # fmt: skip

OPEN, CLOSE = "<private>", "</private>"

_ACTIVE = """select id, summary, due_at, private from objects
             where type = ? and slug = ? and project = ? and active order by ts desc, number desc limit ?"""


def checkpoint(turn: Turn, asked: Namespace) -> Fields:
    """Where the project stands now."""
    said: Fields = {
        "now": asked.now or "-", "next": asked.next or "-", "risks": csv(asked.risks),
        "decision_ids": csv(asked.decisions), "commitment_ids": csv(asked.commitments),
    }  # fmt: skip
    who, told = _tell(turn, asked, STATE, said)
    return {"project": who.project, "scope": who.scope, "state_path": turn.path(STATE.file(who.project))} | told


def handoff(turn: Turn, asked: Namespace) -> Fields:
    """What the next session must know, and do first."""
    said: Fields = {
        "summary": asked.summary, "next_actions": csv(asked.next_actions), "risks": csv(asked.risks),
        "open_questions": csv(asked.open_questions),
    }  # fmt: skip
    who, told = _tell(turn, asked, RESUME, said)
    return {"project": who.project, "resume_path": turn.path(RESUME.file(who.project))} | told


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


def _tell(turn: Turn, asked: Namespace, page: Page, said: Fields) -> tuple[Who, Fields]:
    """Plan the event and the page; whose they are, and what to answer."""
    who = _who(turn, asked)
    said |= {"project": who.project}
    who = _as_private_as(turn, who, said)
    event = turn.event(page.event, who, said)
    turn.append(tree.stream(who.scope, who.instance, turn.ts), event)
    turn.replace(page.file(who.project), _written(page, turn.ts, who, said))
    return who, {"event_id": event["event_id"], "visibility": who.visibility}


def _who(turn: Turn, asked: Namespace) -> Who:
    project = slug(asked.project)
    instance = slug(asked.instance_id or NOBODY)
    scope = asked.scope or f"project:{project}"
    return Who(scope, project, instance, asked.run_id or turn.new_id("run"), asked.visibility, instance)


def _as_private_as(turn: Turn, who: Who, said: Fields) -> Who:
    """A page that names a private object, or repeats what one says, is private as a whole."""
    words = [word for value in said.values() for word in _items(value)]
    text = "\n".join(words)
    private = is_private(who.visibility, (), text) or turn.names_private(words) or turn.quotes_private(text)
    return who._replace(visibility=PRIVATE) if private else who


def _written(page: Page, ts: str, who: Who, said: Fields) -> str:
    lines = ["## Updated At", f"- {ts}", ""]
    for field, heading in page.headings.items():
        lines += [f"## {heading}", *([f"- {_flat(item)}" for item in _items(said[field])] or ["-"]), ""]
    lines += ["## Source", f"- instance: {who.instance}", f"- run: {who.run}"]
    if who.visibility == PRIVATE:
        lines = [OPEN, *lines, CLOSE]
    return "\n".join([f"# {page.title}: {who.project}", "", *lines]) + "\n"


def _items(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _flat(text: str) -> str:
    """On one line, and without marks of its own: a block must not be ended from inside."""
    return " ".join(text.split()).replace("</private", "< /private")
