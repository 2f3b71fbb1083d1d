"""learn: the one command that an agent needs, so it answers like a shell command and imports only what it uses."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memferry.cli import piped
from memferry.cli.command import Answer, Command, configured_quickly, is_configured

if TYPE_CHECKING:
    from memferry.config import Config
    from memferry.memory.where import Home

KINDS = ("fact", "lesson", "decision", "reflection")
SENSITIVITIES = ("internal", "private")
NOT_CARRIED = "no configured space holds this folder, so it stays on this computer; `memferry init` finds it"


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument("--topic", metavar="TOPIC", required=True, help="what it is about; names the file")
    parser.add_argument("--content", metavar="TEXT", required=True, help="what was learned; - reads standard input")
    parser.add_argument(
        "--type", metavar="TYPE", choices=KINDS, default=KINDS[0], help=f"{', '.join(KINDS)} (default fact)"
    )
    parser.add_argument("--importance", metavar="N", type=_share, default=0.7, help="0 to 1 (default 0.7)")
    parser.add_argument("--confidence", metavar="N", type=_share, default=0.8, help="0 to 1 (default 0.8)")
    parser.add_argument("--tag", dest="tags", metavar="TAG", action="append", default=[], help="repeatable")
    parser.add_argument(
        "--sensitivity", metavar="LABEL", choices=SENSITIVITIES, default=SENSITIVITIES[0],
        help="internal (default), or private: never leaves this machine",
    )  # fmt: skip
    parser.add_argument("--source", metavar="TEXT", default="learn", help="where it comes from")
    parser.add_argument("--agent", metavar="NAME", default="agent", help="who learned it")
    add_space(parser)


def add_space(parser: ArgumentParser) -> None:
    parser.add_argument("--space", metavar="NAME", help="in this space (default: see docs/entries.md)")


def _share(text: str) -> float:
    """A number from 0 to 1, as argparse wants it."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError
    return number


_share.__name__ = "number from 0 to 1"


def _learn(arguments: Namespace) -> Answer:
    from memferry.memory import drafts, entries, locks, names

    content = piped.text() if arguments.content == "-" else arguments.content
    names.check(arguments.topic)
    where = home(arguments)
    draft = drafts.Draft(
        content, arguments.type, arguments.importance, arguments.confidence, arguments.sensitivity,
        tuple(arguments.tags), arguments.source, arguments.agent,
    )  # fmt: skip
    draft, notice = drafts.careful(draft)
    entry = drafts.entry_of(draft, time.time(), os.urandom(6))
    topic = entries.Topic(where.folder, names.file_of(where.folder, arguments.topic))
    entries.add(topic, entry)
    if os.path.exists(topic.folder / locks.FOLDER / "access"):  # something was recalled here once
        from memferry.memory import access

        access.publish(topic.folder)
    document = {
        "id": entry["id"],
        "space": where.space,
        "topic": topic.name,
        "file": str(topic.path),
        "type": entry["type"],
        "importance": entry["importance"],
        "sensitivity": entry["sensitivity"],
        "notices": [*filter(None, (notice, None if where.space else NOT_CARRIED))],
    }
    return Answer(document, _lines(document))


def home(arguments: Namespace) -> Home:
    """The folder of topics that the arguments, the configuration and the working directory name."""
    from memferry.memory.where import home

    return home(configured(arguments), Path.cwd(), arguments.space)


def configured(arguments: Namespace) -> Config | None:
    """The settings; None where nobody named a configuration and there is none: learning needs no setting up."""
    return configured_quickly(arguments) if is_configured(arguments) else None


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    private = " (private)" if document["sensitivity"] == "private" else ""
    yield f"learned {document['id']} in {document['file']}{private}"
    for notice in document["notices"]:
        yield f"  {notice}"


COMMANDS = {
    "learn": Command(
        "Keeps what an agent learned, durably, as an entry of a topic. Any number of agents may learn at\n"
        "once. It needs no configuration: where no space takes entries, they go to the folder `spark-memory`\n"
        "of the project.",
        (
            "memferry learn --topic deploy --content 'Run migrations before the first ferry leaves.' --type lesson",
            "memferry learn --topic people --content 'Ada prefers short reviews.' --sensitivity private --json",
            "memferry learn --topic releases --content - --tag release --importance 0.4",
        ),
        _describe,
        _learn,
    )
}
