"""Nothing is read into the journal, and nothing is sent, while the rules or the scanner cannot be used, nor by a
configuration that its file does not say any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from memferry.agent.intake.judging import Judging
from memferry.agent.state.database import State
from memferry.agent.state.usable import USABLE, mark
from memferry.config import Config, is_as_read
from memferry.errors import ConfigError, Halted, ScannerBroken

RESTART = "restart the service (`memferry service stop`, then `start`), or whatever else is running"
"""Whose configuration is an old one."""
SCANNER = "scanner"
"""In the state: which installation was seen to find what was planted."""


class Gate:
    """In front of all reading and sending; what shuts it is a problem that `status` shows."""

    def __init__(self, state: State, judging: Judging, config: Config) -> None:
        self._state = state
        self._config = config
        self._judging = judging
        self._scanner_works = False

    def check(self) -> None:
        """Take in a changed rules file. Raises Halted while that, the configuration or the scanner cannot be used."""
        rules = mark(self._config)
        try:
            if not is_as_read(self._config):
                raise ConfigError("the configuration was changed since it was read", hint=RESTART)
            self._judging.refresh()
            self._check_scanner()
        except (ConfigError, ScannerBroken) as error:
            raise self._shut(error) from error
        if self._state.one("select 1 from problem where area = 'policy'") is not None:
            with self._state.transaction():
                self._state.clear_problem("policy", "rules")
        if self._state.meta(USABLE) != rules:
            with self._state.transaction():
                self._state.set_meta(USABLE, rules)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """The scanner may break amid the work: then it is tried again before anything is sent. Raises Halted."""
        try:
            yield
        except ScannerBroken as error:
            raise self._shut(error) from error

    def _shut(self, error: ConfigError | ScannerBroken) -> Halted:
        self._scanner_works = False
        with self._state.transaction():
            self._state.set_meta(SCANNER, "")
            self._state.report_problem("policy", "rules", f"halted: {error}", error.hint)
        return Halted(str(error), hint=error.hint)

    def _check_scanner(self) -> None:
        """Once in a process, and what takes long only where the installation is not the one that worked."""
        if self._scanner_works:
            return
        verified = self._state.meta(SCANNER)
        works = self._judging.check(verified)
        self._scanner_works = True
        if works != verified:
            with self._state.transaction():
                self._state.set_meta(SCANNER, works or "")
