"""Which records of the index are held on this machine, whoever wrote what the index has of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeAlias

from memferry.errors import IndexBroken
from memferry.looking import SQLITE_ERRORS, looked_at, said
from memferry.places import DATABASE, SECRET_FILE

Name: TypeAlias = tuple[str, str]
"""Space and key of a record."""


def kept_here(state: Path, records: Iterable[Name]) -> Collection[Name]:
    """Those of the records of which a version is held here, as the state in this directory says now. Raises IndexBroken
    where nobody can say."""
    if not (state / DATABASE).exists():
        return ()
    from memferry.keys import Fingerprinter  # with OpenSSL, 4 MB: who only looks at what is here needs none

    try:
        fingerprint = Fingerprinter((state / SECRET_FILE).read_bytes())
        by_id = {fingerprint.key(*one): one for one in records}
        with looked_at(str(state / DATABASE)) as database:
            rows = database.execute(
                "select id from held where id in (select value from json_each(?))", (json.dumps([*by_id]),)
            )
            return {by_id[id_] for (id_,) in rows}
    except SQLITE_ERRORS as error:
        raise IndexBroken(f"what is held here cannot be told: {said(error)}", hint="run `memferry doctor`") from error
    except OSError as error:
        raise IndexBroken(f"what is held here cannot be told: {error}", hint="run `memferry doctor`") from error
