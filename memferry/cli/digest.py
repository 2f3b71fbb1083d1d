"""digest and undo."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memferry.cli.command import Answer, Command, add_dry_run, number_from
from memferry.cli.learn import add_space, configured
from memferry.cli.output import count, rows
from memferry.cli.topics import home_with, homes_of
from memferry.config import Recall
from memferry.errors import ConfigError
from memferry.memory import digest, meaning, names, undo
from memferry.memory.digest import Digest
from memferry.memory.meaning import Means
from memferry.memory.undo import Undone
from memferry.memory.where import Home

EXCERPT = 60
_DONE = ("merged", "faded", "left")


def _describe_digest(parser: ArgumentParser) -> None:
    parser.add_argument("--topic", metavar="TOPIC", required=True, help="which topic")
    parser.add_argument(
        "--max", metavar="N", type=number_from(2), default=20, help="merge at most N into one (default 20)"
    )
    add_dry_run(parser)
    add_space(parser)


def _digest(arguments: Namespace) -> Answer:
    kept, path = _found(arguments)
    settings = configured(arguments)
    means = meaning.means_of(settings.recall if settings else Recall())
    made = digest.carry_out(path, time.time(), arguments.max, dry_run=arguments.dry_run, related=means.related)
    document = _document(arguments, kept, path) | _digested(made) | _compared(meaning.told(means))
    return Answer(document, _digest_lines(document))


def _found(arguments: Namespace) -> tuple[Home, Path]:
    """The topic's file. Raises ConfigError where there is none."""
    kept = home_with(arguments)
    path = kept.folder / names.file_of(kept.folder, arguments.topic)
    if not path.exists():
        raise ConfigError(
            f"there is no topic {arguments.topic!r} in {kept.folder}", hint="`memferry recall` lists them"
        )
    return kept, path


def _document(arguments: Namespace, kept: Home, path: Path) -> dict[str, Any]:
    return {"topic": path.stem, "space": kept.space, "file": str(path), "dry_run": arguments.dry_run}


def _digested(made: Digest) -> dict[str, Any]:
    return {
        "merged": [{**one.entry, "parts": [part.key for part in one.parts]} for one in made.merges],
        "faded": [one.fields for one in made.faded],
        "kept": made.kept,
    }


def _compared(means: Means) -> dict[str, Any]:
    return {"compared_by": list(means.names), "notices": [means.notice] if means.notice else []}


def _digest_lines(document: Mapping[str, Any]) -> Iterator[str]:
    merged, faded = document["merged"], document["faded"]
    merge, fade, leave = ("would be merged", "would fade", "would stay") if document["dry_run"] else _DONE
    parts = sum(len(one["parts"]) for one in merged)
    what = f"{count(parts, 'entry')} {merge} into {len(merged):,}, {len(faded):,} {fade}"
    yield f"{document['topic']}: {what}, {document['kept']:,} {leave} as they are"
    yield from rows(((one["id"], f"of {len(one['parts'])}", _excerpt(one)) for one in merged), "  ") if merged else ()
    yield from rows(((one["id"], "faded", _excerpt(one)) for one in faded), "  ") if faded else ()
    if (merged or faded) and not document["dry_run"]:
        yield f"  take it back with `memferry undo --topic {document['topic']}`"
    yield from (f"  {notice}" for notice in document["notices"])


def _excerpt(entry: Mapping[str, Any]) -> str:
    text = " ".join(entry["content"].split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 3] + "..."


# -- undo


def _describe_undo(parser: ArgumentParser) -> None:
    parser.add_argument("--topic", metavar="TOPIC", help="which topic (default: the one that was digested last)")
    add_dry_run(parser)
    add_space(parser)


def _undo(arguments: Namespace) -> Answer:
    kept, path = _digested_last(arguments) if arguments.topic is None else _found(arguments)
    done = undo.undo(path, dry_run=arguments.dry_run)
    document = _document(arguments, kept, path) | done._asdict()
    return Answer(document, _undo_lines(path.stem, done, arguments.dry_run))


def _digested_last(arguments: Namespace) -> tuple[Home, Path]:
    found = [(kept, path) for kept in homes_of(arguments) if (path := undo.latest(kept.folder)) is not None]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError("no digest was made here that could be undone", hint=undo.ELSEWHERE)
    topics = ", ".join(f"--space {kept.space} --topic {path.stem}" for kept, path in found)
    raise ConfigError("several spaces were digested", hint=f"say which: {topics}")


def _undo_lines(topic: str, done: Undone, dry_run: bool) -> Iterator[str]:
    would = "would be " if dry_run else ""
    what = f"{count(len(done.restored), 'entry')} {would}back, {len(done.removed):,} {would}taken out again"
    yield f"{topic}: {what} (digest of {done.at})"
    for one in done.left:
        yield f"  {one} stays: it was changed or digested since"


COMMANDS = {
    "digest": Command(
        "Condenses a topic: facts and reflections that say the same are merged into one entry, which names\n"
        "them, and those that nobody recalled for 30 days are dropped. Decisions and lessons stay; entries\n"
        "that are private are merged only with each other. `memferry undo` takes it all back.",
        ("memferry digest --topic deploy --dry-run", "memferry digest --topic deploy --max 10 --json"),
        _describe_digest,
        _digest,
    ),
    "undo": Command(
        "Undoes the last digest, on the machine that made it; called again, the one before that.",
        ("memferry undo", "memferry undo --topic deploy", "memferry undo --topic deploy --dry-run --json"),
        _describe_undo,
        _undo,
    ),
}
