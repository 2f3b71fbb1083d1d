"""The lives of `test_machines`, over one encrypted vault on a real sshd whose line breaks and which goes away.

What must hold when it is quiet is the same; and every machine lists the same conflicts. `MEMFERRY_EXAMPLES` sets how
many lives are lived (default 2).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from memferry.config import Config
from tests.backends import sshd
from tests.faults.far import far_away
from tests.support import config_for
from tests.test_machines import MACHINES, Lives, machines

CUT = 0.35
REPLIES = 30
"""About as many as a command waits for: lines break while a machine logs in, amid its work, or in the next command."""


class FarLives(Lives):
    encryption = "age"
    share_cut = 0.0

    def share_keys(self) -> None:
        self.chance = random.Random(0)
        self.open = ExitStack()
        self.far = self.open.enter_context(far_away(self.base / "server"))
        self.vault = self.far.vault
        super().share_keys()
        self.share_cut = CUT

    def config(self, machine: str) -> Config:
        return config_for(self.base, machine, backend=self.far.yaml(), more="agent: {settle_ms: 0}\n")

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "open"):
                self.open.close()

    # -- what the line does

    @rule(seed=st.integers(0, 1 << 32))
    def weather(self, seed: int) -> None:
        """Lines break otherwise from now on."""
        self.chance.seed(seed)

    @contextmanager
    def agent(self, machine: str) -> Iterator[Any]:
        """One in three meets a line that breaks behind something that the server has done."""
        if self.chance.random() < self.share_cut:
            self.far.proxy.cut_reply(self.chance.randint(1, REPLIES))
        with super().agent(machine) as agent:
            yield agent

    @rule(machine=machines, command=st.sampled_from(["push", "pull", "sync-memory"]))
    def nobody_is_there(self, machine: str, command: str) -> None:
        with self.away():
            self.look(machine)
            self.run(machine, command)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.far.server.stop()
        try:
            yield
        finally:
            self.far.server.start()

    # -- when quiet

    def check_when_quiet(self) -> None:
        self.share_cut = 0.0
        self.far.proxy.cut_at = None
        super().check_when_quiet()
        listed = {machine: self.conflicts(machine) for machine in MACHINES}
        assert len(set(listed.values())) == 1, f"listed conflicts: {listed}"
        for machine in MACHINES:
            assert self.run(machine, "verify")["exit_code"] == 0

    def conflicts(self, machine: str) -> frozenset[tuple[str, ...]]:
        found = self.run(machine, "conflicts")["conflicts"]
        return frozenset((one["space"], one["file"], one["key"]) for one in found)


sshd_is_there = pytest.mark.skipif(sshd.PROGRAM is None and not os.environ.get("CI"), reason="there is no sshd here")
TestFarLives = sshd_is_there(pytest.mark.timeout(3600)(FarLives.TestCase))
EXAMPLES = int(os.environ.get("MEMFERRY_EXAMPLES", "2"))
TestFarLives.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=20, suppress_health_check=list(HealthCheck),
    print_blob=True, derandomize=True, phases=[Phase.generate],
)  # fmt: skip
