"""A space's name from the git remote of the repository that it lies in: the same at every path and on every machine.

Reads `.git/config` itself, so no git command is needed. A worktree's or a submodule's `.git` is a file that names the
folder; where that has a file `commondir`, the configuration lies there (gitrepository-layout(5)).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from memferry.errors import ConfigError

MAX_BYTES = 1 << 20
NAME_HINT = "give the space a `name`"
_SECTION = re.compile(r'\[\s*([\w.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/@]*@)?(?P<host>\[[^\]]*\]|[^/:]*)(?::\d*)?/(?P<path>.*)", re.IGNORECASE
)
_SCP = re.compile(r"(?:[^/@]*@)?(?P<host>\[[^\]]*\]|[^/:]{2,}):(?!/{2})(?P<path>.*)")
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


class Repository(NamedTuple):
    """`root`: the folder of the work tree; `config`: its configuration file."""

    root: Path
    config: Path


def space_name(path: Path) -> str:
    """For example `atlas-3fa91c`, of the repository's name and a hash of host, owner, repository and the path inside.
    ConfigError where there is no repository, or no remote that could be meant."""
    path = path.resolve()
    found = _repository(path)
    if found is None:
        raise ConfigError(f"{path} lies in no git repository, so it has no name", hint=NAME_HINT)
    url = _remote(found.config)
    place = normalised(url)
    inner = path.relative_to(found.root).as_posix()
    mark = hashlib.sha256(f"{place}\n{inner}".encode()).hexdigest()[:6]
    name = _NOT_A_NAME.sub("-", place.rpartition("/")[2].lower()).strip("-")
    return f"{name[:48].strip('-') or 'space'}-{mark}"


def normalised(url: str) -> str:
    """`host/owner/repository`: the same for https, ssh and scp-like forms, with and without user, port and `.git`. A
    path on this computer is not the same elsewhere: ConfigError."""
    form = _URL.fullmatch(url.strip()) or _SCP.fullmatch(url.strip())
    path = "/".join(part for part in form["path"].split("/") if part) if form else ""
    if form is None or not form["host"] or not path or form.groupdict().get("scheme", "").lower() == "file":
        raise ConfigError("its git remote is a folder of this computer, and no name for others", hint=NAME_HINT)
    return f"{form['host'].lower()}/{path.removesuffix('.git').rstrip('/').lstrip('~')}"


def _repository(path: Path) -> Repository | None:
    for folder in (path, *path.parents):
        marker = folder / ".git"
        if marker.is_dir():
            return Repository(folder, marker / "config")
        if marker.is_file():
            return Repository(folder, _pointed(marker) / "config")
    return None


def _pointed(marker: Path) -> Path:
    """Where a `.git` file leads: `gitdir: PATH`, from its own folder on."""
    kind, _, target = _text(marker).strip().partition(": ")
    if kind != "gitdir" or not target:
        raise ConfigError(f"{marker} is not a git file", hint=NAME_HINT)
    gitdir = marker.parent / target
    common = gitdir / "commondir"
    return gitdir / _text(common).strip() if common.is_file() else gitdir


def _remote(config: Path) -> str:
    """The URL of `origin`, else of the only remote there is."""
    urls = _urls(_text(config))
    if "origin" in urls:
        return urls["origin"]
    if len(urls) == 1:
        return next(iter(urls.values()))
    count = "no remote" if not urls else f"{len(urls)} remotes and none is `origin`"
    raise ConfigError(f"its git repository has {count}, so it has no name", hint=NAME_HINT)


def _urls(text: str) -> dict[str, str]:
    """Remote -> its first URL, from git's configuration (git-config(1), "Syntax")."""
    urls: dict[str, str] = {}
    remote: str | None = None
    for line in text.replace("\\\n", "").split("\n"):
        line = line.strip()
        if section := _SECTION.match(line):
            kind, label = section.groups()
            remote = re.sub(r"\\(.)", r"\1", label) if kind.lower() == "remote" and label is not None else None
            line = line[section.end() :].strip()
        key, equals, value = line.partition("=")
        if remote is not None and equals and key.strip().lower() == "url":
            urls.setdefault(remote, _value(value))
    return urls


def _value(text: str) -> str:
    text = text.strip()
    if text.startswith('"'):
        quoted = re.match(r'"((?:[^"\\]|\\.)*)"', text)
        return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    return re.split(r"\s[#;]", text)[0].strip()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=NAME_HINT) from error
