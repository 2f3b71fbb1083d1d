"""Rules as YAML: `rules` in the configuration, or a file of their own. Strict, since a rule that is not understood
might be the one that keeps something at home."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from memferry.config import yamltext
from memferry.config.node import Node
from memferry.errors import ConfigError
from memferry.policies.rule import BLOCK, CONDITIONS, DOS, Rule

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def read(path: Path) -> tuple[Rule, ...]:
    """A file that holds a list of rules, or `rules:` with one. ConfigError, with the line, where it cannot be used."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        hint = "nothing is sent until it can be read, or `policy.rules_file` is removed"
        raise ConfigError(f"the rules in {path} cannot be read: {why}", hint=hint) from error
    document = yamltext.parse(text, str(path))
    root = Node(document.value, "", document.lines, path)
    if isinstance(document.value, dict):
        fields = root.fields("rules", required=("rules",))
        return rules(fields["rules"])
    return rules(root)


def rules(node: Node) -> tuple[Rule, ...]:
    """A list of rules, in order, each under a name of its own."""
    found = [_rule(item) for item in node.items()]
    names = [rule.name for rule in found]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise node.items()[number].error(f"the name {name!r} is taken by rule {names.index(name) + 1}")
    return tuple(found)


def _rule(node: Node) -> Rule:
    fields = node.fields("name", "do", "reason", *CONDITIONS, required=("name", "do"))
    name = fields["name"].text()
    if not _NAME.fullmatch(name):
        raise fields["name"].error(f"{name!r} cannot be a name", "use lower-case letters, digits and '-', at most 40")
    conditions = {one: fields[one].one_or_more() for one in CONDITIONS if one in fields}
    do = fields["do"].among(DOS)
    reason = fields["reason"].text() if "reason" in fields else ""
    rule = Rule(name, do, reason, **conditions, place=node.where)  # type: ignore[arg-type]
    for problem, hint in _problems(rule):
        raise node.error(f"rule {name}: {problem}", hint)
    return rule


def _problems(rule: Rule) -> Sequence[tuple[str, str]]:
    """What makes no sense, and what to write instead."""
    found = [(problem, "see docs/rules.md") for problem in map(_label_problem, rule.label) if problem]
    if not any(getattr(rule, condition) for condition in CONDITIONS):
        found.append(("it has no condition, so it would be about everything", f"add one of {', '.join(CONDITIONS)}"))
    if rule.do == "allow" and not rule.finding:
        found.append(("`allow` is only for what the scanner finds", "add `finding:`, for instance `finding: password`"))
    if rule.do == "redact" and not (rule.finding or rule.text):
        found.append(("there is nothing to cut out", "add `text:` or `finding:`, or `do: hold`"))
    if BLOCK in rule.finding and (len(rule.finding) > 1 or rule.text or rule.do == "allow"):
        hint = f"give {BLOCK} a rule of its own, with `do: redact` or `do: hold`"
        found.append((f"a {BLOCK} is a label: it can be held or redacted, never allowed", hint))
    return found


def _label_problem(text: str) -> str | None:
    from memferry.policies.shapes import LABELS

    name = text.partition("=")[0]
    return None if name in LABELS else f"{name!r} is not a label; known: {', '.join(LABELS)}"
