"""What would become of a file or a text under the rules as they are now: nothing is stored and nothing is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from memferry.agent.files.tree import Tree, tree_of
from memferry.agent.intake.judging import Judging, kind_of, personal_of
from memferry.agent.recovery import identity
from memferry.config import Config, Space
from memferry.config.node import nearest
from memferry.errors import ConfigError
from memferry.formats.base import Whole
from memferry.formats.files import FORMAT as BY_SUFFIX
from memferry.keys import Fingerprinter
from memferry.model import Record, Source
from memferry.policies.base import Held, Kept, NothingHeld
from memferry.policies.chain import judge
from memferry.policies.contents import contents_of
from memferry.policies.desk import masked
from memferry.policies.own import Own
from memferry.policies.paths import PathRules
from memferry.policies.rule import BLOCK, Rule

TEXT = "text.md"
"""What a text that lies in no file is taken for: a document."""


class Verdict(NamedTuple):
    """On one record. `at`: its place in the file. `verdict`: leaves, redacted or held. `findings`: name, what becomes
    of it, and its surroundings, masked."""

    at: int
    verdict: str
    rule: str
    reason: str
    findings: Sequence[tuple[str, str, str]]


def test(config: Config, target: str, space: str | None) -> list[Verdict]:
    """`target`: a file, or else the text itself. `space`: in which it is judged, by default where it lies. What it may
    repeat or name of what is held here is not looked at."""
    judging = judging_of(config)
    path = Path(target).expanduser()
    is_file = len(target) < 4096 and "\n" not in target and path.is_file()
    tree, file = _place(config, path.resolve() if is_file else None, space)
    excluded = tree.rules.verdict(file) if is_file else None
    if excluded is not None:
        return [Verdict(0, "held", excluded.rule, excluded.reason, ())]
    records = _parsed(tree, file, path.read_bytes() if is_file else target.encode())
    desk, fingerprint = judging.desk(tree), Fingerprinter(bytes(32))
    verdicts = judge(records, NothingHeld(), fingerprint, desk=desk)
    found = desk.find(records)
    return [
        _verdict(record, one, [(f.name, desk.does(record, contents_of(record), f)[0], masked(f)) for f in some])
        for record, one, some in zip(records, verdicts, found, strict=True)
    ]


def judging_of(config: Config) -> Judging:
    """With what was decided on this machine, if anything was."""
    there = (config.state / identity.SECRET_FILE).exists()
    secret = identity.secret(config.state) if there else bytes(32)
    return Judging(config.policy, config.state, secret, personal_of(config))


def lint(config: Config) -> list[str]:
    """What is doubtful about the rules. Raises ConfigError for what is wrong."""
    rules = list(judging_of(config).rules)
    return [warning for number, rule in enumerate(rules) for warning in _doubts(rule, rules[:number], config)]


def _doubts(rule: Rule, before: Sequence[Rule], config: Config) -> Iterator[str]:
    at = f"{rule.place}: rule {rule.name}"
    for other in before:
        if rule.finding and other.finding and _asks_no_more(other, rule):
            yield f"{at}: rule {other.name} decides before it, always"
    if rule.do == "allow" and set(rule.finding) & {"*", "secrets.*"} and not any((rule.path, rule.type, rule.text)):
        yield f"{at}: lets go everything that the scanner finds"
    names = [space.name for space in config.spaces]
    for name in rule.space:
        if names and not set("*?[") & set(name) and name not in names:
            yield f"{at}: there is no space {name!r} here; {nearest(name, names)}"
    if BLOCK in rule.finding and rule.format and "document" not in rule.format:
        yield f"{at}: only documents can be redacted of their <private> blocks; others stay held"


def _asks_no_more(one: Rule, other: Rule) -> bool:
    """Whether `one` matches wherever `other` does."""
    conditions = [name for name in Rule._fields if name not in ("name", "do", "reason", "place")]
    return all(not getattr(one, name) or getattr(one, name) == getattr(other, name) for name in conditions)


def _place(config: Config, path: Path | None, space: str | None) -> tuple[Tree, str]:
    spaces = {one.name: one for one in config.spaces}
    if space is not None and space not in spaces:
        raise ConfigError(f"there is no space {space}", hint=nearest(space, list(spaces)))
    for one in config.spaces:
        root = one.path.resolve()
        if path is not None and space in (None, one.name) and path.is_relative_to(root):
            return tree_of(one, Own(config.own)), path.relative_to(root).as_posix()
    name = space or next(iter(spaces), "test")
    nowhere = Space(name, Path(os.curdir))
    return Tree(nowhere.name, nowhere.path, BY_SUFFIX, PathRules()), path.name if path else TEXT


def _parsed(tree: Tree, file: str, content: bytes) -> Sequence[Record]:
    kind = kind_of(tree, file)
    if kind is None:
        raise ConfigError(f"{file} is not carried by the format {tree.format.name}", hint="see docs/configuration.md")
    source = Source(tree.name, file, kind.format, kind.derived)
    if not isinstance(kind.reader, Whole):
        return kind.reader.parse(source, content if content.endswith(b"\n") else content + b"\n", 0)
    snapshot = kind.reader.parse(source, content)
    if snapshot is None:
        raise ConfigError(f"{file} does not parse", hint="repair it; such a file is not read")
    return snapshot.records


def _verdict(record: Record, one: Kept | Held, findings: Sequence[tuple[str, str, str]]) -> Verdict:
    if isinstance(one, Held):
        return Verdict(record.start, "held", one.verdict.rule, one.verdict.reason, findings)
    return Verdict(record.start, "redacted" if one.record.redacted else "leaves", "", "", findings)
