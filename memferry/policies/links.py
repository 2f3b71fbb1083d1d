"""What a text links to, in Markdown, HTML and wikis: as the keys and the other names of documents."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

_INLINE = re.compile(r"\]\(\s{0,99}([^)\n]{1,400})")
_DEFINED = re.compile(r"^[ \t>*+-]{0,20}\[(?!\^)[^\]\n]{1,200}\]:\s{0,99}([^\n]{1,400})", re.MULTILINE)
_ATTRIBUTE = re.compile(
    r"\b(?:href|src)\s{0,9}=\s{0,9}(?:\"([^\"\n]{1,400})|'([^'\n]{1,400})|([^\s\"'>]{1,400}))", re.IGNORECASE
)
_WIKI = re.compile(r"\[\[([^\[\]\n]{1,400})\]\]")
_END_OF_TITLE = re.compile(r"\\?[|#]")
_SUFFIX = re.compile(r"\.(?:md|markdown|txt)\Z", re.IGNORECASE)


def names_of(file: str) -> tuple[str, str]:
    """By what links name a document, besides its path: the path without its suffix, and its title in a wiki."""
    return _SUFFIX.sub("", file), _title(file)


def links(texts: Iterable[str], paths: Iterable[str], folder: str) -> Iterator[str]:
    """Names of the documents that the texts of a document in `folder` link to. `paths`: that it names otherwise."""
    targets = dict.fromkeys(target.partition("#")[0].partition("?")[0] for text in texts for target in _targets(text))
    for target in targets | dict.fromkeys(paths):
        yield from _places(target, folder)
    titles = dict.fromkeys(title for text in texts if "[[" in text for title in _WIKI.findall(text))
    for title in titles:
        yield _title(_END_OF_TITLE.split(title)[0])


def _places(target: str, folder: str) -> Iterator[str]:
    """Where a target may lie in the space: it counts from the folder, or from the top, as some editors write it."""
    path = unquote(target).strip().lstrip("/")
    if path and "://" not in path:
        for base in {folder, ""}:
            yield posixpath.normpath(posixpath.join(base, path))


def _title(target: str) -> str:
    """A wiki finds a page in any folder, in any case."""
    return f"[[{_SUFFIX.sub('', posixpath.basename(target.strip())).lower()}]]"


def _targets(text: str) -> Iterator[str]:
    if "](" in text:
        for found in dict.fromkeys(_INLINE.findall(text)):
            for one in found.split("]("):  # one that is never closed
                yield from _target(one)
    if "]:" in text:
        for found in _DEFINED.findall(text):
            yield from _target(found)
    if "=" in text:
        for found in _ATTRIBUTE.findall(text):
            yield "".join(found)


def _target(found: str) -> Iterator[str]:
    """Of what stands where a target and a title may stand."""
    found = found.strip()
    if found.startswith("<"):
        yield found[1:].partition(">")[0]
    elif found:
        yield found.split(None, 1)[0]
        if " " in found and '"' not in found:
            yield found
