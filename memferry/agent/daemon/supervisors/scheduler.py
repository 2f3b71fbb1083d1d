"""A task of the Windows Task Scheduler. https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from memferry.agent.daemon.supervisors.base import Condition, Job
from memferry.agent.daemon.supervisors.programs import call, require, tail
from memferry.agent.daemon.supervisors.template import filled, template, write, xml

TASK = "memferry"
XML = "memferry-task.xml"

_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)  # for people who read the template


class TaskScheduler:
    """A `Supervisor`. `folder`: where the description is kept. `user`: who logs in. `log`: of the job.

    Its answers come in the language of the system, so only exit codes and XML are read.
    """

    name = "Task Scheduler"

    def __init__(self, folder: Path, user: str, log: Path) -> None:
        self.unit = folder / XML
        self._user = user
        self._log = log

    def render(self, job: Job) -> str:
        """See `Supervisor`."""
        program, *arguments = job.command
        values = {
            "user": xml(self._user),
            "program": xml(_without_window(program)),
            "arguments": xml(subprocess.list2cmdline([*arguments, "--log", str(job.log)])),
        }
        return filled(_COMMENT.sub("", template(XML)), values)

    def install(self, job: Job) -> bool:
        """See `Supervisor`."""
        changed = write(self.unit, self.render(job).encode("utf-16"))  # schtasks reads nothing else reliably
        if changed:
            call("schtasks", "/End", "/TN", TASK)
        # As it really lies there: what a Python of the Microsoft Store writes to %LOCALAPPDATA% lies elsewhere.
        require("schtasks", "/Create", "/TN", TASK, "/XML", os.path.realpath(self.unit), "/F")
        require("schtasks", "/Run", "/TN", TASK)
        return changed

    def uninstall(self) -> bool:
        """See `Supervisor`."""
        was_there = self.condition().installed
        if was_there:
            call("schtasks", "/End", "/TN", TASK)
            require("schtasks", "/Delete", "/TN", TASK, "/F")
        self.unit.unlink(missing_ok=True)
        return was_there

    def start(self) -> None:
        """See `Supervisor`."""
        require("schtasks", "/Change", "/TN", TASK, "/ENABLE")
        require("schtasks", "/Run", "/TN", TASK)

    def stop(self) -> None:
        """See `Supervisor`. Disabled, since its trigger would start it again; `start` enables it. It is killed, which
        loses nothing."""
        require("schtasks", "/Change", "/TN", TASK, "/DISABLE")
        call("schtasks", "/End", "/TN", TASK)

    def condition(self) -> Condition:
        """See `Supervisor`."""
        ran = call("schtasks", "/Query", "/TN", TASK, "/XML", "ONE")
        if ran.code:
            return Condition(False, "not registered")
        disabled = "<Enabled>false</Enabled>" in ran.out
        hint = "`memferry service start` enables it" if disabled else ""
        return Condition(True, "disabled" if disabled else "registered", {}, hint)

    def logs(self, lines: int) -> Sequence[str]:
        """See `Supervisor`."""
        return tail(self._log, lines)


def _without_window(program: str) -> str:
    """A console program would open a window at every login; Python comes with one that does not."""
    path = PureWindowsPath(program)
    return str(path.with_name("pythonw.exe")) if path.name.lower() == "python.exe" else program
