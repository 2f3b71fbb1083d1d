"""Whether what has the shape of a login has a password in it."""

from __future__ import annotations

import re

from memferry.policies.secrets import values

_SHAPES = (
    (re.compile(r"\s-(?:h?p|P)\s*[\"']?([^\s\"']+)$"), 1),
    (re.compile(r"^\s-U\s*[^%]+%(\S+)$"), 1),
    (re.compile(r"^\s-u\s*[\w.-]+,(\S+)$"), 1),
    (re.compile(r"^(?:net\suser|useradd|adduser|add_user)\s+\S+\s+(\S+)$", re.IGNORECASE), 1),
    (re.compile(r"^create\s?user\s.*[\"']([^\"']+)[\"']$", re.IGNORECASE), 1),
    (re.compile(r"(?:AUTH|PASS)\s+(\S+)$"), 1),
    (re.compile(r"^(?:echo|printf)\s+(?:-n\s+)?[\"']?([^\s\"'$|]+)[\"']?\s*[|>]"), 2),
    (re.compile(r"^\w+:([^\s:@/]+)@\w+\($"), 1),
    (re.compile(r"^net\suse\s.*\s(\S+)$", re.IGNORECASE), 1),
)
"""Where the password stands, and how certain it is that one does: see `values.is_password`."""
_IN_PROSE = (
    re.compile(r"^use\s(\S+)\s(?:for|as)\s", re.IGNORECASE),
    re.compile(r"^(\S+?)[\"'`]?,?\s(?:that |which |what )?(?:gets?|lets?)\s\w+\sin$", re.IGNORECASE),
    re.compile(r"^[^\d\s-].*\s(?:type|enter|use)\s(\S+)$", re.IGNORECASE),
    re.compile(r"^[^\d\s-].*\s(?:with|using|mit|avec|con)\s+(\S+)$", re.IGNORECASE),
)
"""Here most often stands something else."""
_PAIRS = (
    re.compile(r"^(?:\s-\w+|<<<)\s*[\"']([^\"']+)[\"']$"),
    re.compile(r"^[\w.+-]+@[\w-]+\.[\w.-]*\w(?:\s[-,–—]\s|[,;]\s?|\s)(\S+)$"),
    re.compile(r"^\w[^/|\n]*[\s:(](?:[a-z][\w.@-]+\s?[/|]\s?([^\s/|]+)|[A-Z]\w+\s[/|]\s[A-Z]\w+)$"),
    re.compile(r"^\s—\s[\w.@-]+\s—\s(\S+)$"),
    re.compile(r"^[ \t>-]*[a-z]\w+:(\S+)$"),
    re.compile(r"^\S+[ \t]*\n[ \t]*(\S+)$"),
)
"""A name and its password, and nothing that says so; without a group, two names."""
_LAST = re.compile(r"[^\s:=/@\"']+$")
_CERTAIN = re.compile(r"-\w{0,3}u\b|https?\s|jdbc:|\w+/\S+@\d|\S+@\S+\s|(?i:/u|connect)")
"""Before a colon or a slash, these say that it parts a name from its password."""
_APART = re.compile(r"\s[/|]\s|@[^:]+:")


def is_login(text: str) -> bool:
    for shape, certainty in _SHAPES:
        if found := shape.search(text):
            return values.is_password(values.trimmed(found[1]), certainty)
    for shape in _IN_PROSE:
        if found := shape.search(text):
            return values.is_loud(values.trimmed(found[1]))
    for shape in _PAIRS:
        if found := shape.search(text):
            return found[1] is not None and _is_pair(values.trimmed(found[1]))
    found = _LAST.search(text)
    return found is not None and _ends_with_password(text, values.trimmed(found[0]))


def _is_pair(value: str) -> bool:
    return values.stands_out(value) or values.is_careless(value, 3)


def _ends_with_password(text: str, value: str) -> bool:
    vague = (":" in text or "/" in text) and (value.isdigit() or not _CERTAIN.match(text))
    return values.is_password(value, 0 if vague else 1) or (
        _APART.search(text) is not None and values.is_memorable(value)
    )
