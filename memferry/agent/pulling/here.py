"""What this machine has when it meets what others wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from memferry.agent.files.tree import Tree
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal
from memferry.agent.state.received import Received
from memferry.agent.state.withdraw import Withdrawal
from memferry.keys import Fingerprinter
from memferry.model import Identity


@dataclass(frozen=True)
class Here:
    """`trees`: the spaces of this machine by name; `me`: who it is."""

    state: State
    catalog: Catalog
    journal: Journal
    withdrawal: Withdrawal
    fingerprint: Fingerprinter
    trees: Mapping[str, Tree]
    me: Identity

    @cached_property
    def received(self) -> Received:
        """What other machines' logs have told."""
        return Received(self.state, self.journal)
