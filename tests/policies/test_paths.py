"""Which files of a space are read at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memferry.errors import ConfigError, SpaceMissing
from memferry.policies.paths import EXCLUDED, HIDDEN, IGNORED, NOT_ON, OFF, PathRules, read_rules


def test_excludes_are_gitignore_patterns() -> None:
    rules = PathRules(["drafts/", "*.tmp.md", "/top.md", "logs/**", "!logs/kept.md"])
    held = ["drafts/a.md", "x/drafts/y/b.md", "x/c.tmp.md", "top.md", "logs/a/b.jsonl"]
    assert [rules.verdict(file) for file in held] == [EXCLUDED] * len(held)
    assert [rules.verdict(file) for file in ["a.md", "x/top.md", "logs/kept.md", "draft.md"]] == [None] * 4


def test_a_composed_pattern_matches_a_decomposed_name() -> None:
    assert PathRules(["café/"]).verdict("cafe\u0301/a.md") == EXCLUDED
    assert PathRules(["cafe\u0301/"]).verdict("café/a.md") == EXCLUDED


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
