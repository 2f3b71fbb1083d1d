"""What can be set, and what it is where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry.secret import Secret

if TYPE_CHECKING:
    from memferry.policies.rule import Rule

FORMATS = ("brand", "diasync", "document", "entries", "files", "jsonl")
"""Of spaces (`formats.registry`), known without importing them."""
TIERS = ("best", "core", "semantic", "model")
SECRETS = ("on", "own", "off")
"""How secrets are looked for: by memferry's own rules and the engine, by its own rules alone, not at all."""
PERSONAL = ("email", "phone", "card", "iban", "cn-id")
"""The personal data that a space may be searched for."""
_IN_FOLDERS = ("local", "qdrant")
"""Types of backends whose `path` is a folder on this machine."""


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
    each with its `type`; the other settings of a type are checked by the backend. `text`: what the file said; empty: it
    was not read."""

    source: Path
    state: Path
    machine: str | None = None
    spaces: tuple[Space, ...] = ()
    backends: Mapping[str, Mapping[str, Any]] = {}
    policy: Policy = Policy()
    agent: Agent = Agent()
    recall: Recall = Recall()
    text: str = ""

    @property
    def own(self) -> tuple[Path, ...]:
        """What is memferry's on this machine: files and folders that no space carries, wherever they lie."""
        files = (self.source, self.policy.rules_file, self.policy.marker_key_file)
        folders = (Path(one["path"]) for one in self.backends.values() if one["type"] in _IN_FOLDERS and "path" in one)
        return (self.state, *(file for file in files if file), *folders)

    def __repr__(self) -> str:
        """Without the settings of backends, which may hold secrets."""
        spaces = ", ".join(space.name for space in self.spaces)
        return f"Config({self.source}, spaces: {spaces}; backends: {', '.join(self.backends)})"
