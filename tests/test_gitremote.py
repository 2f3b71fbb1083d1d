"""The name of a space from its git remote: the same for the same repository, wherever it lies and however it was
cloned."""

from __future__ import annotations

from pathlib import Path

import pytest

from memferry import config
from memferry.config import gitremote
from memferry.errors import ConfigError

SAME = (
    "https://github.com/Acme/atlas.git",
    "https://github.com/Acme/atlas",
    "https://github.com/Acme/atlas/",
    "https://GitHub.com/Acme/atlas.git",
    "https://user:token@github.com:443/Acme/atlas.git",
    "http://github.com//Acme/atlas.git",
    "ssh://git@github.com/Acme/atlas.git",
    "ssh://git@github.com:22/Acme/atlas",
    "git://github.com/Acme/atlas.git/",
    "git+ssh://git@github.com/Acme/atlas.git",
    "git@github.com:Acme/atlas.git",
    "github.com:Acme/atlas",
    "git@GITHUB.COM:/Acme/atlas.git/",
)
OTHERS = (
    "git@gitlab.com:Acme/atlas.git",
    "git@github.com:Other/atlas.git",
    "git@github.com:Acme/atlas2.git",
)


def repository(base: Path, config: str) -> Path:
    (base / ".git").mkdir(parents=True)
    (base / ".git" / "config").write_text(config)
    (base / ".memory").mkdir()
    return base / ".memory"


def remote(url: str, name: str = "origin") -> str:
    return f'[core]\n\tbare = false\n[remote "{name}"]\n\turl = {url}\n\tfetch = +refs/heads/*:refs/remotes/{name}/*\n'


@pytest.mark.parametrize("url", SAME)
def test_every_form_of_a_url_gives_the_same(url: str) -> None:
    assert gitremote.normalised(url) == "github.com/Acme/atlas"


@pytest.mark.parametrize("url", OTHERS)
def test_another_repository_has_another_name(tmp_path: Path, url: str) -> None:
    one = gitremote.space_name(repository(tmp_path / "one", remote(SAME[0])))
    assert gitremote.space_name(repository(tmp_path / "other", remote(url))) != one


@pytest.mark.parametrize("url", ["/srv/git/atlas.git", "../atlas", "file:///srv/atlas.git", "C:\\git\\atlas", ""])
def test_a_folder_of_this_computer_is_no_name(url: str) -> None:
    with pytest.raises(ConfigError, match="folder of this computer") as raised:
        gitremote.normalised(url)
    assert raised.value.hint == gitremote.NAME_HINT


def test_the_path_of_the_clone_does_not_matter_but_the_one_inside_does(tmp_path: Path) -> None:
    one = repository(tmp_path / "code" / "atlas", remote(SAME[0]))
    two = repository(tmp_path / "work" / "deep" / "another-name", remote(SAME[-1]))
    name = gitremote.space_name(one)
    assert name == gitremote.space_name(two)
    assert name.startswith("atlas-")
    assert len(name) == len("atlas-") + 6
    assert gitremote.space_name(one.parent) != name


def test_origin_is_meant_else_the_only_remote(tmp_path: Path) -> None:
    both = repository(tmp_path / "both", remote("https://a.example/x/other", "fork") + remote(SAME[0]))
    only = repository(tmp_path / "only", remote(SAME[1], "upstream"))
    assert gitremote.space_name(both) == gitremote.space_name(only)
    many = remote("https://a.example/x/y", "one") + remote("https://b.example/x/y", "two")
    with pytest.raises(ConfigError, match="2 remotes and none is `origin`"):
        gitremote.space_name(repository(tmp_path / "many", many))


def test_without_a_remote_a_name_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no remote"):
        gitremote.space_name(repository(tmp_path / "none", "[core]\n"))
    with pytest.raises(ConfigError, match="lies in no git repository"):
        gitremote.space_name(tmp_path)


def test_a_worktree_and_a_submodule_are_read_where_their_git_file_leads(tmp_path: Path) -> None:
    inside = repository(tmp_path / "main", remote(SAME[0]))
    gitdir = tmp_path / "main" / ".git" / "worktrees" / "side"
    gitdir.mkdir(parents=True)
    (gitdir / "commondir").write_text("../..\n")
    side = tmp_path / "side"
    (side / ".memory").mkdir(parents=True)
    (side / ".git").write_text(f"gitdir: {gitdir}\n")
    assert gitremote.space_name(side / ".memory") == gitremote.space_name(inside)
    module = tmp_path / "main" / ".git" / "modules" / "part"
    module.mkdir(parents=True)
    (module / "config").write_text(remote("git@github.com:Acme/part.git"))
    (tmp_path / "main" / "part").mkdir()
    (tmp_path / "main" / "part" / ".git").write_text("gitdir: ../.git/modules/part\n")
    assert gitremote.space_name(tmp_path / "main" / "part").startswith("part-")


@pytest.mark.parametrize(
    "text",
    [
        '[remote "origin"] url = git@github.com:Acme/atlas.git\n',
        '[REMOTE "origin"]\nURL="git@github.com:Acme/atlas.git" ; mine\n',
        '# c\n[remote "origin"]\n  url = git@github.com:Acme/atlas.git # here\n  url = https://second.example/x/y\n',
        '[remote "origin"]\nurl = git@github.com:\\\nAcme/atlas.git\n',
        '[remote "origin"]\r\n\turl = git@github.com:Acme/atlas.git\r\n',
    ],
)
def test_what_git_reads_is_read(tmp_path: Path, text: str) -> None:
    there = gitremote.space_name(repository(tmp_path / "this", text))
    assert there == gitremote.space_name(repository(tmp_path / "that", remote(SAME[0])))


def test_a_configured_space_may_leave_its_name_out(tmp_path: Path) -> None:
    path = repository(tmp_path / "atlas", remote(SAME[0]))
    file = tmp_path / "memferry.yaml"
    file.write_text(f"spaces:\n  - {{path: {path}}}\n  - {{name: notes, path: notes}}\n")
    spaces = config.load({}, file=str(file)).spaces
    assert [space.name for space in spaces] == [gitremote.space_name(path), "notes"]


def test_where_there_is_no_name_the_place_is_told(tmp_path: Path) -> None:
    file = tmp_path / "memferry.yaml"
    file.write_text("spaces:\n  - {path: notes}\n")
    with pytest.raises(ConfigError, match=r"line 2: spaces\[0\]: .*lies in no git repository") as raised:
        config.load({}, file=str(file))
    assert raised.value.hint == gitremote.NAME_HINT
