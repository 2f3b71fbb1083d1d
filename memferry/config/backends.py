"""The settings of backends, checked where they are read: nothing that a type needs is imported for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from memferry.config.node import Node, nearest
from memferry.secret import ENVIRONMENT, FILE, Secret

Environ: TypeAlias = Mapping[str, str]
Fields: TypeAlias = dict[str, Node]

ENTRY_POINTS = "memferry.backends"
"""By which other packages offer types (`backends.registry`); what theirs may be set to, they say themselves."""
ENCRYPTIONS = ("none", "age")
PAYLOADS = ("text", "none")
_SSH = (
    "host", "path", "user", "port", "identity_file", "ssh_config", "known_hosts", "connect_timeout_s",
    "request_timeout_s", "encryption",
)  # fmt: skip
_QDRANT = (
    "url", "path", "api_key", "collection", "per_space", "payload", "grpc", "timeout_s", "shards", "replicas",
    "quantize_above",
)  # fmt: skip
_FILES_OF_SSH = ("identity_file", "ssh_config", "known_hosts")
_HOST = re.compile(r"[^-\s*?!,#\"'\\=][^\s*?!,#\"'\\=]*")
_SECRET = re.compile("pass|secret|token")
_LONGEST_S = 600


def backends(node: Node, environ: Environ) -> dict[str, dict[str, Any]]:
    """By name. Paths on this machine are absolute, and a secret is only told where to find."""
    return {name: _backend(name, settings, environ) for name, settings in node.mapping().items()}


def _backend(name: str, node: Node, environ: Environ) -> dict[str, Any]:
    node._replace(value=name).name()
    settings = node.mapping()
    if "type" not in settings:
        raise node.error("it has no type", "add one, for instance `type: local`")
    type_ = settings["type"].text()
    values = {key: setting.value for key, setting in settings.items()}
    if type_ in _TYPES:
        return values | _TYPES[type_](node, environ)
    known = _others()
    if type_ not in known:
        raise settings["type"].error(f"there is no type {type_!r}", nearest(type_, [*_TYPES, *known]))
    return values


def _others() -> list[str]:
    from importlib.metadata import entry_points

    return [point.name for point in entry_points(group=ENTRY_POINTS)]


def secret(node: Node, environ: Environ) -> Secret:
    """Never the secret itself: this file is shared, copied and shown."""
    text = node.text()
    if name := text.removeprefix(ENVIRONMENT) if text.startswith(ENVIRONMENT) else "":
        return Secret(text, environ.get(name))
    if path := text.removeprefix(FILE) if text.startswith(FILE) else "":
        return Secret(FILE + str(node._replace(value=path).path()))
    raise node.error("a secret does not belong in this file", "write `env:NAME` or `file:PATH`, where it lies")


# -- by type: what is written otherwise than the file says it


def _local(node: Node, environ: Environ) -> dict[str, Any]:
    fields = node.fields("type", "path", "encryption")
    if "path" not in fields:
        raise node.error("a local vault needs a path", "add `path:` with the folder to keep it in")
    _check_encryption(fields)
    return {"path": str(fields["path"].path())}


def _ssh(node: Node, environ: Environ) -> dict[str, Any]:
    for key, setting in node.mapping().items():
        if key not in ("type", *_SSH) and _SECRET.search(key):
            hint = "log in with a key; one with a passphrase goes into the agent: ssh-add"
            raise setting.error(f"there is no setting {key!r} here", hint)
    fields = node.fields("type", *_SSH, required=("host", "path"))
    for name in ("host", "user"):
        if name in fields and not _HOST.fullmatch(fields[name].text()):
            raise fields[name].error(
                f"cannot be {fields[name].value!r}", "for example nas, or an alias of ~/.ssh/config"
            )
    fields["path"].text()
    if "port" in fields and not 0 < fields["port"].number(int) < 1 << 16:
        raise fields["port"].error("must be a number from 1 to 65535", "usually 22: remove the line")
    for name in ("connect_timeout_s", "request_timeout_s"):
        if name in fields and not 0 < fields[name].number(float) <= _LONGEST_S:
            hint = "remove the line to use the default, 30"
            raise fields[name].error(f"must be more than 0 and at most {_LONGEST_S} seconds", hint)
    _check_encryption(fields)
    return {name: str(fields[name].path()) for name in _FILES_OF_SSH if name in fields}


def _qdrant(node: Node, environ: Environ) -> dict[str, Any]:
    fields = {
        key: one for key, one in node.fields("type", *_QDRANT).items() if one.value is not None or key not in _NULL
    }
    if ("url" in fields) == ("path" in fields):
        hint = "url: http://localhost:6333"
        raise node.error("it needs either `url`, of a server, or `path`, of a folder", hint)
    for name in ("url", "collection"):
        if name in fields:
            fields[name].text()
    for name in ("per_space", "grpc"):
        if name in fields:
            fields[name].flag()
    if "payload" in fields:
        fields["payload"].among(PAYLOADS)
    for name, kind in (("timeout_s", float), ("shards", int), ("replicas", int)):
        if name in fields and not fields[name].number(kind) > 0:
            raise fields[name].error("must be more than 0", "remove the line to use the default")
    if "quantize_above" in fields:
        fields["quantize_above"].number(int)
    values: dict[str, Any] = {"path": str(fields["path"].path())} if "path" in fields else {}
    return values | ({"api_key": secret(fields["api_key"], environ)} if "api_key" in fields else {})


_NULL = ("url", "path", "api_key", "shards", "replicas")
"""Settings of an index that may be `null`, which is as if they were not there."""


def _check_encryption(fields: Fields) -> None:
    if "encryption" in fields:
        fields["encryption"].among(ENCRYPTIONS)


_TYPES: Mapping[str, Callable[[Node, Environ], dict[str, Any]]] = {"local": _local, "ssh": _ssh, "qdrant": _qdrant}
