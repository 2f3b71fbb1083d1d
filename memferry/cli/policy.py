"""policy and audit: what would leave, under which rules, and what has left."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memferry.cli.command import Answer, Command, configured, number_from
from memferry.cli.output import count, shares
from memferry.cli.times import since
from memferry.errors import ConfigError

if TYPE_CHECKING:
    from memferry.agent.commands.trial import Verdict

SHOWN = 50


# -- policy


def _describe_policy(parser: ArgumentParser) -> None:
    parser.add_argument("action", metavar="test|lint", choices=["test", "lint"], help="try the rules, or check them")
    parser.add_argument("target", metavar="FILE|TEXT", nargs="?", help="test: a file, or the text itself")
    parser.add_argument("--space", metavar="NAME", help="test: judge it as if it were in this space")


def _policy(arguments: Namespace) -> Answer:
    from memferry.agent.commands import trial

    config = configured(arguments)
    if arguments.action == "lint":
        doubts = trial.lint(config)
        rules = list(trial.judging_of(config).rules)
        good = f"{count(len(rules), 'rule')}, all understood"
        return Answer({"rules": [rule._asdict() for rule in rules], "doubts": doubts}, [*doubts, good])
    if arguments.target is None:
        raise ConfigError("policy test: what?", hint="give a file, or a text in quotes")
    verdicts = trial.test(config, arguments.target, arguments.space)
    return Answer({"verdicts": [one._asdict() for one in verdicts]}, _verdicts(verdicts))


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for one in verdicts:
        why = f" ({one.rule}): {one.reason}" if one.rule else ""
        yield f"at {one.at:,}: {one.verdict}{why}"
        for name, do, text in one.findings:
            yield f"    {name} ({do}): {text}"
    by_verdict: dict[str, int] = {}
    for one in verdicts:
        by_verdict[one.verdict] = by_verdict.get(one.verdict, 0) + 1
    yield f"{count(len(verdicts), 'record')}: {shares(by_verdict)}"


# -- audit


def _describe_audit(parser: ArgumentParser) -> None:
    parser.add_argument("--backend", metavar="NAME", help="only what went to this backend")
    parser.add_argument("--since", metavar="TIME", help="only since then (UTC): 2026-11-01, 12h, 7d or 2w")
    parser.add_argument(
        "--limit", metavar="N", type=number_from(1), default=SHOWN, help=f"the last N lines (default {SHOWN})"
    )


def _audit(arguments: Namespace) -> Answer:
    from memferry.agent.sending import audit

    begin = since(arguments.since) if arguments.since else ""
    lines = [
        line
        for line in audit.read(configured(arguments).state)
        if line["at"] >= begin and arguments.backend in (None, line["backend"])
    ][-arguments.limit :]
    return Answer(lines, map(_line, lines) if lines else ["nothing has left yet"])


def _line(line: Mapping[str, Any]) -> str:
    what = f"operations {line['first']:,} to {line['last']:,}"
    facts = [f"{space}: {number:,}" for space, number in line.get("records", {}).items()]
    facts += [f"withdrawn: {line['retracted']}"] if "retracted" in line else []
    facts += [f"refused: {line['refused']}"] if "refused" in line else []
    shown = f" ({', '.join(facts)})" if facts else ""
    return f"{line['at']}  {line['did']:12}  {line['backend']}  {what}{shown}  rules {line['rules']}"


COMMANDS = {
    "policy": Command(
        "`test` shows every verdict on a file or a text, without storing or sending anything. It does not\n"
        "check whether the text refers to records that are held, or repeats them. `lint` checks the rules.",
        (
            "memferry policy lint",
            "memferry policy test ~/notes/plan.md",
            'memferry policy test "the password is hunter2" --space notes',
        ),
        _describe_policy,
        _policy,
    ),
    "audit": Command(
        "Shows what left this machine: when, where to, how many records of each space, what was withdrawn,\n"
        "and under which version of the rules; never content. The line `sending` is written before the first\n"
        "byte leaves.",
        ("memferry audit", "memferry audit --backend vault --since 7d --json"),
        _describe_audit,
        _audit,
    ),
}
