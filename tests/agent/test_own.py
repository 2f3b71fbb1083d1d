"""What memferry keeps for itself is carried by no space, wherever it lies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memferry.agent.commands import verbs
from memferry.agent.recovery.identity import SECRET_FILE
from memferry.agent.service import opened
from memferry.config import Config, load
from memferry.errors import ConfigError, SpaceMissing
from memferry.places import DATABASE
from memferry.policies.own import STATE_FILES, Own
from memferry.policies.paths import OWN, read_rules

VAULT_MARK = '{"format":"memferry-vault","version":1,"encryption":"none","compression":"zstd"}'


def configured(home: Path, *, state: str, vault: str, more: str = "", space: str = "notes") -> Config:
    """In a home whose space is `notes`; paths are relative to the home."""
    (home / "notes").mkdir(parents=True, exist_ok=True)
    file = home / "memferry.yaml"
    file.write_text(
        f"machine: laptop\nstate: {state}\nspaces: [{{name: notes, path: {space}}}]\n"
        f"backends: {{vault: {{type: local, path: {vault}}}}}\nagent: {{settle_ms: 0}}\n{more}"
    )
    return load({}, file=str(file))


def push(config: Config) -> dict[str, object]:
    with opened(config, "test") as agent:
        report = verbs.perform(agent, "push", {})
        return {"read": sorted(report["files"]["read"]), "new": report["new"], "failed": report["failed"]}


def test_a_vault_and_a_state_inside_a_space_are_never_read(tmp_path: Path) -> None:
    """Else the vault feeds itself for ever, and the state tells the vault what is kept on this machine only."""
    config = configured(tmp_path, state="notes/st", vault="notes/deep/vault")
    (tmp_path / "notes/a.md").write_text("plums are ripe\n")
    assert push(config)["new"] == 1
    (tmp_path / "notes/st/taken-back.jsonl").write_text('{"reason": "it is Ada\'s"}\n')
    assert push(config) == {"read": [], "new": 0, "failed": []}
    with opened(config, "test") as agent:
        said = verbs.perform(agent, "explain", {"target": str(tmp_path / "notes/st/taken-back.jsonl")})
        assert [(one["verdict"], one["rule"]) for one in said["answers"]] == [("excluded", "paths.own")]
        assert verbs.perform(agent, "explain", {"target": "notes/deep/vault"})["answers"][0]["rule"] == "paths.own"
        assert not agent.catalog.files.stats("notes").keys() - {"a.md"}


def test_the_configuration_and_its_files_are_no_memory(tmp_path: Path) -> None:
    more = "policy: {rules_file: notes/rules.json, marker_key_file: notes/key.txt}\n"
    config = configured(tmp_path, state="st", vault="vault", more=more)
    (tmp_path / "notes/rules.json").write_text("[]")
    (tmp_path / "notes/key.txt").write_bytes(bytes(range(32)))
    with opened(config, "test") as agent:
        rules = agent.trees["notes"].rules
    assert [rules.verdict(file) for file in ("rules.json", "key.txt", "other.json")] == [OWN, OWN, None]
    assert read_rules(tmp_path, own=Own(config.own)).verdict("memferry.yaml") == OWN


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_a_link_on_the_way_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    config = configured(tmp_path, state="link/st", vault="link/sub/vault")
    rules = read_rules(tmp_path / "notes", own=Own(config.own))
    assert rules.verdict("st/audit.jsonl") == rules.verdict("sub/vault/machines/x/head.json") == OWN
    through = read_rules(tmp_path / "link", own=Own([tmp_path / "notes/st"]))
    assert through.verdict("st/audit.jsonl") == OWN


def test_a_folder_is_known_by_its_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a disk takes `Vault` for `vault`, or shows one folder at two places, no path tells."""
    (tmp_path / "notes/vault").mkdir(parents=True)
    as_configured, real = str(tmp_path / "notes/Vault"), os.stat
    monkeypatch.setattr(
        os, "stat", lambda path, **more: real(str(path).replace(as_configured, str(tmp_path / "notes/vault")), **more)
    )
    rules = read_rules(tmp_path / "notes", own=Own([Path(as_configured)]))
    assert rules.verdict("vault/a.md") == OWN


def test_a_folder_that_comes_later_is_known_already(tmp_path: Path) -> None:
    (tmp_path / "notes/sub").mkdir(parents=True)
    rules = read_rules(tmp_path / "notes", own=Own([tmp_path / "notes/sub/new/vault"]))
    assert rules.verdict("sub/new/vault/FORMAT") == OWN
    assert rules.verdict("sub/new/a.md") is rules.verdict("sub/new/vaults/a.md") is None


def test_other_vaults_and_states_are_known_by_what_they_contain(tmp_path: Path) -> None:
    for file, text in {
        "usb/vault/FORMAT": VAULT_MARK, "usb/vault/machines/x/head.json": "{}",
        "old/state/state.db": "", "old/state/secret.key": "", "old/state/audit.jsonl": "{}",
        "manual/FORMAT": "how to format text", "manual/a.md": "a", "app/state.db": "", "app/a.md": "a",
    }.items():  # fmt: skip
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    rules = read_rules(tmp_path)
    assert rules.verdict("usb/vault/machines/x/head.json") == rules.verdict("old/state/audit.jsonl") == OWN
    assert not rules.descends("usb/vault")
    assert rules.verdict("manual/a.md") is rules.verdict("app/a.md") is None
    with pytest.raises(SpaceMissing, match="is a vault or a state"):
        read_rules(tmp_path / "usb/vault")


def test_the_names_of_a_state_are_those_that_it_has() -> None:
    assert {DATABASE, SECRET_FILE} == STATE_FILES


@pytest.mark.parametrize("space", ["st", "st/inner", "vault", "vault/machines"])
@pytest.mark.parametrize("there", [True, False])
def test_a_space_in_memferrys_own_is_refused(tmp_path: Path, space: str, there: bool) -> None:
    if there:
        (tmp_path / space).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"memferry's own"):
        configured(tmp_path, state="st", vault="vault", space=space)


def test_files_that_an_earlier_version_carried_from_there_do_not_halt_the_space(tmp_path: Path) -> None:
    config = configured(tmp_path, state="st", vault="vault")
    (tmp_path / "notes/usb").mkdir()
    for number in range(5):
        (tmp_path / f"notes/usb/{number}.md").write_text(f"{number} plums\n")
    (tmp_path / "notes/a.md").write_text("plums are ripe\n")
    assert push(config)["new"] == 6
    (tmp_path / "notes/usb/FORMAT").write_text(VAULT_MARK)
    with opened(config, "test") as agent:
        assert verbs.perform(agent, "push", {})["halted"] == []


def test_nothing_is_pulled_into_memferrys_own(tmp_path: Path) -> None:
    there = configured(tmp_path / "desk", state="../desk-st", vault="../vault")
    (tmp_path / "desk/notes/st").mkdir()
    (tmp_path / "desk/notes/st/a.md").write_text("plums are ripe\n")
    (tmp_path / "desk/notes/b.md").write_text("pears are not\n")
    push(there)
    here = configured(tmp_path / "laptop", state="notes/st", vault="../vault", more="")
    with opened(here, "test") as agent:
        verbs.perform(agent, "pull", {})
    assert (tmp_path / "laptop/notes/b.md").exists()
    assert not (tmp_path / "laptop/notes/st/a.md").exists()


def test_what_was_told_before_is_not_written_either(tmp_path: Path) -> None:
    """A folder may become memferry's between hearing of a file and writing it."""
    from memferry.agent.pulling.edits import Edit, WriteDocument

    config = configured(tmp_path, state="notes/st", vault="vault")
    with opened(config, "test") as agent:
        files = agent.reconcile()
        files._carry_out([Edit("notes", "st/a.md", "new", WriteDocument(b"plums\n", frozenset()), frozenset())])
        assert "memferry's own" in str(files.failed["notes/st/a.md"])
    assert not (tmp_path / "notes/st/a.md").exists()


@pytest.mark.parametrize("to", ["notes/st/back", "vault", "vault/back"])
def test_nothing_is_restored_into_memferrys_own(tmp_path: Path, to: str) -> None:
    config = configured(tmp_path, state="notes/st", vault="vault")
    (tmp_path / "notes/a.md").write_text("plums are ripe\n")
    push(config)
    with opened(config, "test") as agent, pytest.raises(ConfigError, match="memferry's own"):
        verbs.perform(agent, "restore", {"machine": "laptop", "to": str(tmp_path / to)})


@pytest.fixture
def cycles(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[object]]:
    """Which wakes of these lead to a cycle of a running service."""
    from memferry.agent.daemon import run as daemon
    from memferry.agent.files.wakes import Wake

    def told(config: Config, *paths: Path) -> list[object]:
        seen: list[object] = []
        with opened(config, "run") as agent:
            loop = daemon._Loop(agent, daemon.NOBODY, daemon._Stop())
            monkeypatch.setattr(loop, "_cycle", lambda wake, **_: seen.append(wake))
            monkeypatch.setattr(loop._inbox, "take", lambda timeout_s: Wake(frozenset(paths), "event"))
            monkeypatch.setattr(loop, "_pull", lambda: None)
            loop._turn()
        return seen

    return told


def test_the_watcher_does_not_wake_on_what_memferry_writes(tmp_path: Path, cycles: Callable[..., list[object]]) -> None:
    config = configured(tmp_path, state="notes/st", vault="notes/vault")
    root = (tmp_path / "notes").resolve()
    push(config)
    assert cycles(config, root / "vault/machines/x/head.json", root / "st/state.db-wal") == []
    assert len(cycles(config, root / "vault/machines/x/head.json", root / "a.md")) == 1
