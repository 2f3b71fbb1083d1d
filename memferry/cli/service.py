"""service: memferry as a background service of the system."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memferry import config, places
from memferry.cli.command import Answer, Command, configured, number_from
from memferry.errors import ConfigError

if TYPE_CHECKING:
    from memferry.agent.daemon.supervisors.base import Job, Supervisor
    from memferry.config import Config

UP_IN_S = 10.0
POLL_S = 0.1
LINES = 50


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", choices=list(ACTIONS), help=f"one of {', '.join(ACTIONS)}")
    parser.add_argument(
        "--dry-run", action="store_true", help="with install: print what would be written, change nothing"
    )
    parser.add_argument(
        "--lines",
        metavar="N",
        type=number_from(1),
        default=LINES,
        help=f"with logs: show the last N lines (default {LINES})",
    )


def _service(arguments: Namespace) -> Answer:
    if arguments.dry_run and arguments.action != "install":
        raise ConfigError("--dry-run goes with install", hint="`memferry service install --dry-run`")
    settings = (configured if arguments.action in NEED_ALL else _guessed)(arguments)
    return ACTIONS[arguments.action](arguments, settings, _supervisor(settings))


def _guessed(arguments: Namespace) -> Config:
    """Which state it is about, from a configuration that may be broken, or gone: it must be possible to look at a
    service that does not start because of that, and to be rid of it."""
    path = config.locate(os.environ, arguments.config)
    text = config.read_text(path) if path.exists() else ""
    return config.Config(path, config.guess_state(text, path, os.environ, arguments.state))


# -- what each action does


def _install(arguments: Namespace, settings: Config, supervisor: Supervisor) -> Answer:
    job = _job(settings)
    if arguments.dry_run:
        text = supervisor.render(job)
        document = {"dry_run": True, "system": supervisor.name, "unit": str(supervisor.unit), "text": text}
        return Answer(document, [f"would write {supervisor.unit}:", "", *text.splitlines()])
    _check(job)
    changed = supervisor.install(job)
    wrote = f"{'wrote' if changed else 'unchanged:'} {supervisor.unit}"
    return _when_up(settings, supervisor, {"changed": changed}, [wrote])


def _uninstall(arguments: Namespace, settings: Config, supervisor: Supervisor) -> Answer:
    removed = supervisor.uninstall()
    document = {"system": supervisor.name, "unit": str(supervisor.unit), "removed": removed}
    kept = f"your configuration, the state {settings.state} and all backends stay as they are"
    return Answer(document, [f"removed {supervisor.unit}", kept] if removed else ["it was not installed"])


def _start(arguments: Namespace, settings: Config, supervisor: Supervisor) -> Answer:
    _require_installed(supervisor)
    supervisor.start()
    return _when_up(settings, supervisor, {}, [])


def _stop(arguments: Namespace, settings: Config, supervisor: Supervisor) -> Answer:
    _require_installed(supervisor)
    supervisor.stop()
    pid = _running(settings)
    lines = ["stopped" if pid is None else f"the service has stopped; process {pid}, not its own, still runs"]
    return Answer({"system": supervisor.name, "running": pid is not None}, lines, int(pid is not None))


def _status(arguments: Namespace, settings: Config, supervisor: Supervisor) -> Answer:
    found = _found(settings, supervisor)
    return Answer(found, _shown(found), int(not (found["running"] and found["installed"])))


def _logs(arguments: Namespace, settings: Config, supervisor: Supervisor) -> Answer:
    lines = list(supervisor.logs(arguments.lines))
    return Answer({"system": supervisor.name, "lines": lines}, lines or ["nothing logged yet"])


ACTIONS: Mapping[str, Callable[[Namespace, Config, Supervisor], Answer]] = {
    "install": _install,
    "uninstall": _uninstall,
    "start": _start,
    "stop": _stop,
    "status": _status,
    "logs": _logs,
}

NEED_ALL = {"install", "start"}
"""What is no use with a configuration that is wrong."""


# -- how it is


def _when_up(settings: Config, supervisor: Supervisor, document: dict[str, Any], lines: Sequence[str]) -> Answer:
    """Once it holds the state; one that cannot start is bad news now, not tomorrow."""
    deadline = time.monotonic() + UP_IN_S
    while _running(settings) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    found = _found(settings, supervisor)
    if not found["running"]:
        found["hint"] = "see why with `memferry service logs`"
    return Answer(document | found, [*lines, *_shown(found)], int(not found["running"]))


def _found(settings: Config, supervisor: Supervisor) -> dict[str, Any]:
    """Whether it runs is the lock's to say; what is meant to be, the manager's."""
    condition, pid = supervisor.condition(), _running(settings)
    return {
        "system": supervisor.name, "unit": str(supervisor.unit), "installed": condition.installed,
        "running": pid is not None, "pid": pid, "state": condition.state, "facts": dict(condition.facts),
        "hint": condition.hint if condition.installed else "run `memferry service install`",
    }  # fmt: skip


def _shown(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"running, process {found['pid']}" if found["running"] else "not running"
    installed = found["unit"] if found["installed"] else "not installed"
    yield f"{found['system']}: {found['state']}, {installed}"
    if found["hint"]:
        yield f"  {found['hint']}"


def _running(settings: Config) -> int | None:
    from memferry.agent.doorbell import SERVICE
    from memferry.agent.lock import holder

    held = holder(settings.state)
    return held.pid if held is not None and held.purpose == SERVICE else None


def _require_installed(supervisor: Supervisor) -> None:
    if not supervisor.condition().installed:
        raise ConfigError("the service is not installed", hint="run `memferry service install`")


# -- what is to run, and who is to run it


def _job(settings: Config) -> Job:
    """This Python, this configuration; and this state, if it is not what the service would find by itself."""
    from memferry.agent.daemon.supervisors.base import Job

    alone = config.load({}, file=str(settings.source))
    state = () if alone.state == settings.state else ("--state", str(settings.state))
    program = (sys.executable, "-P", "-m", "memferry")  # -P: nothing from the folder it happens to start in
    return Job((*program, "--config", str(settings.source), *state, "run"), settings.state / "memferry.log")


def _check(job: Job) -> None:
    """The service has neither this folder nor this shell's environment: it must find memferry without them."""
    program = job.command[: job.command.index("memferry") + 1]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*program, "--version"], env=bare, cwd=Path(sys.executable).anchor, capture_output=True, check=False
    )
    if done.returncode:
        raise ConfigError(
            f"{program[0]} does not find memferry by itself", hint=f"`{program[0]} -m pip install memferry`"
        )


def _supervisor(settings: Config) -> Supervisor:
    make = SUPERVISORS.get(sys.platform)
    if make is None:
        raise ConfigError(
            f"no service manager of {sys.platform} is known",
            hint="let whatever starts programs there run `memferry run`",
        )
    return make(settings)


def _systemd(settings: Config) -> Supervisor:
    from memferry.agent.daemon.supervisors.systemd import Systemd

    return Systemd(Path(places.config_file(os.environ)).parent.parent / "systemd" / "user", _uid())


def _launchd(settings: Config) -> Supervisor:
    from memferry.agent.daemon.supervisors.launchd import Launchd

    return Launchd(Path.home() / "Library" / "LaunchAgents", _uid(), settings.state / "memferry.log")


def _task_scheduler(settings: Config) -> Supervisor:
    from memferry.agent.daemon.supervisors.scheduler import TaskScheduler

    user = f"{os.environ['USERDOMAIN']}\\{os.environ['USERNAME']}"
    return TaskScheduler(settings.state, user, settings.state / "memferry.log")


def _uid() -> int:
    if sys.platform == "win32":
        return 0  # asked by nobody
    return os.getuid()


SUPERVISORS: Mapping[str, Callable[[Config], Supervisor]] = {
    "linux": _systemd,
    "darwin": _launchd,
    "win32": _task_scheduler,
}

COMMANDS = {
    "service": Command(
        "Runs `memferry run` in the background, from every login on, and restarts it when it fails: by\n"
        "systemd, launchd or the Windows Task Scheduler. install also starts it, and may be repeated; stop\n"
        "lasts until start, or until the next login; uninstall removes what install wrote and nothing else.\n"
        "Exit code 1: it is not running, or the system refused.",
        (
            "memferry service install",
            "memferry service install --dry-run",
            "memferry service status --json",
            "memferry service logs --lines 200",
            "memferry service stop",
            "memferry service start",
            "memferry service uninstall",
        ),
        _describe,
        _service,
    )
}
