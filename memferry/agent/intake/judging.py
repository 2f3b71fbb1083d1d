"""What records are judged by, as the configuration and the state directory say now: rules, decisions, the scanner."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path

from memferry.agent.files.tree import Tree
from memferry.agent.intake.decisions import Decisions
from memferry.config import Config, Policy, rulestext
from memferry.errors import ConfigError
from memferry.formats.again import with_body
from memferry.formats.base import Kind
from memferry.formats.files import FORMAT as BY_SUFFIX
from memferry.keys import Fingerprinter
from memferry.model import Record
from memferry.policies import secrets
from memferry.policies.base import Search
from memferry.policies.desk import Desk
from memferry.policies.redact import Marker
from memferry.policies.rules import Rules

SHORTEST_KEY = 32
_Signature = tuple[int, int, int]


class Judging:
    """`secret`: this machine's, for markers where no file gives a key that others have too. `personal`: by space, what
    personal data is held. `search`: instead of what the policy asks for. Raises ConfigError for rules that cannot be
    used."""

    def __init__(
        self,
        policy: Policy,
        directory: Path,
        secret: bytes,
        personal: Mapping[str, tuple[str, ...]] | None = None,
        *,
        search: Search | None = None,
    ) -> None:
        self._policy = policy
        self._given = search
        self._personal = personal or {}
        self._read_as: _Signature | None = None
        """The rules file as it was when it was last understood; None: it was not."""
        self.decisions = Decisions(directory, Fingerprinter(secret))
        self._marker = Marker(_marker_key(policy.marker_key_file) if policy.marker_key_file else secret)
        self.rules = self._read()

    def refresh(self) -> None:
        """Look whether the rules file was changed. Raises ConfigError, again and again, until it can be used."""
        file = self._policy.rules_file
        if file is not None and (self._read_as is None or _signature(file) != self._read_as):
            self.rules = self._read()

    @property
    def version(self) -> str:
        """Another one when what left before might not leave now, or not like that: 16 hex digits."""
        parts = (self.rules.version, self._marker.version, self.decisions.revoked, self._scanner)
        return blake2b(repr(parts).encode(), digest_size=8).hexdigest()

    @cached_property
    def _scanner(self) -> str:
        parts = [
            self._policy.secrets,
            *(f"{space}:{','.join(kinds)}" for space, kinds in sorted(self._personal.items())),
        ]
        if self._policy.secrets != "off":
            parts.insert(0, secrets.version(engine_asked=self._policy.secrets == "on"))
        return "/".join(parts)

    def check(self, verified: str | None) -> str | None:
        """Whether the scanner works. Returns what to remember as `verified`, the installation that was found to work.
        Raises ScannerBroken."""
        if self._policy.secrets == "off":
            return verified
        return secrets.check(verified, engine_asked=self._policy.secrets == "on")

    def desk(self, tree: Tree) -> Desk:
        """For the records of one space."""
        reparse = partial(_reparse, tree)
        return Desk(self.rules, self._search(tree), self.decisions.decided, self._marker, reparse)

    def _search(self, tree: Tree) -> Search | None:
        mode, personal = self._policy.secrets, self._personal.get(tree.name, ())
        if self._given is not None:
            return self._given
        if mode == "off" and not personal:
            return None
        return partial(secrets.search, secrets=mode != "off", engine=mode == "on", personal=personal)

    def _read(self) -> Rules:
        file = self._policy.rules_file
        if file is None:
            return Rules(self._policy.rules)
        self._read_as, signature = None, _signature(file)
        more = rulestext.read(file)
        taken = {rule.name for rule in self._policy.rules}
        for rule in more:
            if rule.name in taken:
                raise ConfigError(f"{rule.place}: the name {rule.name!r} is taken by a rule in the configuration")
        rules = Rules((*self._policy.rules, *more))
        self._read_as = signature
        return rules


def personal_of(config: Config) -> dict[str, tuple[str, ...]]:
    """What personal data is held, by space."""
    return {space.name: space.personal for space in config.spaces if space.personal}


def kind_of(tree: Tree, file: str) -> Kind | None:
    """How a file of a space was read, also one that is not asked for by name any more."""
    return tree.format.kind(file) or BY_SUFFIX.kind(file)


def _reparse(tree: Tree, record: Record, body: bytes) -> Record | None:
    kind = kind_of(tree, record.source.file)
    return None if kind is None else with_body(kind, record, body)


def _signature(file: Path) -> _Signature | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _marker_key(file: Path) -> bytes:
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"policy.marker_key_file {file} cannot be read: {error.strerror}", hint=KEY_HINT) from error
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"policy.marker_key_file {file} holds less than {SHORTEST_KEY} bytes", hint=KEY_HINT)
    return key


KEY_HINT = "make one with `openssl rand -hex 32`, and copy it to the other machines yourself"
