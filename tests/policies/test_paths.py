"""Which files of a space are read at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memferry.errors import ConfigError, SpaceMissing
from memferry.policies import paths
from memferry.policies.paths import EXCLUDED, HIDDEN, IGNORED, NOT_ON, OFF, UNSEEN, PathRules, read_rules, still_hold


def test_excludes_are_gitignore_patterns() -> None:
    rules = PathRules(["drafts/", "*.tmp.md", "/top.md", "logs/**", "!logs/kept.md"])
    held = ["drafts/a.md", "x/drafts/y/b.md", "x/c.tmp.md", "top.md", "logs/a/b.jsonl"]
    assert [rules.verdict(file) for file in held] == [EXCLUDED] * len(held)
    assert [rules.verdict(file) for file in ["a.md", "x/top.md", "logs/kept.md", "draft.md"]] == [None] * 4


def test_a_composed_pattern_matches_a_decomposed_name() -> None:
    assert PathRules(["café/"]).verdict("cafe\u0301/a.md") == EXCLUDED
    assert PathRules(["cafe\u0301/"]).verdict("café/a.md") == EXCLUDED


def test_where_a_disk_knows_no_case_what_is_kept_back_is_so_in_upper_and_lower_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paths, "_KNOWS_NO_CASE", True)
    rules = PathRules(
        ["Private/", "*.KEY"], [".Notes/"], markers={"Log/.memferryignore": "Secret*\n!secret-ok.md"}, own=["Vault"],
        hidden=False,
    )  # fmt: skip
    for file in ("private/a.md", "PRIVATE/a.md", "my.key", "x/My.Key"):
        assert rules.verdict(file) == EXCLUDED
    assert not rules.descends("PRIVATE")
    assert rules.verdict("Log/SECRET.md") == IGNORED
    assert rules.verdict("Log/Secret-OK.md") is None
    assert rules.is_own("vault/a")
    assert (rules.verdict(".Notes/a.md"), rules.verdict(".notes/a.md")) == (None, HIDDEN)


def test_an_ignore_file_counts_for_its_folder() -> None:
    rules = PathRules(markers={"notes/.memferryignore": "# mine\r\nsecret*\r\n!secret-ok.md\r\n"})
    assert rules.verdict("notes/secret.md") == IGNORED
    assert rules.verdict("notes/deep/secret.md") == IGNORED
    assert rules.verdict("notes/secret-ok.md") is None
    assert rules.verdict("secret.md") is None


def test_a_folder_that_is_off_is_off_all_the_way_down() -> None:
    rules = PathRules(include=["a/**"], markers={"a/b/.memferry-off": "", "a/b/c/.memferry-on": ""})
    assert rules.verdict("a/b/c/d.md") == OFF
    assert rules.verdict("a/bc.md") is None
    assert PathRules(markers={".memferry-off": ""}).verdict("x.md") == OFF


def test_where_one_must_opt_in_only_marked_folders_are_read() -> None:
    rules = PathRules(opt_in=True, markers={"work/.memferry-on": ""})
    assert rules.verdict("work/deep/a.md") is None
    assert rules.verdict("home/a.md") == NOT_ON
    assert PathRules(opt_in=True).verdict("a.md") == NOT_ON


def test_hidden_files_need_an_include() -> None:
    rules = PathRules(["*.key.md"], [".claude/rules/**", "evidence/**"], hidden=False)
    assert rules.verdict(".claude/rules/a.md") is None
    assert rules.verdict(".obsidian/a.md") == HIDDEN
    assert rules.verdict("a/.b.md") == HIDDEN
    assert rules.verdict(".claude/rules/x.key.md") == EXCLUDED
    assert rules.includes("evidence/a.md")
    assert not rules.includes("evidence/x.key.md")
    assert not rules.includes("other/a.md")


def test_what_may_be_a_folder_is_left_out_like_one() -> None:
    rules = PathRules(["drafts/", "AGENTS.md"], markers={".memferryignore": "old/\n"}, hidden=False)
    assert all(map(rules.leaves_out, ["drafts", "AGENTS.md", "old", "old/a.md", ".hidden", "x/node_modules"]))
    assert not any(map(rules.leaves_out, ["notes", "a.md"]))


def test_folders_that_hold_nothing_for_us_are_not_entered() -> None:
    rules = PathRules(["drafts/", "/build/**"], hidden=False)
    folders = ["drafts", "build", ".git", "a/node_modules", ".obsidian", "notes"]
    assert [rules.descends(folder) for folder in folders] == [False, False, False, False, False, True]
    assert PathRules(include=[".obsidian/**"], hidden=False).descends(".obsidian")
    assert PathRules(markers={"a/.memferry-off": ""}).descends("a")


def test_a_bad_pattern_is_an_error_that_says_where() -> None:
    with pytest.raises(ConfigError, match=r"notes/\.memferryignore"):
        PathRules(markers={"notes/.memferryignore": "!\n"})
    with pytest.raises(ConfigError, match="exclude"):
        PathRules(exclude=["!"])


def test_rules_are_read_from_the_tree(tmp_path: Path) -> None:
    for folder in ("a", "b/c", ".git", "d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a" / ".memferryignore").write_bytes(b"\xef\xbb\xbf*.log.md\r\n")
    (tmp_path / "b" / "c" / ".memferry-off").touch()
    (tmp_path / ".git" / ".memferryignore").write_bytes(b"\xff")
    rules = read_rules(tmp_path, ["d/"], opt_in=False)
    assert rules.verdict("a/x.log.md") == IGNORED
    assert rules.verdict("b/c/x.md") == OFF
    assert rules.verdict("d/x.md") == EXCLUDED
    assert rules.verdict(".x.md") == HIDDEN
    assert rules.verdict("b/x.md") is None


def test_what_a_folder_says_that_nobody_could_look_into_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b", "b/c"):
        (tmp_path / folder).mkdir()
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "b":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return listed(path)

    monkeypatch.setattr("os.scandir", scandir)
    rules = read_rules(tmp_path)
    monkeypatch.undo()
    (tmp_path / "later").mkdir()
    assert [file for file in ("x.md", "a/x.md") if rules.verdict_here(file)] == []
    assert {rules.verdict_here(file) for file in ("b/x.md", "b/c/x.md", "later/x.md")} == {UNSEEN}
    assert rules.verdict("later/x.md") is None
    assert rules.verdict_here("later/.x.md") == HIDDEN
    assert not rules.leaves_out("b")


def test_nor_of_a_root_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(SpaceMissing):
        read_rules(tmp_path / "gone")


def test_rules_hold_until_a_marker_above_a_file_comes_goes_or_changes(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "a/.memferryignore").write_text("old\n")
    rules = read_rules(tmp_path)
    (tmp_path / "c/.memferry-off").touch()
    assert still_hold(tmp_path, rules, ["x.md", "a/b/x.md", "gone/x.md"])
    assert not still_hold(tmp_path, rules, ["x.md", "c/x.md"])
    for change in (lambda path: path.write_text("new\n"), lambda path: path.write_bytes(b"\xff"), Path.unlink):
        change(tmp_path / "a/.memferryignore")
        assert not still_hold(tmp_path, rules, ["a/b/x.md"])
        assert still_hold(tmp_path, rules, ["x.md"])


def test_an_ignore_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".memferryignore").write_bytes(b"\xff\xfe")
    with pytest.raises(SpaceMissing, match="memferryignore"):
        read_rules(tmp_path)


def test_so_is_a_pattern_in_it_that_is_none(tmp_path: Path) -> None:
    """Not one in the configuration, which is wrong for all."""
    (tmp_path / ".memferryignore").write_text("a/**b/!(\n!\n")
    with pytest.raises(SpaceMissing, match="memferryignore"):
        read_rules(tmp_path)
    with pytest.raises(ConfigError, match="exclude"):
        read_rules(tmp_path, ["!"])


def test_without_patterns_the_matcher_is_not_imported() -> None:
    code = (
        "import sys; from memferry.policies.paths import PathRules; PathRules().verdict('a');"
        " sys.exit('pathspec' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])
