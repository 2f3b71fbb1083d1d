"""Whatever is done to a tree, it is what the format says."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.lifecycle.trees import Tree

NAMES = st.sampled_from(["global", "project:atlas", "project:Zürich Süd", "日本"])
INSTANCES = st.sampled_from(["ins-main", "Ins Night", "夜"])
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip)
TYPES = st.sampled_from(["fact", "decision", "commitment"])
KEYS = st.sampled_from(["format", "queue"])
VISIBILITIES = st.sampled_from(["private", "project", "global"])


class Life(RuleBasedStateMachine):
    """Commands in any order. A model keeps what was said, and what must have become of it."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.tree = Tree(Path(self.folder.name) / ".memory")
        self.captured = self.published = 0
        self.private: set[str] = set()

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        self.tree.do("distill", "--limit", "1000")
        self.tree.do("reduce", "--limit", "1000")
        made = self.tree.lines("views/*/*/*.jsonl")
        conflicts = [line for line in self.tree.lines("coordination/conflicts.jsonl") if line["op"] == "open"]
        corrections = [thing for thing in made if "supersedes" in thing]
        assert len(made) - len(corrections) + len(conflicts) == self.captured + self.published
        assert all(thing["visibility"] == "private" for thing in made if thing["event_refs"][0] in self.private)
        self.is_what_the_format_says()
        self.folder.cleanup()

    @rule(scope=NAMES, instance=INSTANCES, summary=TEXTS, kind=TYPES, key=KEYS, visibility=VISIBILITIES)
    def capture(self, scope: str, instance: str, summary: str, kind: str, key: str, visibility: str) -> None:
        answer = self.tree.do(
            "capture", f"--scope={scope}", f"--summary={summary}", "--instance-id", instance, "--proposed-type", kind,
            "--decision-key", key, "--visibility", visibility, "--due-at", "2027-01-31", "--assumptions", "a, b,,a",
        )  # fmt: skip
        self.captured += 1
        if visibility == "private":
            self.private.add(answer["event_id"])

    @rule(scope=NAMES, summary=TEXTS, kind=TYPES, key=KEYS, visibility=VISIBILITIES)
    def publish(self, scope: str, summary: str, kind: str, key: str, visibility: str) -> None:
        answer = self.tree.do(
            "publish", f"--scope={scope}", f"--summary={summary}", "--object-type", kind, "--decision-key", key,
            "--visibility", visibility, "--tags", "x,y",
        )  # fmt: skip
        self.published += 1
        if visibility == "private":
            self.private.add(answer["event_id"])

    @rule(limit=st.integers(0, 3))
    def distill(self, limit: int) -> None:
        assert self.tree.do("distill", "--limit", str(limit))["created_count"] <= limit

    @rule(reindex=st.booleans())
    def reduce(self, reindex: bool) -> None:
        self.tree.do("reduce", *(["--reindex"] if reindex else []))

    @rule(scope=NAMES, instance=INSTANCES, key=KEYS, action=st.sampled_from(["acquire", "release"]))
    def lease(self, scope: str, instance: str, key: str, action: str) -> None:
        self.tree.ask("lease", action, f"--scope={scope}", "--instance-id", instance, "--key", key)

    @rule(instance=INSTANCES, action=st.sampled_from(["start", "heartbeat", "stop"]))
    def instance(self, instance: str, action: str) -> None:
        self.tree.do("instance", action, "--instance-id", instance)

    @rule(verb=st.sampled_from([["checkpoint", "--now"], ["handoff", "--summary"], ["agenda", "--add"]]), text=TEXTS)
    def write(self, verb: list[str], text: str) -> None:
        self.tree.do(verb[0], "--project", "atlas", f"{verb[1]}={text}")
        self.tree.do("attach", "--project", "atlas")

    @precondition(lambda self: self.captured)
    @rule(data=st.data(), summary=TEXTS)
    def reconcile(self, data: st.DataObject, summary: str) -> None:
        if ids := [thing["id"] for thing in self.tree.lines("views/*/*/*.jsonl")]:
            self.tree.do("reconcile", "--id", data.draw(st.sampled_from(ids)), f"--summary={summary}")

    @rule(verb=st.sampled_from([["diagnose"], ["optimize", "--execute"], ["hygiene"]]))
    def look_after(self, verb: list[str]) -> None:
        self.tree.do(*verb)

    @rule(lines=st.integers(1, 3))
    def rotate(self, lines: int) -> None:
        self.tree.do("hygiene", "--rotate", "--max-lines", str(lines))

    @invariant()
    def is_what_the_format_says(self) -> None:
        if hasattr(self, "tree") and self.tree.path.exists():
            assert self.tree.ask("validate", "--strict")["errors"] == []


Life.TestCase.settings = settings(max_examples=12, stateful_step_count=12, suppress_health_check=list(HealthCheck))
TestLife = Life.TestCase
