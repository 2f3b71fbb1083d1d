"""The verbs of `memferry memory` and `memoryctl`: their flags, defaults, examples, and who performs them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from memferry.memory.lifecycle.words import (
    AGENDA_STATUSES,
    HORIZONS,
    LEVELS,
    OBJECT_TYPES,
    VISIBILITIES,
    is_date,
    is_month,
    seconds_of,
)  # fmt: skip
from memferry.values import iso

Flag: TypeAlias = "tuple[str, Mapping[str, Any]]"


class VerbSpec(NamedTuple):
    """One verb. `performers`: module and function by action, "" where it has none; `reads_only`: it writes nothing;
    `in_slices`: it may have so much to do that it lets others in between."""

    summary: str
    examples: tuple[str, ...]
    flags: tuple[Flag, ...]
    performers: Mapping[str, str]
    reads_only: bool = False
    in_slices: bool = False


# -- what a value may be


def text(value: str) -> str:
    """Words that say something."""
    if not value.strip():
        raise ArgumentTypeError("it must not be empty")
    return words(value)


def words(value: str) -> str:
    """What can be written to a file; "" where a caller has nothing to say."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("it is not UTF-8") from None
    return value


def day(value: str) -> str:
    """A day of the calendar; "" for none."""
    if value and not is_date(value):
        raise ArgumentTypeError(f"{value!r} is not a date; write YYYY-MM-DD")
    return value


def month(value: str) -> str:
    """A month."""
    if not is_month(value):
        raise ArgumentTypeError(f"{value!r} is not a month; write YYYY-MM")
    return value


def moment(value: str) -> str:
    """An ISO time, as it stands in a ledger: UTC, to the second."""
    try:
        return iso(seconds_of(value))
    except (ValueError, OverflowError, OSError):
        raise ArgumentTypeError(f"{value!r} is not a time; write 2026-11-21T10:00:00Z") from None


def share(value: str) -> float:
    """A number; what lies outside of 0..1 becomes 0 or 1."""
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if number != number:
        raise ArgumentTypeError(f"{value!r} is not a number from 0 to 1")
    return max(0.0, min(1.0, number))


def whole(value: str) -> int:
    """A count."""
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise ArgumentTypeError(f"{value!r} is not a whole number")
    return int(value)


def positive(value: str) -> int:
    """A count of at least one."""
    number = whole(value)
    if number < 1:
        raise ArgumentTypeError("it must be 1 or more")
    return number


# -- flags


def flag(name: str, help_: str, /, **more: Any) -> Flag:
    """One that takes a value."""
    return name, {
        "type": text if more.get("required") else words,
        "help": help_,
        "metavar": name.strip("-").rpartition("-")[2].upper(),
    } | more


def switch(name: str, help_: str) -> Flag:
    """One that does not."""
    return name, {"action": "store_true", "help": help_}


def choice(name: str, help_: str, words: tuple[str, ...], **more: Any) -> Flag:
    """One of some words."""
    return name, {"choices": words, "help": help_} | more


def action(*names: str) -> Flag:
    """What to do, as the first word behind the verb."""
    return "action", {"choices": names, "help": "what to do"}


DRY_RUN = switch("--dry-run", "show what would be written and write nothing")
SCOPE = flag("--scope", "only this scope")
PROJECT = flag("--project", "of this project", required=True)
INSTANCE = flag("--instance-id", "which instance speaks (instance-unknown)")
RUN = flag("--run-id", "its run (a new one)")
WHO_ELSE = choice("--visibility", "who may see it (project)", VISIBILITIES, default="project")
REVIEW = flag("--review-at", "when to look at it again", type=day, metavar="YYYY-MM-DD")
DUE = flag("--due-at", "when it is due", type=day, metavar="YYYY-MM-DD")
EVIDENCE = flag("--evidence-ref", "a file that proves it, below the root", metavar="PATH")
WHY = flag("--why", "the reason", metavar="TEXT")
KEY = flag("--decision-key", "what is decided: another decision on the same key contradicts it")
TAGS = flag("--tags", "comma-separated", metavar="CSV")
ASSUMPTIONS = flag("--assumptions", "comma-separated", metavar="CSV")
CONFIDENCE = flag("--confidence", "from 0 to 1 (0.7)", type=share, default=0.7, metavar="0..1")
SALIENCE = choice("--salience", "how much it matters (medium)", LEVELS, default="medium")


def _said(horizon: str, of_type: str) -> tuple[Flag, ...]:
    return (
        flag("--scope", "where it belongs: global, or project:NAME", required=True),
        flag("--summary", "what there is to know, in a sentence", required=True, metavar="TEXT"),
        flag("--project", "the project, where the scope does not say it"),
        INSTANCE, RUN, choice(of_type, "what it is (fact)", OBJECT_TYPES, default="fact"),
        choice("--horizon", f"how long it holds ({horizon})", HORIZONS, default=horizon),
        SALIENCE, CONFIDENCE, TAGS, REVIEW, DUE, EVIDENCE, WHY, KEY, WHO_ELSE, DRY_RUN,
    )  # fmt: skip


_INSTANCE = VerbSpec(
    "tell that a session begins, lives or ends",
    ("instance start --instance-id ins-main --scope project:atlas",
     "instance stop --instance-id ins-main --scope project:atlas"),
    (action("start", "heartbeat", "stop"), flag("--instance-id", "which instance", required=True),
     flag("--scope", "where it works (global)"), flag("--project", "on which project"), RUN,
     flag("--note", "anything worth telling", metavar="TEXT"), DRY_RUN),
    {"start": "instances:instance", "heartbeat": "instances:instance", "stop": "instances:instance"},
)  # fmt: skip

VERBS: dict[str, VerbSpec] = {
    "init": VerbSpec(
        "make a tree", ("init", "init --root ~/code/atlas/.memory"),
        (switch("--force", "write the files in _meta/ anew"), DRY_RUN), {"": "starting:init"},
    ),
    "instance": _INSTANCE,
    "sync": _INSTANCE._replace(
        summary="the same as `instance`, as older instructions call it",
        examples=("sync start --instance-id ins-main --scope project:atlas",),
    ),
    "attach": VerbSpec(
        "write and show what a new session reads first", ("attach --project atlas",),
        (PROJECT, flag("--scope", "its scope (project:NAME)"),
         flag("--top-decisions", "how many decisions (5)", type=whole, default=5, metavar="N"),
         flag("--top-commitments", "how many commitments (5)", type=whole, default=5, metavar="N"), DRY_RUN),
        {"": "capsules:attach"},
    ),
    "capture": VerbSpec(
        "note something in the stream of one instance",
        ('capture --scope project:atlas --summary "The importer drops empty rows" --tags importer,data',
         'capture --scope project:atlas --summary "Keys are rotated by hand" --visibility private'),
        (*_said("day", "--proposed-type"), flag("--source", "where it comes from, comma-separated", metavar="CSV"),
         ASSUMPTIONS, flag("--ts", "when it was (now)", type=moment, metavar="TIME")),
        {"": "capturing:capture"},
    ),
    "distill": VerbSpec(
        "make objects of what was captured", ("distill --scope project:atlas",),
        (SCOPE, flag("--instance-id", "only of this instance"),
         flag("--limit", "at most so many (200)", type=whole, default=200, metavar="N"), DRY_RUN),
        {"": "distilling:distill"}, in_slices=True,
    ),
    "publish": VerbSpec(
        "tell all instances",
        ('publish --scope project:atlas --summary "Exports are CSV" --object-type decision --decision-key exports',),
        _said("week", "--object-type"), {"": "capturing:publish"},
    ),
    "reduce": VerbSpec(
        "make objects of what was published; a contradiction opens a conflict",
        ("reduce --scope project:atlas --reindex",),
        (SCOPE, flag("--limit", "at most so many (500)", type=whole, default=500, metavar="N"),
         switch("--reindex", "write the lists in index/ anew"), DRY_RUN),
        {"": "distilling:reduce"}, in_slices=True,
    ),
    "reconcile": VerbSpec(
        "correct an object by one that supersedes it",
        ('reconcile --id dec-20261121021416-0936a662 --summary "Exports are Parquet"',),
        (flag("--id", "the object that is corrected", required=True),
         flag("--summary", "what holds instead", required=True, metavar="TEXT"),
         flag("--confidence", "from 0 to 1 (as before)", type=share, metavar="0..1"),
         choice("--horizon", "how long it holds (as before)", HORIZONS),
         choice("--salience", "how much it matters (as before)", LEVELS),
         TAGS, REVIEW, EVIDENCE, WHY, ASSUMPTIONS, flag("--decision-key", "what is decided (as before)"),
         flag("--resolve-conflict", "the conflict that it settles", metavar="ID"), DRY_RUN),
        {"": "reconciling:reconcile"},
    ),
    "checkpoint": VerbSpec(
        "write down where a project stands",
        ('checkpoint --project atlas --now "Importer rewritten" --next "Measure it" --risks "old dumps"',),
        (PROJECT, flag("--scope", "its scope (project:NAME)"), INSTANCE, RUN,
         flag("--now", "what is being done", metavar="TEXT"), flag("--next", "what comes next", metavar="TEXT"),
         flag("--risks", "comma-separated", metavar="CSV"), flag("--decisions", "ids, comma-separated", metavar="CSV"),
         flag("--commitments", "ids, comma-separated", metavar="CSV"), WHO_ELSE, DRY_RUN),
        {"": "capsules:checkpoint"},
    ),
    "handoff": VerbSpec(
        "end a session so that the next one can go on",
        ('handoff --project atlas --summary "Importer is done" --next-actions "measure it,tell the team"',),
        (PROJECT, flag("--summary", "what was done", required=True, metavar="TEXT"),
         flag("--scope", "its scope (project:NAME)"), INSTANCE, RUN,
         flag("--next-actions", "comma-separated", metavar="CSV"), flag("--risks", "comma-separated", metavar="CSV"),
         flag("--open-questions", "comma-separated", metavar="CSV"), WHO_ELSE, DRY_RUN),
        {"": "capsules:handoff"},
    ),
    "lease": VerbSpec(
        "be the only one who changes something for a while",
        ("lease acquire --instance-id ins-main --scope project:atlas --key export.format", "lease list"),
        (action("acquire", "release", "list"), flag("--instance-id", "who (needed but for `list`)"),
         flag("--scope", "of which scope (global)"), flag("--key", "for what (needed but for `list`)"),
         flag("--ttl-seconds", "for how long (900)", type=whole, default=900, metavar="S"), DRY_RUN),
        {"acquire": "leasing:acquire", "release": "leasing:release", "list": "leasing:leases"},
    ),
    "agenda": VerbSpec(
        "what a project still has to do",
        ('agenda --project atlas --add "Write the release note" --due-at 2026-12-01', "agenda --project atlas --list"),
        (PROJECT, flag("--add", "put this on it", metavar="TEXT", type=text), switch("--list", "show it"),
         flag("--close", "this item is done", metavar="ID"), flag("--update", "change this item", metavar="ID"),
         flag("--summary", "with --update: what it says", metavar="TEXT"),
         choice("--priority", "how urgent it is (medium)", ("high", "medium", "low")), DUE,
         choice("--status", "with --close: how it ended (completed)", AGENDA_STATUSES, default="completed"),
         flag("--status-filter", "with --list: only these", metavar="STATUS"), flag("--owner", "whose it is (agent)"),
         TAGS, WHO_ELSE, DRY_RUN),
        {"add": "agendas:add", "list": "agendas:items", "close": "agendas:close", "update": "agendas:update"},
    ),
    "hygiene": VerbSpec(
        "keep a tree small and its lists fresh; nothing in particular: --reindex",
        ("hygiene --reindex", "hygiene --rotate --max-lines 800 --archive-before 2026-06 --prune"),
        (switch("--reindex", "write the lists in index/ anew"), switch("--rotate", "cut long ledgers into parts"),
         flag("--max-lines", "of how many lines (800)", type=positive, default=800, metavar="N"),
         flag("--archive-before", "compress what is older", type=month, metavar="YYYY-MM"),
         switch("--prune", "with --archive-before: keep only the compressed copy"), DRY_RUN),
        {"": "keeping:hygiene"},
    ),
    "validate": VerbSpec(
        "check every line of a tree", ("validate --strict",),
        (switch("--strict", "a warning counts as an error"),), {"": "starting:validate"}, reads_only=True,
    ),
    "diagnose": VerbSpec(
        "say how healthy a memory is, and what to do", ("diagnose", "diagnose --scope project:atlas --dry-run"),
        (SCOPE, flag("--project", "only of this project"),
         flag("--stale-seconds", "after how long an instance counts as lost (1800)", type=whole, default=1800,
              metavar="S"), DRY_RUN),
        {"": "diagnosing:diagnose"},
    ),
    "optimize": VerbSpec(
        "plan for what diagnose found; do what is safe", ("optimize --execute",),
        (flag("--max-actions", "at most so many (5)", type=whole, default=5, metavar="N"),
         switch("--execute", "do what is safe: lists, old leases, missing capsules"), DRY_RUN),
        {"": "optimizing:optimize"},
    ),
    "stats": VerbSpec("how much there is", ("stats",), (SCOPE,), {"": "counting:stats"}, reads_only=True),
}  # fmt: skip
