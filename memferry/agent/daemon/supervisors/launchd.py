"""An agent of macOS's launchd. https://www.manpagez.com/man/5/launchd.plist/ and /man/1/launchctl/"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from memferry.agent.daemon.supervisors.base import Condition, Job
from memferry.agent.daemon.supervisors.programs import call, require, tail
from memferry.agent.daemon.supervisors.template import filled, template, write, xml
from memferry.errors import SupervisorError

LABEL = "com.memferry.agent"
PLIST = f"{LABEL}.plist"
GONE_IN_S = 35.0
"""Longer than the ExitTimeOut of the description."""
POLL_S = 0.1

_FACT = re.compile(r"^\t(state|pid|last exit code|runs) = (.+)$", re.MULTILINE)


class Launchd:
    """A `Supervisor`. `folder`: the user's LaunchAgents. `uid`: in whose login session it runs. `log`: of the job."""

    name = "launchd"

    def __init__(self, folder: Path, uid: int, log: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.unit = folder / PLIST
        self._domain = f"gui/{uid}"
        self._target = f"gui/{uid}/{LABEL}"
        self._log = log
        self._sleep = sleep

    def render(self, job: Job) -> str:
        """See `Supervisor`."""
        words = (*job.command, "--log", str(job.log))
        command = "\n".join(f"        <string>{xml(word)}</string>" for word in words)
        return filled(template(PLIST), {"command": command, "log": xml(str(job.log))})

    def install(self, job: Job) -> bool:
        """See `Supervisor`."""
        text = self.render(job)
        job.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        changed = write(self.unit, text.encode())
        require("launchctl", "enable", self._target)  # somebody may have disabled it; that outlives its description
        if changed:
            self._unload()
        self.start()
        return changed

    def uninstall(self) -> bool:
        """See `Supervisor`."""
        was_there = self.unit.exists()
        self._unload()
        self.unit.unlink(missing_ok=True)
        return was_there

    def start(self) -> None:
        """See `Supervisor`."""
        if self._shown() is None:
            require("launchctl", "bootstrap", self._domain, str(self.unit))  # which also runs it
        elif "pid" not in self.condition().facts:
            require("launchctl", "kickstart", self._target)

    def stop(self) -> None:
        """See `Supervisor`. It ends with exit code 0, after which launchd leaves it alone."""
        if "pid" in self.condition().facts:
            require("launchctl", "kill", "SIGTERM", self._target)

    def condition(self) -> Condition:
        """See `Supervisor`."""
        shown = self._shown()
        facts = dict(_FACT.findall(shown or ""))
        return Condition(self.unit.exists(), facts.get("state", "not loaded" if shown is None else "unknown"), facts)

    def logs(self, lines: int) -> Sequence[str]:
        """See `Supervisor`."""
        return tail(self._log, lines)

    def _shown(self) -> str | None:
        """What launchd knows of it; None: nothing."""
        ran = call("launchctl", "print", self._target)
        return None if ran.code else ran.out

    def _unload(self) -> None:
        """And wait for it: launchd answers before the process has ended, and loads nothing anew before that."""
        if self._shown() is None:
            return
        call("launchctl", "bootout", self._target)
        for _ in range(int(GONE_IN_S / POLL_S)):
            if self._shown() is None:
                return
            self._sleep(POLL_S)
        raise SupervisorError(f"launchd did not unload {LABEL}", hint=f"try `launchctl bootout {self._target}`")
