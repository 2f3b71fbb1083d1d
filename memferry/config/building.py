"""From a document to settings. Strict: what is not understood is an error that names the place and the nearest right
word."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memferry import places
from memferry.config.backends import backends, secret
from memferry.config.node import Node, nearest
from memferry.config.settings import (
    FORMATS,
    PERSONAL,
    SECRETS,
    TIERS,
    Agent,
    Config,
    DeletionGuard,
    Policy,
    Recall,
    Space,
)
from memferry.config.yamltext import Document
from memferry.errors import ConfigError
from memferry.policies.own import Own

if TYPE_CHECKING:
    from memferry.policies.rule import Rule

_DEVICE = re.compile(r"auto|cpu|mps|(?:cuda|xpu|npu|hpu)(?::[0-9]{1,3})?")
_DEVICES = ("auto", "cpu", "cuda", "mps")


def build(document: Document, path: Path, environ: Mapping[str, str], *, state: str | None = None) -> Config:
    """Check a document and fill in the defaults. Relative paths start at the folder of `path`."""
    root = Node({} if document.value is None else document.value, "", document.lines, path)
    fields = root.fields("machine", "state", "spaces", "backends", "policy", "agent", "recall")
    spaces = tuple(map(_space, fields["spaces"].items())) if "spaces" in fields else ()
    if "spaces" in fields:
        _refuse_doubles(fields["spaces"], spaces)
    config = Config(
        source=path,
        state=_state(environ, state, fields.get("state")),
        machine=fields["machine"].name() if "machine" in fields else None,
        spaces=spaces,
        backends=backends(fields["backends"], environ) if "backends" in fields else {},
        policy=_policy(fields["policy"]) if "policy" in fields else Policy(),
        agent=_agent(fields["agent"]) if "agent" in fields else Agent(),
        recall=_recall(fields["recall"], environ) if "recall" in fields else Recall(),
    )
    if "spaces" in fields:
        _refuse_memferrys_own(fields["spaces"], config)
    return config


def guess_state(text: str, path: Path, environ: Mapping[str, str], state: str | None = None) -> Path:
    """Where the state probably is, without parsing: good enough for looking whether something is there."""
    written = re.search(r"^state:[ \t]+(?:\"(.+)\"|'(.+)'|([^#\n]+?))[ \t]*(?:#.*)?$", text, re.MULTILINE)
    value = next(filter(None, written.groups()), "") if written else ""
    node = Node(value, "state", {}, path) if value else None
    return _state(environ, state, node)


# -- the parts


def _state(environ: Mapping[str, str], argument: str | None, node: Node | None) -> Path:
    chosen = argument or environ.get("MEMFERRY_STATE")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    return node.path() if node else Path(places.state_folder(environ))


def _space(node: Node) -> Space:
    fields = node.fields("name", "path", "format", "exclude", "include", "opt_in", "personal", required=("path",))
    path = fields["path"].path()
    return Space(
        name=fields["name"].name() if "name" in fields else _name_by_remote(node, path),
        path=path,
        format=fields["format"].among(FORMATS) if "format" in fields else None,
        exclude=fields["exclude"].texts() if "exclude" in fields else (),
        include=fields["include"].texts() if "include" in fields else (),
        opt_in=fields["opt_in"].flag() if "opt_in" in fields else False,
        personal=_personal(fields["personal"]) if "personal" in fields else (),
    )


def _personal(node: Node) -> tuple[str, ...]:
    kinds = node.texts()
    for item, kind in zip(node.items(), kinds, strict=True):
        if kind not in PERSONAL:
            raise item.error(f"there is no kind {kind!r} of personal data here", nearest(kind, PERSONAL))
    return kinds


def _name_by_remote(node: Node, path: Path) -> str:
    from memferry.config import gitremote

    try:
        return gitremote.space_name(path)
    except ConfigError as error:
        raise node.error(str(error), error.hint) from error


def _refuse_doubles(node: Node, spaces: Sequence[Space]) -> None:
    names: dict[str, int] = {}
    folders: dict[object, int] = {}
    for number, space in enumerate(spaces):
        if (earlier := names.setdefault(space.name, number)) != number:
            taken = f"the name {space.name!r} is taken by spaces[{earlier}]"
            raise node.items()[number].error(taken, "give each space its own name")
        if (earlier := folders.setdefault(_identity(space.path), number)) != number:
            other = f"spaces[{earlier}], {spaces[earlier].name}"
            text = f"{space.path} is the folder of {other}: all would be carried twice"
            raise node.items()[number].error(text, "remove one of the two")


def _identity(path: Path) -> object:
    """The same for one folder, however it is spelled or linked."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return os.path.realpath(path)


def _refuse_memferrys_own(node: Node, config: Config) -> None:
    """It would feed itself for ever, or tell what is kept on this machine."""
    own = Own(config.own)
    for item, space in zip(node.items(), config.spaces, strict=True):
        if (around := own.around(space.path)) is not None:
            where = "" if around == space.path else f"lies in {around}, which "
            raise item.error(
                f"{space.path} {where}is memferry's own",
                "keep the memory, the state and the vault in different folders",
            )


def _policy(node: Node) -> Policy:
    fields = node.fields(*Policy._fields)
    return Policy(
        rules=_rules(fields["rules"]) if "rules" in fields and fields["rules"].value != [] else (),
        rules_file=fields["rules_file"].path() if "rules_file" in fields else None,
        marker_key_file=fields["marker_key_file"].path() if "marker_key_file" in fields else None,
        secrets=_secrets(fields["secrets"]) if "secrets" in fields else "on",
    )


def _secrets(node: Node) -> str:
    """YAML takes `on` and `off` for true and false."""
    word = {True: "on", False: "off"}.get(node.value, node.value) if isinstance(node.value, bool) else node.text()
    if word not in SECRETS:
        raise node.error(f"must be one of {', '.join(SECRETS)}", "remove the line to use the default, on")
    return str(word)


def _rules(node: Node) -> tuple[Rule, ...]:
    from memferry.config import rulestext

    return rulestext.rules(node)


def _agent(node: Node) -> Agent:
    fields = node.fields(*Agent._fields)
    guard = fields.pop("deletion_guard", None)
    values: dict[str, Any] = {name: field.number(type(getattr(Agent(), name))) for name, field in fields.items()}
    for name, value in values.items():
        if not value and not name.endswith("_ms"):
            raise fields[name].error("must be more than 0", "remove the line to use the default")
    if guard is not None:
        values["deletion_guard"] = _guard(guard)
    return Agent(**values)


def _recall(node: Node, environ: Mapping[str, str]) -> Recall:
    fields = node.fields(*Recall._fields)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        kind = type(getattr(Recall(), name))
        values[name] = field.number(kind) if kind in (int, float) else field.text()
    for name in ("recency_days", "batch", "idle_s"):
        if values.get(name) == 0:
            raise fields[name].error("must be more than 0", "remove the line to use the default")
    if "tier" in fields:
        values["tier"] = fields["tier"].among(TIERS)
    if "device" in fields and not _DEVICE.fullmatch(values["device"]):
        raise fields["device"].error(f"cannot be {values['device']!r}", nearest(values["device"], _DEVICES))
    if "api_key" in fields:
        values["api_key"] = secret(fields["api_key"], environ)
    if "model" in fields:
        values["model"] = _model(fields["model"])
    return Recall(**values)


def _model(node: Node) -> str:
    """A folder is meant from where this file lies, as every path in it."""
    kind, colon, name = node.text().partition(":")
    if kind == "sentence-transformers" and name.startswith((".", "~", "/")):
        return f"{kind}{colon}{node._replace(value=name).path()}"
    return node.text()


def _guard(node: Node) -> DeletionGuard:
    fields = node.fields(*DeletionGuard._fields)
    usual = DeletionGuard()
    guard = DeletionGuard(
        fraction=fields["fraction"].number(float) if "fraction" in fields else usual.fraction,
        count=int(fields["count"].number(int)) if "count" in fields else usual.count,
    )
    if guard.fraction > 1:
        raise fields["fraction"].error("must be between 0 and 1", "0.5 stands for half of a space")
    return guard
