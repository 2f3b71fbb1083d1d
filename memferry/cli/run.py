"""run: the agent in the foreground."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from memferry.cli.command import Answer, Command, configured_quickly
from memferry.cli.output import count
from memferry.cli.progress import StatusLine

if TYPE_CHECKING:
    from memferry.agent.daemon.notify import Notifier


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument("--log", metavar="FILE", help="log to this file instead of stderr; it keeps 10 MB at most")


def _run(arguments: Namespace) -> Answer:
    from memferry.agent.lock import refuse_if_held
    from memferry.cli import logfile, logs

    if arguments.log:
        logfile.write_to(arguments.log)
    settings = configured_quickly(arguments)
    refuse_if_held(settings.state)  # the rest takes longer to load

    from memferry.agent.daemon.notify import Notifier
    from memferry.agent.daemon.run import Audience, run

    line = StatusLine(sys.stderr)
    logs.configure(arguments.verbose, line, usual=0 if line.live else 1)
    manager = Notifier.from_environment(os.environ, os.getpid())
    heart = _Heart(line, manager)
    try:
        run(settings, Audience(manager.ready, heart.beat, manager.alive, manager.stopping))
    finally:
        line.clear()
    totals = {"new": heart.new, "held": heart.held}
    return Answer(totals, [f"stopped after {count(heart.new, 'new record')}, {heart.held:,} held"])


class _Heart:
    """Adds up what each cycle came to, and shows it in one line: here and to the service manager."""

    def __init__(self, line: StatusLine, manager: Notifier) -> None:
        self._line = line
        self._manager = manager
        self.new = self.held = 0

    def beat(self, status: Mapping[str, Any]) -> None:
        self.new += status["new"]
        self.held += status["held"]
        queues = [f"{name} {int(waiting):,} waiting" for name, waiting in status["waiting"].items() if waiting]
        delivered = ", ".join(queues) or "all delivered"
        text = f"watching ({status['watching']}) · {self.new:,} new · {self.held:,} held · {delivered}"
        self._line.show(f"{time.strftime('%H:%M:%S')} {text}")
        self._manager.status(text)


COMMANDS = {
    "run": Command(
        "Watches every space, delivers what is new within a moment, and pulls now and then, until SIGTERM or\n"
        "Ctrl-C. One instance per state directory. On a terminal it shows one live line, in a pipe it logs\n"
        "key=value lines. To have it started at every login: `memferry service install`.",
        ("memferry run", "memferry run -v --log memferry.log"),
        _describe,
        _run,
    )
}
