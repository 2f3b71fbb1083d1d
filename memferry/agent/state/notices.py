"""What `status` tells beside its problems: something happened, and there is nothing to do about it."""

from __future__ import annotations

import json

from memferry.agent.state.database import State

NOTICES = "notices"
KEPT = 5


def notice(state: State, text: str) -> None:
    """The newest few are kept. Call inside a transaction of the state."""
    notices = [*json.loads(state.meta(NOTICES) or "[]"), {"text": text, "since": state.clock()}]
    state.set_meta(NOTICES, json.dumps(notices[-KEPT:]))
