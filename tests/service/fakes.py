"""Stand-ins for programs of other systems, and for a systemd that this machine may not run: they write down how they
were called and answer as they are told. What they cannot show is whether the real ones would agree."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SCRIPT = """#!{python}
import json, sys
from pathlib import Path

here = Path({folder!r})
with open(here / "calls", "a") as calls:
    calls.write(json.dumps([{name!r}, *sys.argv[1:]]) + "\\n")
replies = json.loads((here / "{name}.json").read_text())
code, out, err = next((reply for word, reply in replies.items() if word in sys.argv), (0, "", ""))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Reply(NamedTuple):
    code: int = 0
    out: str = ""
    err: str = ""


class Programs:
    """A folder for PATH. `add` a program with its replies: by the first word that stands among its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(self, name: str, replies: Mapping[str, Reply] | None = None) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(dict(replies or {})))
        script = self.folder / name
        script.write_text(SCRIPT.format(python=sys.executable, folder=str(self.folder), name=name))
        script.chmod(0o700)

    def calls(self) -> list[list[str]]:
        """Every call since the last look."""
        path = self.folder / "calls"
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return found
