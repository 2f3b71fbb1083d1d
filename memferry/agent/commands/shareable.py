"""Which entries of topics may be passed on: for `recall --shareable`, where it asks no index."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from memferry.agent.commands.trial import judging_of
from memferry.agent.files.tree import Tree
from memferry.agent.recovery import identity
from memferry.agent.state.known import FOREIGN, digest_number
from memferry.config import Config
from memferry.errors import StateError
from memferry.formats.entries import FORMAT
from memferry.keys import Fingerprinter
from memferry.looking import SQLITE_ERRORS, looked_at, said
from memferry.memory import records, topics
from memferry.memory.topics import Pick
from memferry.model import Record
from memferry.places import DATABASE
from memferry.policies import secrets
from memferry.policies.base import Kept, NothingHeld
from memferry.policies.chain import judge
from memferry.policies.desk import Desk
from memferry.policies.paths import PathRules


def cleared(config: Config, space: str) -> Pick:
    """Those of a space that were read as they stand in their file now, and are not held. The others may yet turn out to
    repeat what is held; and of what was redacted the file has the original."""
    path = config.state / DATABASE

    def pick(found: Sequence[Record]) -> Sequence[Record]:
        if not path.exists():
            return []
        try:
            with looked_at(str(path)) as database:
                fingerprint = Fingerprinter(identity.matching_secret(config.state, identity.known_secret(database)))
                ids = [fingerprint.key(space, one.key) for one in found]
                known = set(database.execute(_CLEARED, (FOREIGN, json.dumps(ids))))
        except SQLITE_ERRORS as error:
            raise StateError(f"{path} cannot be read: {said(error)}", hint="run `memferry doctor`") from error
        read = (one for id_, one in zip(ids, found, strict=True) if (id_, digest_number(one.digest)) in known)
        return [one for one in read if not records.is_private(one)]  # what is around the entries may have changed since

    return pick


_CLEARED = "select id, digest from record where (seq > 0 or seq = ?) and id in (select value from json_each(?))"


def judged(folder: Path, config: Config | None) -> Pick:
    """Those of a folder that no space holds which would leave if one did, as all that lies there is now. Raises
    MemferryError where that cannot be told."""
    files = [folder / name for name in topics.files(folder)]
    found = [one for file in files for one in records.entries(file)]
    tree = Tree("", folder, FORMAT, PathRules())
    desk = judging_of(config).desk(tree) if config else Desk(search=secrets.search)
    verdicts = judge(found, NothingHeld(), Fingerprinter(os.urandom(32)), desk=desk)
    may_leave = {_version(one.record) for one in verdicts if isinstance(one, Kept)}
    return lambda some: [one for one in some if _version(one) in may_leave]


def _version(record: Record) -> tuple[str, str, bytes]:
    return record.source.file, record.key, record.digest
