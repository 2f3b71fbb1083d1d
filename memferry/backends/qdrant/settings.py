"""The settings of a backend of type `qdrant`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, get_type_hints
from urllib.parse import urlsplit

import msgspec

from memferry.errors import ConfigError
from memferry.secret import Secret

PAYLOADS = ("text", "none")


class Settings(NamedTuple):
    """One of `url`, of a server, and `path`, of a folder for the engine in this process.

    `per_space`: a collection for each space, named `<collection>-<space>`. `payload`: `text`, or `none` for ids and
    vectors only. `shards`, `replicas`: of a new collection in a cluster; None: as the server does by itself.
    `quantize_above`: points from which a server searches by vectors of a byte per dimension; 0: never.
    """

    url: str | None = None
    path: str | None = None
    api_key: Secret | None = None
    collection: str = "memory"
    per_space: bool = False
    payload: str = "text"
    grpc: bool = False
    timeout_s: float = 30.0
    shards: int | None = None
    replicas: int | None = None
    quantize_above: int = 100_000


def settings_from(name: str, given: Mapping[str, object]) -> Settings:
    """Checked. `name`: of the backend, for errors; ConfigError says what is wrong, and never a secret."""
    _refuse_unknown(name, given)
    plain = {key: value for key, value in given.items() if key != "api_key"}
    try:
        read = msgspec.convert(plain, _PLAIN)
    except msgspec.ValidationError as error:
        raise ConfigError(f"backend {name}: {error}", hint="see docs/configuration.md") from error
    settings = Settings(**msgspec.structs.asdict(read), api_key=_key(name, given.get("api_key")))
    _check(name, settings)
    return settings


_PLAIN = msgspec.defstruct(
    "Plain",
    [(key, kind, Settings._field_defaults[key]) for key, kind in get_type_hints(Settings).items() if key != "api_key"],
)
"""`Settings` without the secret, as msgspec can check them."""


def _refuse_unknown(name: str, given: Mapping[str, object]) -> None:
    if unknown := sorted(set(given) - {"type", *Settings._fields}):
        hint = f"a qdrant backend has {', '.join(Settings._fields)}"
        raise ConfigError(f"backend {name}: unknown setting {unknown[0]}", hint=hint)


def _key(name: str, given: object) -> Secret | None:
    if given is None or isinstance(given, Secret):
        return given
    raise ConfigError(f"backend {name}: api_key is not a reference", hint="write `env:NAME` or `file:PATH`")


def _check(name: str, settings: Settings) -> None:
    problem, hint = _problem(settings)
    if problem:
        raise ConfigError(f"backend {name}: {problem}", hint=hint)


def _problem(settings: Settings) -> tuple[str, str]:
    """What is wrong, and what to do about it; nothing if all is well."""
    if (settings.url is None) == (settings.path is None):
        return "it needs either `url`, of a server, or `path`, of a folder", "url: http://localhost:6333"
    if settings.payload not in PAYLOADS:
        return f"payload is {settings.payload!r}", "write `text` or `none`"
    if not settings.collection or set(settings.collection) & set('/\\:*?"<>|\0'):
        return f"{settings.collection!r} cannot be the name of a collection", "use letters, digits, '_' and '-'"
    if settings.timeout_s <= 0 or settings.quantize_above < 0 or min(settings.shards or 1, settings.replicas or 1) < 1:
        return "a number is too small", "see docs/configuration.md"
    if settings.url is not None:
        return _problem_of_url(settings.url, keyed=settings.api_key is not None)
    if not Path(settings.path or "").expanduser().is_absolute():
        return f"path {settings.path} is not absolute", "begin it with / or ~"
    return "", ""


def _problem_of_url(url: str, *, keyed: bool) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "url is not the address of a server", "for example http://localhost:6333"
    if parts.username is not None or parts.password is not None or parts.query:
        return "url holds a secret", "write the key as `api_key: env:NAME`"
    if keyed and parts.scheme == "http" and not _is_here(parts.hostname):
        return "the api_key would go over an open line", "use https://, or a tunnel from localhost"
    return "", ""


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
