"""held: what stays at home, and what is to become of it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memferry.cli.command import Answer, Command, ask, number_from
from memferry.cli.output import count, unreached
from memferry.errors import ConfigError

DECIDING = {"allow": "allow", "redact": "redact", "keep": "hold"}
ACTIONS = ("show", *DECIDING)


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action", metavar="show|allow|redact|keep", nargs="?", choices=ACTIONS, help="look closer, or decide"
    )
    parser.add_argument("names", metavar="ID", nargs="*", help="held records, by the ids of the list; or decisions")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why; kept with it, on this machine only")
    parser.add_argument("--rule", metavar="RULE", help="only what this rule holds: `secrets`, `labels.visibility`, ...")
    parser.add_argument("--space", metavar="NAME", help="only in this space")
    parser.add_argument("--all", action="store_true", help="include what you decided to keep")
    parser.add_argument("--decisions", action="store_true", help="list your decisions instead")
    parser.add_argument("--limit", metavar="N", type=number_from(1), default=50, help="show at most N (default 50)")


def _held(arguments: Namespace) -> Answer:
    action, names = arguments.action, arguments.names
    if action is not None and not names:
        raise ConfigError(f"held {action}: which one?", hint="give its id; `memferry held` lists them")
    wanted = {
        name: getattr(arguments, name) for name in ("names", "reason", "rule", "space", "all", "decisions", "limit")
    }
    report = ask(arguments, "held", wanted | {"do": DECIDING.get(action or "")})
    if action in DECIDING:
        return Answer(report, _decided(report), report["exit_code"])
    if arguments.decisions:
        return Answer(report, _decisions(report["decisions"]))
    return Answer(report, _shown(report))


def _shown(report: Mapping[str, Any]) -> Iterator[str]:
    if not report["held"]:
        yield "nothing is held"
    by_rule: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for one in report["held"]:
        by_rule[one["rule"], one["reason"]].append(one)
    for (rule, reason), some in by_rule.items():
        yield f"{rule}: {reason}"
        for one in some:
            yield from _one(one)
    if report["total"] > len(report["held"]):
        yield f"... and {report['total'] - len(report['held']):,} more: --limit, --rule, --space"


def _one(one: Mapping[str, Any]) -> Iterator[str]:
    where = f"{one['space']}/{one['file']}" + (f", line {one['line']:,}" if one["line"] else "")
    yield f"  {one['name']}  {where}"
    for found in one["findings"]:
        yield f"      {found['finding']} ({found['does']}): {found['text']}"
    if one["way_out"]:
        yield f"      {one['way_out']}"


def _decided(report: Mapping[str, Any]) -> Iterator[str]:
    if report["decided"] or not report["let_go"]:
        yield f"decided about {count(len(report['decided']), 'finding')}"
    if report["let_go"]:
        yield f"let go of {count(report['let_go'], 'record')} that stood nowhere any more"
    yield f"{count(report['stored'], 'record')} may leave now, {count(report['withdrawn'], 'record')} taken back"
    yield from unreached(report["backends"], "the next sync that reaches it does the same there")


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not decisions:
        yield "no decisions yet"
    for one in decisions:
        said = {do: word for word, do in DECIDING.items()}[one["do"]]
        yield f"{one['name']}  {one['at']}  {said}  {one['space']}: {one['finding']}  {one['reason']}".rstrip()


COMMANDS = {
    "held": Command(
        "Lists what stays at home, by rule, with what was found in it, masked. `allow` lets the record leave,\n"
        "`redact` lets it leave without what was found, `keep` holds it for good and no longer lists it. A\n"
        "decision applies to this secret anywhere in the space, and can be changed by its id (`--decisions`).\n"
        "`allow` also lets go of a record that is not in its file any more, and of what was held for repeating it.",
        (
            "memferry held",
            "memferry held show 3fa91c",
            'memferry held allow 3fa91c --reason "an example key of the vendor\'s manual"',
            "memferry held redact 3fa91c",
            "memferry held --decisions",
        ),
        _describe,
        _held,
    ),
}
