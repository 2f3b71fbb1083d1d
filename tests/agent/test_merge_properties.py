"""Several machines write, remove and settle; then they pull, in any order and as often as they like, from two vaults
that tell the same. When all is quiet their files are the same, and so are their lists of conflicts."""

from __future__ import annotations

import json
import os
import random
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from memferry.agent.commands import verbs
from memferry.agent.service import opened
from memferry.config import load
from memferry.errors import Halted

MACHINES = ("ant", "bee", "cat")
EXAMPLES = int(os.environ.get("MEMFERRY_EXAMPLES", "12" if os.environ.get("CI") else "8"))
WORDS = ["ferry", "harbour", "orchid", "glacier", "pepper", "anchor", "canvas", "lantern", "meadow", "copper"]

STEPS: tuple[tuple[str, str | None], ...] = (
    *[("line", "log.jsonl"), ("line", "deep/log.jsonl"), ("same line", "log.jsonl"), ("forget line", None)],
    *[("event", "bus/atlas/2026-11-01.jsonl"), ("event", "bus/atlas/2026-11-02.jsonl")],
    *[("entry", "e1"), ("entry", "e2"), ("entry", "e1"), ("remove entry", "e1"), ("remove entry", "e2")],
    *[("document", name) for name in ("plan.md", "plan.md", "plan.md", "deep/idea.md")],
    *[("append", "plan.md"), ("resolve", "current"), ("resolve", "other"), ("resolve", "current")],
    *[("push", None), ("push", None), ("pull", None), ("sync", None), ("sync", None), ("sync", None)],
)
lives = st.lists(st.tuples(st.sampled_from(MACHINES), st.sampled_from(STEPS)), min_size=24, max_size=40)


class Life:
    """The machines of one example, each with a tree of ledgers, an array and documents."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.count = 0
        for name in MACHINES:
            (base / name / "notes" / "deep").mkdir(parents=True)
            for folder in ("streams", "bus/atlas"):
                (base / name / "memory" / folder).mkdir(parents=True)
            (base / name / "memferry.yaml").write_text(
                f"machine: {name}\nstate: state\nagent: {{settle_ms: 0}}\nspaces:\n  - {{name: notes, path: notes}}\n"
                "  - {name: memory, path: memory, format: diasync}\nbackends:\n"
                "  vault: {type: local, path: ../vault}\n  mirror: {type: local, path: ../mirror}\n"
            )

    def tree(self, machine: str) -> Path:
        return self.base / machine / "notes"

    def do(self, machine: str, command: str, **arguments: object) -> dict[str, Any]:
        with opened(load({}, file=str(self.base / machine / "memferry.yaml")), "test") as agent:
            report = verbs.perform(agent, command, arguments)
        assert report.get("exit_code", 0) == int(bool(report.get("halted"))), report
        return report

    def step(self, machine: str, what: str, target: str | None) -> None:
        self.count += 1
        tree = self.tree(machine)
        match what:
            case "line":
                self.add_line(tree / str(target), {"id": f"{machine}-{self.count}", "text": self.words()})
            case "event":
                event = {"schema_version": "diasync-v1-event", "event_id": f"evt-{machine}-{self.count}"}
                path = self.base / machine / "memory" / str(target)
                self.add_line(path, event | {"id": event["event_id"], "visibility": "project", "payload": self.words()})
            case "same line":
                self.add_line(tree / str(target), {"id": "shared", "text": "one and the same"})
            case "entry" | "remove entry":
                self.edit_array(tree / "topic.json", str(target), keep=what == "entry")
            case "document":
                (tree / str(target)).write_text(f"# {self.words()}\n")
            case "append":
                with (tree / str(target)).open("a") as file:
                    file.write(f"more {self.words()}\n")
            case "forget line":
                self.forget_line(machine)
            case "resolve":
                self.resolve(machine, str(target))
            case "sync":
                self.do(machine, "push", accept_deletions=True)
                self.do(machine, "pull")
            case _:
                self.do(machine, what, **({"accept_deletions": True} if what == "push" else {}))

    def words(self) -> str:
        return " ".join(f"{WORDS[(self.count + n) % len(WORDS)]}{self.count}" for n in range(3))

    def add_line(self, path: Path, record: dict[str, str]) -> None:
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def edit_array(self, path: Path, id_: str, *, keep: bool) -> None:
        entries = json.loads(path.read_text()) if path.exists() else []
        others = [entry for entry in entries if entry["id"] != id_]
        mine = [{"id": id_, "content": self.words()}] if keep else []
        path.write_text(json.dumps(others + mine, indent=2) + "\n")

    def forget_line(self, machine: str) -> None:
        path = self.tree(machine) / "log.jsonl"
        keys = [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []
        own = [key for key in keys if key.startswith(machine) and f"gone {key}" not in self.forgotten]
        if own:
            self.do(machine, "push", accept_deletions=True)
            self.do(machine, "forget", targets=[own[0]])
            self.forgotten.add(f"gone {own[0]}")

    forgotten: set[str] = set()  # noqa: RUF012

    def resolve(self, machine: str, keep: str) -> None:
        found = self.do(machine, "conflicts")["conflicts"]
        if found:
            with suppress(Halted):  # entries were removed here, and nobody has confirmed that yet
                done = self.do(machine, "conflicts", resolve=str(found[0]["name"]), keep=keep)
                assert done["left"] == len(found) - 1, "settling one starts no other"

    # -- what is to be the same everywhere

    def ledgers(self, machine: str) -> list[Path]:
        return [path for name in ("notes", "memory") for path in (self.base / machine / name).rglob("*.jsonl")]

    def shown(self, machine: str) -> dict[str, object]:
        """Ledger lines as one set, whichever shard they lie in; entries by id; documents and copies as they are."""
        tree = self.tree(machine)
        lines = {line for path in self.ledgers(machine) for line in path.read_text().splitlines()}
        gone = {key.removeprefix("gone ") for key in self.forgotten}
        array = tree / "topic.json"
        return {
            "lines": {line for line in lines if json.loads(line)["id"] not in gone},
            "entries": {entry["id"]: entry for entry in json.loads(array.read_text())} if array.exists() else {},
            "documents": {path.relative_to(tree).as_posix(): path.read_text() for path in tree.rglob("*.md")},
            "conflicts": {
                (one["file"], one["key"], one["machine"], one["body"])
                for one in self.do(machine, "conflicts")["conflicts"]
            },
        }

    def withdrawn_lines(self, machine: str) -> set[str]:
        """Forgotten lines of other machines that still lie here."""
        gone = {key.removeprefix("gone ") for key in self.forgotten}
        return {
            key
            for path in self.ledgers(machine)
            for line in path.read_text().splitlines()
            if (key := json.loads(line)["id"]) in gone and not key.startswith(machine)
        }


@pytest.mark.timeout(1800)
@settings(
    max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True, derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # a life takes seconds, and shrinking one an hour
)  # fmt: skip
@given(lives, st.integers(0, 1 << 30))
def test_any_order_of_pulls_gives_the_same_files_everywhere(
    life: list[tuple[str, tuple[str, str | None]]], seed: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="memferry-merge-") as folder:
        all_ = Life(Path(folder))
        all_.forgotten = set()
        for machine, (what, target) in life:
            all_.step(machine, what, target)
        chance = random.Random(seed)
        for _ in range(5):  # who hears that a record was withdrawn withdraws its own versions, too
            for machine in chance.sample(MACHINES, len(MACHINES)):
                all_.step(machine, "sync", None)
        for machine in MACHINES:
            report = all_.do(machine, "sync-memory", accept_deletions=True)
            for backend in ("vault", "mirror"):
                assert report["backends"][backend]["sent"] == 0, f"{machine} pushed what it had pulled"
                files = report["pulled"][backend]["edits"]
                assert not files, f"{machine} is not at rest: {files}"
        shown = {machine: all_.shown(machine) for machine in MACHINES}
        assert shown["bee"] == shown["ant"]
        assert shown["cat"] == shown["ant"]
        assert not any(map(all_.withdrawn_lines, MACHINES))
