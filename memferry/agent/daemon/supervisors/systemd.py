"""A unit of the user's systemd. https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from memferry.agent.daemon.supervisors.base import Condition, Job
from memferry.agent.daemon.supervisors.programs import BY_HAND, call, require
from memferry.agent.daemon.supervisors.template import filled, template, unwritable, write
from memferry.errors import SupervisorError

UNIT = "memferry.service"
FACTS = ("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "Result", "StatusText")
LINGER = "it ends when you log out; `loginctl enable-linger` lets it go on, and start with the machine"

_PLAIN = re.compile(r"[A-Za-z0-9_./:=@+-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "%": "%%"}


class Systemd:
    """A `Supervisor`. `folder`: where the user's units lie. `uid`: whose they are."""

    name = "systemd"

    def __init__(self, folder: Path, uid: int) -> None:
        self.unit = folder / UNIT
        self._uid = uid

    def render(self, job: Job) -> str:
        """See `Supervisor`."""
        program, *arguments = job.command
        if "$" in program:
            raise unwritable(program)  # it is not always expanded, so nothing stands for it there
        command = " ".join([quoted(program), *(quoted(one).replace("$", "$$") for one in arguments)])
        return filled(template(UNIT), {"command": command})

    def install(self, job: Job) -> bool:
        """See `Supervisor`."""
        text = self.render(job)
        _require_bus()
        changed = write(self.unit, text.encode())
        _systemctl("daemon-reload")
        _systemctl("enable", UNIT)
        _systemctl("restart" if changed else "start", "--no-block", UNIT)
        return changed

    def uninstall(self) -> bool:
        """See `Supervisor`."""
        _require_bus()
        if not self.unit.exists():
            return False
        _systemctl("disable", "--now", UNIT)
        self.unit.unlink()
        _systemctl("daemon-reload")
        return True

    def start(self) -> None:
        """See `Supervisor`."""
        _require_bus()
        _systemctl("start", "--no-block", UNIT)

    def stop(self) -> None:
        """See `Supervisor`."""
        _require_bus()
        _systemctl("stop", UNIT)

    def condition(self) -> Condition:
        """See `Supervisor`."""
        _require_bus()
        shown = _systemctl("show", f"--property={','.join(FACTS)}", UNIT)
        facts = dict(line.split("=", 1) for line in shown.split("\n") if "=" in line)
        state = f"{facts.get('ActiveState', 'unknown')} ({facts.get('SubState', 'unknown')})"
        return Condition(self.unit.exists(), state, facts, "" if _lingers(self._uid) else LINGER)

    def logs(self, lines: int) -> Sequence[str]:
        """See `Supervisor`."""
        wanted = f"--user-unit={UNIT}"
        return require(
            "journalctl", wanted, f"--lines={lines}", "--output=cat", "--no-pager", "--quiet"
        ).out.splitlines()


def quoted(text: str) -> str:
    """One word of a unit's setting, without the `$$` that a command line needs on top."""
    if _PLAIN.fullmatch(text):
        return text
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise unwritable(text)
    return '"' + "".join(_ESCAPES.get(char) or _visible(char) for char in text) + '"'


def _visible(char: str) -> str:
    return char if char >= " " and char != "\x7f" else f"\\x{ord(char):02x}"


def _systemctl(*arguments: str) -> str:
    return require("systemctl", "--user", *arguments).out


def _require_bus() -> None:
    """Containers, WSL and `su` often have no systemd for the user, and say so in many ways."""
    ran = call("systemctl", "--user", "show-environment")
    if ran.code:
        said = (ran.err or ran.out).strip().partition("\n")[0]
        raise SupervisorError(
            f"there is no systemd for this user here ({said or f'exit code {ran.code}'})",
            hint=f"log in as this user directly, or, in WSL, set `systemd=true` in /etc/wsl.conf; else {BY_HAND}",
        )


def _lingers(uid: int) -> bool:
    """Whether the user's services go on without a login; where nobody can tell, nothing is advised."""
    if shutil.which("loginctl") is None:
        return True
    return call("loginctl", "show-user", str(uid), "--property=Linger", "--value").out.strip() != "no"
