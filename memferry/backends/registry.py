"""From the `type` in the configuration to a backend. What a type needs is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple, TypeAlias, cast

from memferry.backends.base import Backend
from memferry.backends.encryption.keys import Keys
from memferry.errors import ConfigError
from memferry.model import Identity

GROUP = "memferry.backends"
"""Entry points by which other packages offer backends: a type, and `module:factory`."""

Factory: TypeAlias = Callable[[str, Mapping[str, object], Identity, Keys], Backend]
"""Makes a backend from its name, its settings, this installation and its keys. Connects to nothing yet."""


class Offer(NamedTuple):
    """Where a type's factory lies, and by which extra of memferry what it needs is installed."""

    factory: str
    extra: str | None = None


OFFERS: Mapping[str, Offer] = {
    "local": Offer("memferry.backends.local:open_backend"),
    "qdrant": Offer("memferry.backends.qdrant.backend:open_backend", extra="qdrant"),
    "ssh": Offer("memferry.backends.ssh.store:open_backend", extra="ssh"),
}


def open_backend(
    name: str, settings: Mapping[str, object], me: Identity, keys: Keys, *, offers: Mapping[str, Offer] | None = None
) -> Backend:
    """The backend `name`, by the `type` in its settings. ConfigError if there is no such type, or it is not
    installed."""
    type_ = settings.get("type")
    known = _offers(type_) if offers is None else offers
    if not isinstance(type_, str) or type_ not in known:
        raise _unknown(name, type_, known)
    rest = {setting: value for setting, value in settings.items() if setting != "type"}
    return _factory(name, type_, known[type_])(name, rest, me, keys)


def _offers(type_: object) -> Mapping[str, Offer]:
    """memferry's own are known without a look at what else is installed."""
    if isinstance(type_, str) and type_ in OFFERS:
        return OFFERS
    from importlib.metadata import entry_points

    others = {point.name: Offer(point.value) for point in entry_points(group=GROUP)}
    return {**others, **OFFERS}


def _unknown(name: str, type_: object, known: Mapping[str, Offer]) -> ConfigError:
    nearest = get_close_matches(str(type_), known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else "there are: " + ", ".join(sorted(known))
    problem = "has no type" if type_ is None else f"has an unknown type: {type_}"
    return ConfigError(f"backend {name} {problem}", hint=hint)


def _factory(name: str, type_: str, offer: Offer) -> Factory:
    module, _, attribute = offer.factory.partition(":")
    try:
        return cast(Factory, getattr(import_module(module), attribute))
    except ImportError as error:
        install = f'pip install "memferry[{offer.extra}]"' if offer.extra else f"install the package of {module}"
        raise ConfigError(f"backend {name}: type {type_} cannot be loaded: {error}", hint=install) from error
    except AttributeError as error:
        raise ConfigError(
            f"backend {name}: {module} has no {attribute}", hint=f"update the package that offers {type_}"
        ) from error
