"""run: the agent in the foreground."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from memferry.cli.command import Answer, Command, configured
from memferry.cli.output import count
from memferry.cli.progress import StatusLine


def _describe(parser: ArgumentParser) -> None:
    """Nothing but what every command takes."""


def _run(arguments: Namespace) -> Answer:
    from memferry.agent.run import Audience, run
    from memferry.cli import logs

    settings = configured(arguments)
    line = StatusLine(sys.stderr)
    logs.configure(arguments.verbose, line, usual=0 if line.live else 1)
    heart = _Heart(line)
    try:
        run(settings, Audience(beat=heart.beat))
    finally:
        line.clear()
    totals = {"new": heart.new, "held": heart.held}
    return Answer(totals, [f"stopped after {count(heart.new, 'new record')}, {heart.held:,} held"])


class _Heart:
    """Adds up what each cycle came to, and shows it in one line."""

    def __init__(self, line: StatusLine) -> None:
        self._line = line
        self.new = self.held = 0

    def beat(self, status: Mapping[str, Any]) -> None:
        self.new += status["new"]
        self.held += status["held"]
        queues = [f"{name} {int(waiting):,} waiting" for name, waiting in status["waiting"].items() if waiting]
        delivered = ", ".join(queues) or "all delivered"
        at = time.strftime("%H:%M:%S")
        self._line.show(f"{at} watching ({status['watching']}) · {self.new:,} new · {self.held:,} held · {delivered}")


COMMANDS = {
    "run": Command(
        "Watches every space, delivers what is new within a moment, and pulls now and then, until SIGTERM or Ctrl-C.\n"
        "One instance per state directory. On a terminal it shows one live line, in a pipe it logs key=value lines.",
        ("memferry run", "memferry run -v 2>> memferry.log"),
        _describe,
        _run,
    )
}
