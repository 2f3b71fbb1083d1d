"""recall."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from memferry.agent import doorbell
from memferry.agent.index.lag import Lag, lag, machine_names, space_names
from memferry.agent.lock import holder
from memferry.cli.command import Answer, Command, ask, configured_quickly, is_configured, number_from
from memferry.cli.output import safe
from memferry.cli.times import since, until
from memferry.config import TIERS, Config
from memferry.errors import ConfigError, IndexBroken, StateError, StateLocked
from memferry.recall.local import parts, searcher
from memferry.recall.lookup import Filters
from memferry.recall.search import Answers, Hit, Wanted

SOON = 20_000
"""So many operations the service takes in while somebody waits for an answer; a second, about."""

SHOWN = 10

NEED_THE_INDEX = ("machine", "tier", "rebuild", "embed", "explain")

A_MOMENT_S = 2.0
"""So long whoever asks waits for a service that is at other work to take it in, or to start what answers."""


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument(
        "query",
        metavar="QUERY",
        nargs="*",
        help="what to look for, in your own words; without it: an overview of topics",
    )
    parser.add_argument("--topic", metavar="TOPIC", help="the entries of this topic, best first")
    parser.add_argument(
        "--limit", metavar="N", type=number_from(1), help=f"show at most N answers (default {SHOWN}; all topics)"
    )
    parser.add_argument("--space", metavar="NAME", help="only from this space")
    parser.add_argument("--machine", metavar="NAME", help="only what this machine has")
    parser.add_argument("--type", metavar="TYPE", help="only records of this type, e.g. decision")
    parser.add_argument("--tag", metavar="TAG", help="only records with this tag")
    parser.add_argument("--scope", metavar="SCOPE", help="only with this scope, e.g. project:atlas")
    parser.add_argument("--sensitivity", metavar="LEVEL", help="only records with this label, e.g. internal")
    parser.add_argument("--since", metavar="TIME", help="only since then (UTC): 2026-11-01, 12h, 7d or 2w")
    parser.add_argument("--until", metavar="TIME", help="only until then; a date includes its whole day")
    parser.add_argument(
        "--tier", metavar="TIER", choices=TIERS, help="use core, semantic or model instead of what is configured"
    )
    parser.add_argument("--shareable", action="store_true", help="only what may be passed on: leave out what is held")
    parser.add_argument("--explain", action="store_true", help="show what each score is made of")
    parser.add_argument("--rebuild", action="store_true", help="rebuild the index first")
    parser.add_argument("--embed", action="store_true", help="make all vectors first")


def _recall(arguments: Namespace) -> Answer:
    if (answer := _of_topics(arguments)) is not None:
        return answer
    settings = configured_quickly(arguments)
    _require_space(settings, arguments.space)
    ready = _bring_up_to_date(arguments, settings)
    _tell(ready.notices)
    if not arguments.query and (arguments.rebuild or arguments.embed):
        done = "every record has its vectors" if arguments.embed else "the index is made again"
        return Answer({"rebuilt": arguments.rebuild, "embedded": arguments.embed}, [done])
    names = machine_names(settings.state)
    found = _answers(
        arguments, settings, Wanted(" ".join(arguments.query), arguments.limit or SHOWN, _filters(arguments, names))
    )
    _tell(found.notices)
    if arguments.shareable and not ready.read:
        found = _looked_at_again(settings, found)
    hits = [_named(hit, names) for hit in found.hits]
    return Answer(hits, _found(hits, explain=arguments.explain))


def _tell(notices: Iterable[str]) -> None:
    for notice in notices:
        sys.stderr.write(safe(f"memferry: {notice}") + "\n")


def _answers(arguments: Namespace, settings: Config, wanted: Wanted) -> Answers:
    """Of the process that has the index open, else by reading it here; then a service makes one ready for the next."""
    if _service_runs(settings.state):
        from memferry.recall import asking

        ask_it = partial(asking.ask, settings, wanted, shareable=arguments.shareable, tier=arguments.tier)
        found = ask_it()
        if found is None:
            doorbell.leave(settings.state, "answering")
            found = (
                ask_it() if _needs_a_model(arguments, settings) and _is_there(settings.state / asking.NOTE) else None
            )
        if found is not None:
            return found
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads wait for each other by spinning
    with contextlib.closing(searcher(settings, shareable=arguments.shareable, tier=arguments.tier)) as asked:
        return asked.search(wanted)


def _looked_at_again(settings: Config, found: Answers) -> Answers:
    """Without what its file may not let leave any more, if that was not read meanwhile: memferry is at other work."""
    from memferry.agent.index.leaving import leaving

    hits = leaving(settings, found.hits)
    if len(hits) < len(found.hits):
        _tell(["answers were left out: their files cannot be read, or were changed and not read yet"])
    return found._replace(hits=hits)


def _needs_a_model(arguments: Namespace, settings: Config) -> bool:
    """It takes long to load: better in the process that stays than in this one, and then again there."""
    if (arguments.tier or settings.recall.tier) not in ("best", "model"):
        return False
    from memferry.recall.embed.tier import has_vectors

    return has_vectors(settings, parts(settings.state, shareable=arguments.shareable))


def _is_there(path: Path) -> bool:
    """In a moment, if not yet."""
    end = time.monotonic() + A_MOMENT_S
    while not (found := path.exists()) and time.monotonic() < end:
        time.sleep(doorbell.POLL_S)
    return found


class Ready(NamedTuple):
    """`notices`: what could not be done. `read`: the files were read as they were a moment ago, all of them."""

    notices: Sequence[str] = ()
    read: bool = False


def _bring_up_to_date(arguments: Namespace, settings: Config) -> Ready:
    """What was read and pulled since goes into the index first. What is to be passed on waits for it where something
    was withdrawn since, for the index has it still; and before that the files are read, as far as they changed."""
    if arguments.embed and _service_runs(settings.state):
        return Ready(["the service makes vectors by itself, beside its other work"])
    if arguments.rebuild or arguments.embed:
        embed = {"embed": None} if arguments.embed else {}
        done = ask(arguments, "index", {"rebuild": arguments.rebuild, "fresh": arguments.shareable} | embed)
        return _ready(arguments, done, lag(settings.state))
    due = lag(settings.state)
    must = arguments.shareable and due.may_tell_what_is_withdrawn
    if due.own > SOON and not arguments.shareable and _service_runs(settings.state):
        return Ready([f"up to {due.own:,} records are not in the index yet; the service is indexing them"])
    try:
        if due or arguments.shareable:
            done = ask(arguments, "index", {"fresh": arguments.shareable}, patience_s=A_MOMENT_S)
            due = lag(settings.state) if due.unread else due
            return _ready(arguments, done, due)
    except StateLocked:
        if must:
            raise
        return Ready([f"memferry is busy; up to {due.own:,} records are not in the index yet"] if due.own else [])
    except (StateError, IndexBroken) as error:  # a full disk, say: what is in the index answers
        if must:
            raise
        return Ready([f"{error}; {error.hint}"])
    return Ready(_left_out(due))


def _ready(arguments: Namespace, done: Mapping[str, Any], due: Lag) -> Ready:
    """After the service, or this process, has done it."""
    halted = done.get("halted", ())
    return Ready([*halted, *_left_out(due)], read=arguments.shareable and not halted)


def _left_out(due: Lag) -> list[str]:
    """What was pulled and is not in the index, because nobody can read it now."""
    if not due.unread:
        return []
    names = ", ".join(due.unread)
    return [f"what was pulled from {names} is not all in the index: `memferry pull` reads it again, once it can"]


def _service_runs(state: Path) -> bool:
    held = holder(state)
    return held is not None and held.purpose == doorbell.SERVICE


def _require_space(settings: Config, name: str | None) -> None:
    """Raises ConfigError for one that is not configured, and never was."""
    known = [space.name for space in settings.spaces]
    if name is None or name in known:
        return
    known += sorted(space_names(settings.state) - {*known})
    if name not in known:
        from memferry.config.node import nearest

        raise ConfigError(f"there is no space {name}", hint=nearest(name, known))


def _filters(arguments: Namespace, names: Mapping[str, str]) -> Filters:
    machine = arguments.machine
    if machine is not None:
        known = {name: id_ for id_, name in names.items()} | {id_: id_ for id_ in names}
        if machine not in known:
            raise ConfigError(f"there is no machine {machine!r}", hint=f"known: {', '.join(sorted(names.values()))}")
        machine = known[machine]
    return Filters(
        arguments.space, machine, arguments.type, arguments.tag, arguments.scope, arguments.sensitivity,
        arguments.since and since(arguments.since), arguments.until and until(arguments.until),
    )  # fmt: skip


def _of_topics(arguments: Namespace) -> Answer | None:
    """What needs no index: all topics, one of them, or a query where nothing is configured."""
    asks_the_index = arguments.rebuild or arguments.embed or (arguments.query and is_configured(arguments))
    if asks_the_index and arguments.topic is None:
        return None
    _refuse_what_needs_the_index(arguments)
    from memferry.cli import topics

    filters = _filters(arguments, {})
    if arguments.topic is None and arguments.query:
        hits = topics.hits(arguments, filters, arguments.limit or SHOWN)
        return Answer(hits, _found(hits, explain=arguments.explain))
    return topics.answer(arguments, filters, SHOWN)


def _refuse_what_needs_the_index(arguments: Namespace) -> None:
    """Rather than pass it over: who gave it would take the answer for another."""
    of_topics = arguments.topic is not None or not arguments.query
    for name in NEED_THE_INDEX:
        if getattr(arguments, name) and (of_topics or name != "explain"):
            if of_topics:
                raise ConfigError(
                    f"--{name} is for a QUERY, not for topics", hint=f"ask for words, or leave out --{name}"
                )
            raise ConfigError(f"--{name} needs an index, and so a configuration", hint="`memferry init` writes one")


def _named(hit: Hit, names: Mapping[str, str]) -> dict[str, Any]:
    """A hit with machines by their names, as JSON has it."""
    return hit._asdict() | {"origins": [names.get(machine, machine) for machine in hit.origins], "tags": list(hit.tags)}


def _found(hits: Sequence[Mapping[str, Any]], *, explain: bool) -> Iterator[str]:
    if not hits:
        yield "nothing found"
    for hit in hits:
        origins = f"from {', '.join(hit['origins'])}" if hit["origins"] else ""
        mark = "held, stays here" if hit["held"] else origins
        where = (hit["space"], hit["file"], hit["type"], (hit["ts"] or "")[:10], hit["key"], mark)
        yield f"{hit['score']:.2f}  {' · '.join(filter(None, where))}"
        yield f"      {hit['snippet']}"
        if explain:
            yield f"      {_explained(hit['why'])}"


def _explained(why: Mapping[str, Any]) -> str:
    """Which list put it where, and the words that did."""
    lists = [
        f"{name} {score:g}" + (f" (no. {why['ranks'][name]})" if name in why["ranks"] else "")
        for name, score in why["scores"].items()
    ]
    words = [f"matched {', '.join(why['matched'])}"] if why["matched"] else []
    before = [f"the record before it: {', '.join(why['matched_before'])}"] if why["matched_before"] else []
    return "; ".join((", ".join(lists), *words, *before))


COMMANDS = {
    "recall": Command(
        "Finds the records that answer a question, best first: this machine's, the other machines', and what\n"
        "is held here. Any of the words may match. The index is brought up to date first. Without a question\n"
        "it lists the topics that agents learned about; with --topic, the entries of one, best first.",
        (
            "memferry recall why did we drop the webhook retry",
            "memferry recall rate limit --type decision --since 30d --json",
            "memferry recall launch --shareable --explain",
            "memferry recall --topic deploy",
        ),
        _describe,
        _recall,
    ),
}
