"""The configuration: strict, with errors that name the place and the next step."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry import config, places
from memferry.backends.qdrant import settings as qdrant
from memferry.backends.registry import GROUP, OFFERS
from memferry.backends.ssh import config as ssh
from memferry.config import Agent, Config, DeletionGuard, Space, backends, yamltext
from memferry.config.settings import FORMATS
from memferry.config.yamltext import Memo
from memferry.errors import ConfigError
from memferry.formats.registry import formats_by_name

Loader = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    def load(text: str) -> Config:
        (tmp_path / "memferry.yaml").write_text(text, "utf-8")
        return config.load({}, file=str(tmp_path / "memferry.yaml"))

    return load


def complaint(load: Loader, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return caught.value


# -- what is read


def test_an_empty_file_means_the_defaults(load: Loader, tmp_path: Path) -> None:
    assert load("") == Config(source=tmp_path / "memferry.yaml", state=Path(places.state_folder({})))


def test_everything_that_can_be_said(load: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_others", lambda: ["other"])
    read = load(
        "machine: laptop\nstate: here\n"
        "spaces:\n"
        "  - {name: atlas, path: ~/atlas/.memory}\n"
        "  - {name: notes, path: notes, format: document, exclude: ['drafts/**'], include: [.x], opt_in: true}\n"
        "backends:\n  vault: {type: local, path: ../vault}\n  hub: {type: other, url: 'http://x', path: far}\n"
        "policy: {rules: []}\n"
        "agent: {debounce_ms: 5, scan_interval_s: 0.5, deletion_guard: {count: 3}}\n"
    )
    assert read.machine == "laptop"
    assert read.state == tmp_path / "here"
    assert read.spaces == (
        Space("atlas", Path.home() / "atlas" / ".memory"),
        Space("notes", tmp_path / "notes", "document", ("drafts/**",), (".x",), True),
    )
    assert read.backends == {
        "vault": {"type": "local", "path": str(tmp_path.parent / "vault")},
        "hub": {"type": "other", "url": "http://x", "path": "far"},  # only a local path is known to be one here
    }
    assert read.agent == Agent(debounce_ms=5, scan_interval_s=0.5, deletion_guard=DeletionGuard(count=3))


def test_settings_of_backends_are_not_printed(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_others", lambda: ["other"])
    assert "s3cret" not in repr(load("backends: {hub: {type: other, token: s3cret}}"))


def test_a_byte_order_mark_is_no_text(load: Loader) -> None:
    assert load("\ufeffmachine: laptop").machine == "laptop"


def test_the_environment_goes_before_the_file_and_an_argument_before_both(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("state: of-the-file")
    environ = {"MEMFERRY_CONFIG": str(file)}
    assert config.load(environ).state == tmp_path / "of-the-file"
    environ["MEMFERRY_STATE"] = str(tmp_path / "of-the-environment")
    assert config.load(environ).state == tmp_path / "of-the-environment"
    assert config.load(environ, state=str(tmp_path / "of-the-flag")).state == tmp_path / "of-the-flag"
    other = tmp_path / "other.yaml"
    other.write_text("machine: other")
    assert config.load(environ, file=str(other)).machine == "other"


def test_the_platforms_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in (("XDG_STATE_HOME", str(tmp_path)), ("XDG_STATE_HOME", "relative"), ("XDG_CONFIG_HOME", "")):
        monkeypatch.setenv(variable, value)
        assert places.state_folder(os.environ) == platformdirs.user_state_dir("memferry", appauthor=False)
        folder = platformdirs.user_config_dir("memferry", appauthor=False)
        assert places.config_file(os.environ) == os.path.join(folder, "memferry.yaml")
        folder = platformdirs.user_data_dir("memferry", appauthor=False)
        assert places.vault_folder(os.environ) == os.path.join(folder, "vault")


# -- what is refused


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("spacs: []", "line 1: spacs: there is no setting 'spacs' here", "did you mean 'spaces'?"),
        ("a: 1\n", "line 1: a: there is no setting 'a' here", "known here: machine, state, spaces"),
        ("spaces:\n  - {name: a, pth: /a}", "line 2: spaces[0].pth: there is no setting 'pth' here", "'path'"),
        ("agent:\n  debounce: 5", "line 2: agent.debounce: there is no setting", "did you mean 'debounce_ms'?"),
        ("agent:\n  deletion_guard: {cuont: 5}", "agent.deletion_guard.cuont: there is no", "did you mean 'count'?"),
        ("machine: a\nspaces: []\nmachine: b", "line 3: 'machine' stands twice, first in line 1", "remove one"),
        ("spaces:\n  - {name: a, path: x, name: b}", "line 2: 'spaces[0].name' stands twice", "remove one"),
        ("spaces: [{path: x}]", "lies in no git repository, so it has no name", "give the space a `name`"),
        ("spaces: [{}]", "spaces[0]: path is missing", "add it"),
        ("spaces: [{name: a, path: x}, {name: a, path: y}]", "spaces[1]: the name 'a' is taken", "its own name"),
        ("spaces: {name: a}", "spaces: must be a list, and is settings", "docs/configuration.md"),
        ("spaces: [{name: a, path: x}, {name: b, path: y/../x}]", "spaces[1]: ", "remove one of the two"),
        ("spaces: [atlas]", "spaces[0]: must be settings as `name: value` lines, and is text", ""),
        ("spaces: [{name: a/b, path: x}]", "spaces[0].name: 'a/b' cannot be a name", "use letters"),
        ("machine: 12", "machine: must be text, quoted if it looks like something else, and is a number", ""),
        ("machine: on", "machine: must be text, quoted if it looks like something else, and is true or false", ""),
        ("machine: ''", "machine: must be text", ""),
        ("machine: ..", "machine: '..' cannot be a name", ""),
        ("state:", "state: must be text, quoted if it looks like something else, and is nothing", ""),
        ("spaces: [{name: a, path: x, opt_in: 1}]", "spaces[0].opt_in: must be true or false, and is a number", ""),
        ("spaces: [{name: a, path: x, exclude: '*'}]", "spaces[0].exclude: must be a list, and is text", ""),
        ("agent: {debounce_ms: 0.5}", "agent.debounce_ms: must be a whole number, and is a number", ""),
        ("agent: {debounce_ms: true}", "agent.debounce_ms: must be a whole number, and is true or false", ""),
        ("agent: {settle_ms: -1}", "agent.settle_ms: must be 0 or more", ""),
        ("agent: {scan_interval_s: 0}", "agent.scan_interval_s: must be more than 0", "default"),
        ("agent: {pull_interval_s: .inf}", "agent.pull_interval_s: must be 0 or more", ""),
        ("agent: {pull_interval_s: .nan}", "agent.pull_interval_s: must be 0 or more", ""),
        ("agent: {deletion_guard: {fraction: 2}}", "agent.deletion_guard.fraction: must be between 0 and 1", "half"),
        ("backends: {vault: {path: x}}", "backends.vault: it has no type", "type: local"),
        ("backends: {vault: {type: local}}", "backends.vault: a local vault needs a path", "add `path:`"),
        ("backends:\n  v: {type: local, path: x, pth: y}", "line 2: backends.v.pth: there is no setting", "'path'"),
        ("backends: {v: {type: locl, path: x}}", "backends.v.type: there is no type 'locl'", "mean 'local'"),
        ("backends: {v: {type: local, path: x, encryption: gpg}}", "v.encryption: cannot be 'gpg'", "none, age"),
        ("backends: {v: {type: ssh, path: x}}", "backends.v: host is missing", "add it"),
        ("backends: {v: {type: ssh, host: a b, path: x}}", "backends.v.host: cannot be 'a b'", ""),
        ("backends: {v: {type: ssh, host: h, path: x, port: 99999}}", "v.port: must be a number from 1 to", "22"),
        ("backends: {v: {type: ssh, host: h, path: x, port: a}}", "v.port: must be a whole number, and is text", ""),
        ("backends: {v: {type: ssh, host: h, path: x, password: a}}", "no setting 'password'", "ssh-add"),
        ("backends: {v: {type: ssh, host: h, path: x, request_timeout_s: 601}}", "request_timeout_s: must be", "30"),
        ("backends: {v: {type: qdrant}}", "backends.v: it needs either `url`, of a server, or `path`", "6333"),
        ("backends: {v: {type: qdrant, path: x, shards: 0}}", "backends.v.shards: must be more than 0", ""),
        ("backends: {v: {type: qdrant, path: x, grpc: maybe}}", "v.grpc: must be true or false, and is text", ""),
        ("backends: {v: {type: qdrant, path: x, quantize_above: -1}}", "v.quantize_above: must be 0 or more", ""),
        ("backends: {v: {type: qdrant, path: x, payload: txt}}", "v.payload: cannot be 'txt'", "mean 'text'"),
        ("backends: {v: {type: qdrant, path: x, per_spce: true}}", "no setting 'per_spce'", "mean 'per_space'"),
        ("spaces: [{name: a, path: x, format: json}]", "spaces[0].format: cannot be 'json'", "mean 'jsonl'"),
        ("recall: {device: gpu}", "recall.device: cannot be 'gpu'", ""),
        ("backends: {vault: /x}", "backends.vault: must be settings", ""),
        ("backends: {1: {type: local, path: x}}", "backends.1: its name is not text", "quote it: '1'"),
        ("backends: {'a b': {type: local, path: x}}", "backends.a b: 'a b' cannot be a name", ""),
        (
            "policy: {rules: [{hold: x}]}",
            "policy.rules[0].hold: there is no setting 'hold' here",
            "known here: name, do",
        ),
        ("policy: {rule: []}", "policy.rule: there is no setting 'rule' here", "did you mean 'rules'?"),
        ("- a", "must be settings as `name: value` lines, and is a list", ""),
        ("machine: [a", "this is not YAML", "indentation"),
        ("machine: !!python/object:os.system x", "line 1, column 10: this is not YAML", ""),
        ("state: 2026-02-30", "this is not YAML", ""),
        ("state:\n " + "[" * 100_000, "line 2: more than 100 lists and mappings lie in one another", "not closed"),
        ("state: " + "{a: " * 3000 + "}" * 3000, "line 1: more than 100 lists and mappings", "not closed"),
        ("agent: &a [*a]", "agent: must be settings as `name: value` lines, and is a list", ""),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_next_step(load: Loader, text: str, message: str, hint: str) -> None:
    error = complaint(load, text)
    assert message in str(error)
    assert hint in error.hint
    assert "memferry.yaml" in str(error)
    assert error.exit_code == 2


def test_no_configuration_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration at") as caught:
        config.load({}, file=str(tmp_path / "none.yaml"))
    assert "memferry init" in caught.value.hint


def test_what_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"machine: caf\xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load({}, file=str(tmp_path / "latin.yaml"))
    with pytest.raises(ConfigError, match="cannot be read: it is a folder") as caught:
        config.load({"MEMFERRY_CONFIG": str(tmp_path)})
    assert "name the file in it" in caught.value.hint


@given(st.text())
def test_any_text_is_a_configuration_or_a_configuration_error(text: str) -> None:
    path = Path("memferry.yaml").absolute()
    with contextlib.suppress(ConfigError):
        config.build(yamltext.parse(text, str(path)), path, {})


def test_a_bomb_of_aliases_does_not_go_off(load: Loader) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert "there is no setting" in str(complaint(load, f"l0: &l0 [x]\n{levels}"))


# -- the parse that `status` keeps


def test_the_memo_answers_as_the_parser_does(tmp_path: Path) -> None:
    memo = Memo(str(tmp_path / "config.json"))
    for text in ("machine: a\nspaces: [{name: x, path: y}]", "machine: b", ""):
        assert memo.parse(text, "f") == yamltext.parse(text, "f") == memo.parse(text, "f")


def test_the_memo_spares_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo = Memo(str(tmp_path / "config.json"))
    memo.parse("machine: a", "f")
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert memo.parse("machine: a", "f").value == {"machine": "a"}
    with pytest.raises(ImportError):
        memo.parse("machine: b", "f")


def test_a_damaged_memo_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    memo = Memo(str(path))
    memo.parse("machine: a", "f")
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert memo.parse("machine: a", "f").value == {"machine": "a"}
        path.write_bytes(whole[:position])
        assert memo.parse("machine: a", "f").value == {"machine": "a"}
    assert path.read_bytes() == whole


def test_what_json_cannot_say_is_not_kept(tmp_path: Path) -> None:
    memo = Memo(str(tmp_path / "config.json"))
    for text in ("1: x", "a: 2026-11-21", "a: .nan", "a: !!binary aGk="):
        memo.parse(text, "f")
        assert not (tmp_path / "config.json").exists()


def test_without_a_state_folder_nothing_is_kept(tmp_path: Path) -> None:
    assert Memo(str(tmp_path / "none" / "config.json")).parse("machine: a", "f").value == {"machine": "a"}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("state: here\n", "here"),
        ("machine: a\nstate: 'here' # comment\n", "here"),
        ('state: "here"\n', "here"),
        ("state: here # comment\nmachine: a", "here"),
    ],
)
def test_the_state_is_guessed_as_it_is_read(tmp_path: Path, text: str, state: str) -> None:
    path = tmp_path / "m.yaml"
    assert config.guess_state(text, path, {}) == tmp_path / state
    assert config.build(yamltext.parse(text, "f"), path, {}).state == tmp_path / state


def test_an_unsaid_state_is_the_platforms(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)} if sys.platform == "linux" else {}
    assert config.guess_state("machine: a", tmp_path / "m.yaml", environ) == Path(places.state_folder(environ))


def test_what_is_known_without_an_import_is_what_there_is() -> None:
    assert tuple(formats_by_name()) == FORMATS
    assert {*backends._TYPES} == {*OFFERS}
    assert backends.ENTRY_POINTS == GROUP
    assert {*backends._SSH} == {*ssh.Settings._fields, "encryption"}
    assert qdrant.Settings._fields == backends._QDRANT
    assert backends.PAYLOADS == qdrant.PAYLOADS
