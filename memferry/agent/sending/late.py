"""The look before every try to send: what became private since it was queued must not leave. docs/adr/0010"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from memferry.agent.files import opening, scan
from memferry.agent.files.tree import Tree
from memferry.agent.intake.wholes import LIMIT_BYTES
from memferry.agent.outcome import Outcome
from memferry.agent.scope import Scope
from memferry.errors import Halted, MemferryError, SpaceMissing
from memferry.policies import labels

if TYPE_CHECKING:
    from memferry.agent.service import Agent


def look_again(agent: Agent, outcome: Outcome, first: int, last: int) -> bool:
    """Read files again that changed since these operations of theirs, `first`..`last`, were queued, and take back what
    is not carried any more. Returns whether there was any. Raises Halted where the rules or the scanner broke
    meanwhile."""
    queued: defaultdict[str, list[str]] = defaultdict(list)
    for space, file in sorted(agent.journal.files(first, last)):
        queued[space].append(file)
    agent.look_at_markers(queued)
    changed: defaultdict[str, list[str]] = defaultdict(list)
    gone: set[str] = set()
    for space in queued.keys() & agent.trees.keys():
        for file, before in agent.catalog.files.stats(space, queued[space]).items():
            now = scan.stat_at(agent.trees[space].root, file)
            if now is None:
                gone.add(space)
            elif before not in (now, now.doubted):
                changed[space].append(file)
    for space in changed.keys() | gone:
        with contextlib.suppress(Halted):  # which `status` shows, and which withdraws nothing
            _read_again(agent, agent.trees[space], changed[space], outcome, elsewhere=space in gone)
    agent.gate.check()
    with agent.state.transaction():
        left_out = [*_not_carried(agent, queued), *_unreadable(agent, queued)]
        taken_back = [agent.withdrawal.withdraw_unsent(*file) for file in left_out]
    return bool(changed or gone or any(taken_back))


def _unreadable(agent: Agent, queued: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Space and path of what cannot be read as it is now: nobody knows what became private in it."""
    unread = {problem.subject for problem in agent.state.problems() if problem.area == "file"}
    for space, files in queued.items():
        tree = agent.trees.get(space)
        for file in files:
            if f"{space}/{file}" in unread and (tree is None or _may_be_private(tree, file)):
                yield space, file


def _may_be_private(tree: Tree, file: str) -> bool:
    """Where nothing of a blank or broken file looks like a label, what waits may be all that is left of it."""
    try:
        read = opening.read_stable(tree.root, file, LIMIT_BYTES)
    except MemferryError:
        return True
    return read is None or labels.may_be_in(read[0])


def _not_carried(agent: Agent, queued: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Space and path of what was excluded, or taken out of the configuration, since it was queued; of what nobody can
    say it, too."""
    configured = {space.name for space in agent.config.spaces}
    for space, files in queued.items():
        tree = agent.trees.get(space)
        if tree is not None:
            yield from ((space, file) for file in files if tree.leaves_out(file))
        elif space not in configured or space in agent.unreadable:
            yield from ((space, file) for file in files)


def _read_again(agent: Agent, tree: Tree, files: Sequence[str], outcome: Outcome, *, elsewhere: bool) -> None:
    """`elsewhere`: look for what is missing in the whole space, as is done where a ledger turns out to be another one:
    its lines may lie in another file now, with another label."""
    restarts = outcome.restarted.total()
    agent.ingest(tree, Scope(thorough=True), outcome, files)
    if elsewhere or outcome.restarted.total() > restarts:
        _read_all_that_is_there(agent, tree, outcome)


def _read_all_that_is_there(agent: Agent, tree: Tree, outcome: Outcome) -> None:
    """Also where so much is gone that nothing may be concluded from it: what is there may say private."""
    try:
        agent.ingest(tree, Scope(), outcome)
    except Halted:
        with contextlib.suppress(SpaceMissing):
            found = [one.file for one in scan.walk(tree.root, descend=tree.rules.descends)]
            agent.ingest(tree, Scope(), outcome, found)
