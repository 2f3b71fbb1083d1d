"""What the user decided: one YAML file, read into frozen values. Strict: what is not understood is an error that
names the place and the nearest right word."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry import places
from memferry.config import yamltext
from memferry.config.node import Node, nearest
from memferry.config.yamltext import Document
from memferry.errors import ConfigError
from memferry.secret import ENVIRONMENT, FILE, Secret

if TYPE_CHECKING:
    from memferry.policies.rule import Rule

Parse = Callable[[str, str], Document]

_FILES_OF_SSH = ("identity_file", "ssh_config", "known_hosts")
TIERS = ("best", "core", "semantic", "model")
MEMO = "config.json"
"""In the state directory: the configuration as it was last parsed."""


class DeletionGuard(NamedTuple):
    """How much of a space may vanish at once: beyond `fraction` of it, or `count` files or entries, memferry
    stops and asks."""

    fraction: float = 0.5
    count: int = 100  # type: ignore[assignment]  # hides tuple.count, which nobody needs


class Agent(NamedTuple):
    """How the agent works. `debounce_ms`: quiet time after a change before it is read. `settle_ms`: how long a file
    that is rewritten as a whole must be unchanged. `max_line_bytes`: a longer ledger line is set aside and shown."""

    debounce_ms: int = 100
    settle_ms: int = 300
    scan_interval_s: float = 60.0
    full_scan_interval_s: float = 3600.0
    pull_interval_s: float = 300.0
    max_line_bytes: int = 16 << 20
    deletion_guard: DeletionGuard = DeletionGuard()


class Space(NamedTuple):
    """A tree of memory files. `name`: as configured, else by the git remote. `path`: absolute. `format` None: found by
    looking. `exclude`, `include`: gitignore patterns. `opt_in`: only folders with an opt-in marker are carried.
    `personal`: kinds of personal data that are held like secrets; of PERSONAL."""

    name: str
    path: Path
    format: str | None = None
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    opt_in: bool = False
    personal: tuple[str, ...] = ()


SECRETS = ("on", "own", "off")
"""How secrets are looked for: by memferry's own rules and the engine, by its own rules alone, not at all."""
PERSONAL = ("email", "phone", "card", "iban", "cn-id")
"""The personal data that a space may be searched for."""


class Policy(NamedTuple):
    """What stays at home beyond labels and paths. `rules`: the user's own, in order. `rules_file`: more of them, behind
    these; it is read by the agent, anew when it changes. `marker_key_file`: makes the markers of what is redacted the
    same on all machines that have this file. `secrets`: one of SECRETS, how they are looked for."""

    rules: tuple[Rule, ...] = ()
    rules_file: Path | None = None
    marker_key_file: Path | None = None
    secrets: str = "on"


class Recall(NamedTuple):
    """How records are found. `tier`: `core`, `semantic` or `model`; `best`: the best that is installed. `importance`,
    `recency`: how much a record's own importance, and being new, add to a score between 0 and 1; a record that is
    `recency_days` old counts as half as new.

    `model`: what makes vectors (`recall.embed.registry`); at a URL, `endpoint_model` names it and `api_key` opens.
    `device`: as torch calls it, or `auto`. `batch`: texts at once. `idle_s`: how long an unused model stays
    in memory."""

    tier: str = "best"
    importance: float = 0.0
    recency: float = 0.0
    recency_days: float = 30.0
    model: str = "minilm"
    endpoint_model: str | None = None
    api_key: Secret | None = None
    device: str = "auto"
    batch: int = 32
    idle_s: float = 300.0


class Config(NamedTuple):
    """All settings, paths absolute. `source`: the file. `machine` None: named after the computer. `backends`: by name,
    each with its `type`; the other settings of a type are checked by the backend."""

    source: Path
    state: Path
    machine: str | None = None
    spaces: tuple[Space, ...] = ()
    backends: Mapping[str, Mapping[str, Any]] = {}
    policy: Policy = Policy()
    agent: Agent = Agent()
    recall: Recall = Recall()

    def __repr__(self) -> str:
        """Without the settings of backends, which may hold secrets."""
        spaces = ", ".join(space.name for space in self.spaces)
        return f"Config({self.source}, spaces: {spaces}; backends: {', '.join(self.backends)})"


def locate(environ: Mapping[str, str], file: str | None = None) -> Path:
    """The configuration to use: as said, else MEMFERRY_CONFIG, else the platform's."""
    chosen = file or environ.get("MEMFERRY_CONFIG") or places.config_file(environ)
    return Path(os.path.abspath(os.path.expanduser(chosen)))


def load(
    environ: Mapping[str, str], *, file: str | None = None, state: str | None = None, parse: Parse = yamltext.parse
) -> Config:
    """Default < file < environment < argument. Raises ConfigError."""
    path = locate(environ, file)
    return build(parse(read_text(path), str(path)), path, environ, state=state)


def load_quickly(environ: Mapping[str, str], *, file: str | None = None, state: str | None = None) -> Config:
    """The same, by way of the parse that the last one of these kept: a parser takes time to import, and memory."""
    path = locate(environ, file)
    text = read_text(path)
    memo = yamltext.Memo(os.path.join(guess_state(text, path, environ, state), MEMO))
    return build(memo.parse(text, str(path)), path, environ, state=state)


def read_text(path: Path) -> str:
    """The text of a configuration; ConfigError says why there is none."""
    try:
        with open(path, encoding="utf-8") as opened:
            return opened.read().removeprefix("\ufeff")
    except FileNotFoundError as error:
        hint = "run `memferry init`, or name one with --config FILE or MEMFERRY_CONFIG"
        raise ConfigError(f"there is no configuration at {path}", hint=hint) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="let this user read it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error


def build(document: Document, path: Path, environ: Mapping[str, str], *, state: str | None = None) -> Config:
    """Check a document and fill in the defaults. Relative paths start at the folder of `path`."""
    root = Node({} if document.value is None else document.value, "", document.lines, path)
    fields = root.fields("machine", "state", "spaces", "backends", "policy", "agent", "recall")
    spaces = tuple(map(_space, fields["spaces"].items())) if "spaces" in fields else ()
    _refuse_doubles(fields.get("spaces"), [space.name for space in spaces])
    return Config(
        source=path,
        state=_state(environ, state, fields.get("state")),
        machine=fields["machine"].name() if "machine" in fields else None,
        spaces=spaces,
        backends=_backends(fields["backends"], environ) if "backends" in fields else {},
        policy=_policy(fields["policy"]) if "policy" in fields else Policy(),
        agent=_agent(fields["agent"]) if "agent" in fields else Agent(),
        recall=_recall(fields["recall"], environ) if "recall" in fields else Recall(),
    )


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
        format=fields["format"].text() if "format" in fields else None,
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


def _refuse_doubles(node: Node | None, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if node is not None and name in names[:number]:
            taken = f"the name {name!r} is taken by spaces[{names.index(name)}]"
            raise node.items()[number].error(taken, "give each space its own name")


def _backends(node: Node, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: _backend(name, settings, environ) for name, settings in node.mapping().items()}


def _backend(name: str, node: Node, environ: Mapping[str, str]) -> dict[str, Any]:
    Node(name, node.place, node.lines, node.file).name()
    settings = node.mapping()
    if "type" not in settings:
        raise node.error("it has no type", "add one, for instance `type: local`")
    values = {key: setting.value for key, setting in settings.items()}
    if settings["type"].text() == "local":
        if "path" not in settings:
            raise node.error("a local vault needs a path", "add `path:` with the folder to keep it in")
        values["path"] = str(settings["path"].path())
    if settings["type"].text() == "ssh":
        values |= {key: str(settings[key].path()) for key in _FILES_OF_SSH if key in settings}
    if settings["type"].text() == "qdrant":
        values |= {"path": str(settings["path"].path())} if "path" in settings else {}
        values |= {"api_key": _secret(settings["api_key"], environ)} if "api_key" in settings else {}
    return values


def _secret(node: Node, environ: Mapping[str, str]) -> Secret:
    """Never the secret itself: this file is shared, copied and shown."""
    text = node.text()
    if name := text.removeprefix(ENVIRONMENT) if text.startswith(ENVIRONMENT) else "":
        return Secret(text, environ.get(name))
    if path := text.removeprefix(FILE) if text.startswith(FILE) else "":
        return Secret(FILE + str(node._replace(value=path).path()))
    raise node.error("a secret does not belong in this file", "write `env:NAME` or `file:PATH`, where it lies")


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
    if "api_key" in fields:
        values["api_key"] = _secret(fields["api_key"], environ)
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
