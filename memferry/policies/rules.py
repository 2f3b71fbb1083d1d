"""The user's own rules: hold, redact or allow, by where a record lies, what it is, what stands in it, what was found.

A rule without `finding` is about whole records, and can only hold them or, with `text`, cut stretches out. One with
`finding` decides about what the scanner found in them. For each finding the first rule that matches decides; without
one it holds the record. No rule can let go what a label, lineage or overlap holds: these are never asked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import translate
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from memferry.errors import ConfigError
from memferry.model import Hold, Record, Source
from memferry.policies.contents import Contents
from memferry.policies.rule import BLOCK, SECRETS, Rule
from memferry.policies.strings import strings_around, strings_of

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MOST_STARS = 3
"""In one name of a path pattern: with more, matching a long name could take minutes."""
_REMEMBERED = 4096


class Match(Protocol):
    """What RE2 and `re` have in common."""

    def span(self) -> tuple[int, int]: ...


class Pattern(Protocol):
    """A compiled regular expression that takes time in proportion to the text."""

    pattern: str

    def search(self, text: str) -> Match | None: ...
    def finditer(self, text: str) -> Iterator[Match]: ...


class Texts:
    """All strings of a record and of what surrounds it. Most patterns match nowhere, which one look at all of them
    together tells; a pattern that asks where a text begins or ends looks at each."""

    def __init__(self, record: Record) -> None:
        self._record = record

    @cached_property
    def each(self) -> list[str]:
        return [one.value for one in (*strings_of(self._record), *strings_around(self._record))]

    @cached_property
    def _together(self) -> str:
        """Where nothing is escaped, the body says what its strings say: taking it apart costs more than most rules."""
        body = self._record.body
        if b"\\" in body or self._record.around is not None:
            return "\n".join(self.each)
        return body.decode("utf-8", "replace")

    def have(self, pattern: Pattern) -> bool:
        """Whether it matches in one of them."""
        if not _EDGES.search(pattern.pattern) and pattern.search(self._together) is None:
            return False
        return any(pattern.search(text) is not None for text in self.each)


_EDGES = re.compile(r"[$^]|\\[Az]")


class Rules:
    """Compiled rules, in order. Raises ConfigError, with file and line, for a pattern that is none, or that could take
    more than linear time."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = [_Ready(rule) for rule in rules]
        self._about_records = [one for one in self._rules if not one.rule.finding]
        self._about_findings = [one for one in self._rules if one.rule.finding]
        self.version = _version(rules)
        """The same for rules that decide alike."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return (one.rule for one in self._rules)

    def judge(self, record: Record, contents: Contents) -> Hold | None:
        """The first rule that holds the record as a whole; a policy as `chain` knows them."""
        texts = Texts(record)
        for one in self._about_records:
            if one.rule.do == "hold" and one.is_about(record, contents) and one.reads(texts):
                return one.hold
        return None

    def decide(self, record: Record, contents: Contents, finding: str, text: str) -> Rule | None:
        """The first rule about such a finding in such a record. `text`: what was found."""
        for one in self._about_findings:
            if one.names(finding) and one.is_about(record, contents) and one.finds(text):
                return one.rule
        return None

    def tell_apart(self, one: str, other: str) -> bool:
        """Whether a rule is about one of two files and not about the other."""
        return any(ready.is_for(one) != ready.is_for(other) for ready in self._rules)

    def cuts(self, record: Record, contents: Contents) -> Sequence[Pattern]:
        """Regular expressions whose matches are to be cut out of this record."""
        return [
            pattern
            for one in self._about_records
            if one.rule.do == "redact" and one.is_about(record, contents)
            for pattern in one.patterns
        ]

    @property
    def cut(self) -> bool:
        """Whether there are any."""
        return any(one.rule.do == "redact" for one in self._about_records)

    def cuts_blocks(self, record: Record, contents: Contents) -> bool:
        """Whether `<private>` blocks are to be cut out of this document."""
        for one in self._about_findings:
            if BLOCK in one.rule.finding and one.is_about(record, contents):
                return one.rule.do == "redact"
        return False


class _Ready:
    """One rule, compiled."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.hold = Hold(f"rules.{rule.name}", rule.reason or "a rule of yours says so")
        self.patterns = [_pattern(rule, text) for text in rule.text]
        self._path = _paths(rule)
        self._globs = {name: _globs(getattr(rule, name)) for name in ("space", "format", "type", "tags", "scope")}
        self._finding = _globs(tuple(one for name in rule.finding for one in (name, SECRETS + name) if name != BLOCK))
        self._labels = [_label(text) for text in rule.label]
        self._lies_there = lru_cache(_REMEMBERED)(self._lies)

    def is_about(self, record: Record, contents: Contents) -> bool:
        """Whether the conditions hold that do not look at texts."""
        if not self._lies_there(record.source):
            return False
        if self.rule.type and not self._fits("type", record.type):
            return False
        if self.rule.tags and not any(self._fits("tags", tag) for tag in record.tags):
            return False
        if self.rule.scope and not any(self._fits("scope", one.get("scope")) for one in contents.objects):
            return False
        return not self._labels or any(_has(one, *label) for one in contents.objects for label in self._labels)

    def reads(self, texts: Texts) -> bool:
        """Whether a text of the record matches, if the rule asks for one."""
        return not self.patterns or any(texts.have(pattern) for pattern in self.patterns)

    def finds(self, text: str) -> bool:
        return not self.patterns or any(pattern.search(text) is not None for pattern in self.patterns)

    def names(self, finding: str) -> bool:
        return self._finding is not None and self._finding.match(SECRETS + finding) is not None

    def _lies(self, source: Source) -> bool:
        return (
            (not self.rule.space or self._fits("space", source.space))
            and (not self.rule.format or self._fits("format", source.format))
            and self.is_for(source.file)
        )

    def is_for(self, file: str) -> bool:
        """As far as its path decides that."""
        return self._path is None or bool(self._path.match_file(file))

    def _fits(self, condition: str, value: object) -> bool:
        glob = self._globs[condition]
        return isinstance(value, str) and glob is not None and glob.match(value) is not None


def _has(fields: Mapping[object, object], name: str, value: str | None) -> bool:
    if name not in fields:
        return False
    said = fields[name]
    return value is None or value == (str(said).lower() if isinstance(said, bool) else said)


def _label(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def _globs(names: Sequence[str]) -> re.Pattern[str] | None:
    """Linear in the length of the name: `translate` never looks back behind a star that was passed."""
    return re.compile("|".join(map(translate, names))) if names else None


def _paths(rule: Rule) -> GitIgnoreSpec | None:
    if not rule.path:
        return None
    from pathspec import GitIgnoreSpec

    for pattern in rule.path:
        if any(part.replace("**", "").count("*") > MOST_STARS for part in pattern.split("/")):
            problem = f"more than {MOST_STARS} stars in one name of a path could take hours"
            raise _refused(rule, problem, "use fewer, or list several patterns")
    try:
        return GitIgnoreSpec.from_lines(rule.path)
    except ValueError as error:
        raise _refused(rule, str(error), "patterns are written as in .gitignore") from error


def _pattern(rule: Rule, text: str) -> Pattern:
    try:
        import re2
    except ImportError as error:
        hint = "pip install --force-reinstall google-re2"
        raise _refused(rule, "`text` needs RE2, which is missing", hint) from error

    options = re2.Options()
    options.log_errors = False
    try:
        pattern: Pattern = re2.compile(text, options=options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace") if error.args else "it cannot be read"
        hint = "regular expressions are those of RE2: no look-around and no back-references"
        raise _refused(rule, why, hint) from error
    if pattern.search("") is not None:
        problem = "the regular expression matches the empty text, so it matches everywhere"
        raise _refused(rule, problem, "say what must stand there: `+` instead of `*`")
    return pattern


def _refused(rule: Rule, problem: str, hint: str) -> ConfigError:
    return ConfigError(f"{rule.place}: rule {rule.name}: {problem}", hint=hint)


def _version(rules: Sequence[Rule]) -> str:
    decisive = [rule._replace(place="", reason="") for rule in rules]
    return blake2b(repr([tuple(rule) for rule in decisive]).encode(), digest_size=8).hexdigest()
