"""What is documented is what there is: commands, settings, defaults, examples, links."""

from __future__ import annotations

import os
import re
import shlex
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memferry import config
from memferry.backends.qdrant import settings as qdrant_settings
from memferry.backends.ssh.config import Settings
from memferry.cli.main import COMMANDS, EXIT_CODES, command, parser, run
from memferry.config import Agent, Config, DeletionGuard, Recall, Space, yamltext
from memferry.errors import ConfigError, StateLocked, TargetRefused
from memferry.formats import document, jsonl

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")
SETTINGS_PAGE = (ROOT / "docs" / "configuration.md").read_text("utf-8")
STARTING_PAGE = (ROOT / "docs" / "getting-started.md").read_text("utf-8")
REFERENCE = ROOT / "config" / "memferry.yaml"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
EVERYWHERE = {"--help", "--config", "--state", "--json", "--verbose"}


def blocks(page: str) -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def called(page: str) -> Iterator[list[str]]:
    """The arguments of every `memferry` in a page's examples."""
    for block in blocks(page):
        for part in re.split(r"\n|&&", block):
            program, *arguments = shlex.split(part, comments=True) or [""]
            if os.path.basename(program) == "memferry":
                yield arguments


def test_every_package_has_its_line_on_the_map() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    table = page.split("\n## Where it happens\n")[1].split("\n## ")[0]
    folders = [path.parent.relative_to(ROOT / "memferry") for path in (ROOT / "memferry").rglob("__init__.py")]
    assert set(re.findall(r"`([a-z][a-z.]+)`", table)) == {".".join(one.parts) for one in folders} - {"", "agent"}


# -- commands


def actions(name: str) -> list[Action]:
    described = ArgumentParser(prog=name)
    command(name).describe(described)
    return [action for action in described._actions if action.dest != "help" and action.help != SUPPRESS]


def section(name: str) -> str:
    return COMMANDS_PAGE.split(f"\n## `memferry {name}`\n")[1].split("\n## ")[0]


def test_every_command_has_its_section_and_every_section_its_command() -> None:
    assert re.findall(r"^## `memferry (\S+)`$", COMMANDS_PAGE, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_documented_as_it_is_written(name: str) -> None:
    documented = [cell.replace("\\|", "|") for cell in re.findall(r"^\| `(.+?)` \|", section(name), re.MULTILINE)]
    assert documented == [" ".join(filter(None, [*action.option_strings, _value(action)])) for action in actions(name)]


def _value(action: Action) -> str:
    return "" if action.nargs == 0 else str(action.metavar)


def test_what_holds_everywhere_is_documented() -> None:
    top = {option for action in parser()._actions for option in action.option_strings if option.startswith("--")}
    assert top - {"--version"} == EVERYWHERE
    assert all(option in COMMANDS_PAGE for option in EVERYWHERE - {"--verbose"} | {"-v"})


def test_the_exit_codes_are_documented() -> None:
    documented = re.findall(r"^\| (\d+) \|", COMMANDS_PAGE, re.MULTILINE)
    assert documented == re.findall(r"(?:^|, |\n|: )(\d+) ", EXIT_CODES)
    assert [str(error.exit_code) for error in (ConfigError, StateLocked, TargetRefused)] == documented[2:5]


def test_the_readme_names_every_command() -> None:
    table = README.split("| command | does |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"`([a-z-]+)`", table)) == sorted(COMMANDS)


@pytest.mark.parametrize("page", [README, STARTING_PAGE], ids=["README", "getting-started"])
def test_every_example_can_be_typed(page: str) -> None:
    examples = list(called(page))
    assert examples
    for arguments in examples:
        parser(arguments).parse_args(arguments)


# -- settings


def settings() -> dict[str, object]:
    """Every setting with its default, from the code."""
    found: dict[str, object] = {
        "machine": "the computer's name",
        "state": "the platform's state folder",
        "spaces": [],
        "backends": {},
        "policy.rules": [],
        "policy.secrets": "on",
        "policy.rules_file": "none",
        "policy.marker_key_file": "this machine's own key",
        "backends.*.type": "required",
        "backends.*.encryption": "by type; `local`: none, `ssh`: age; not with `qdrant`",
        "backends.*.path": "required",
        "backends.*.host": "required by `ssh`",
    }
    for name, value in Settings._field_defaults.items():
        found[f"backends.*.{name}"] = "as `ssh`" if value is None else value
    for name, value in qdrant_settings.Settings._field_defaults.items():
        found.setdefault(f"backends.*.{name}", value)
    found["spaces[].name"] = "from the git remote"
    for name in Space._fields[1:]:
        default = Space._field_defaults.get(name, "required")
        found[f"spaces[].{name}"] = "detected" if default is None else list(default) if default == () else default
    for name, value in Agent()._asdict().items():
        if not isinstance(value, DeletionGuard):
            found[f"agent.{name}"] = value
    found |= {f"recall.{name}": "none" if value is None else value for name, value in Recall()._asdict().items()}
    return found | {f"agent.deletion_guard.{name}": value for name, value in DeletionGuard()._asdict().items()}


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (.+?) \|", SETTINGS_PAGE.split("## Environment")[0], re.MULTILINE)
    documented: dict[str, Any] = {}
    for name, default in rows:
        quoted = re.fullmatch(r"`(.+)`", default)
        documented[name] = yamltext.parse(quoted[1], name).value if quoted else default
    assert documented == settings()


def test_the_environment_is_documented() -> None:
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", SETTINGS_PAGE, re.MULTILINE)
    variables = {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "memferry").rglob("*.py"))
    read = re.findall(r"environ(?:\.get\(|\[)[\"']([A-Z_]+)[\"']", sources)
    assert variables == {*read, *re.findall(r'"(XDG_[A-Z_]+)"', sources)}


def test_the_reference_configuration_is_the_defaults() -> None:
    read = config.load({}, file=str(REFERENCE))
    assert read._replace(text="") == config.build(yamltext.Document(None, {}), REFERENCE, {})


def test_the_reference_configuration_says_every_setting_and_its_examples_can_be_used() -> None:
    text = REFERENCE.read_text("utf-8")
    text = re.sub(r"^(spaces: \[\]|backends: \{\})$", lambda line: line[0].split()[0], text, flags=re.MULTILINE)
    text = re.sub(r"^#: ", "", re.sub(r"^#:  ", "  ", text, flags=re.MULTILINE), flags=re.MULTILINE)
    document = yamltext.parse(text, str(REFERENCE))
    used = config.build(document, REFERENCE, {})
    assert [space.name for space in used.spaces] == ["atlas", "notes"]
    assert list(used.backends) == ["vault", "nas", "hub"]
    assert used.machine == "laptop"
    said = {
        re.sub(r"\[\d+\]", "[]", re.sub(r"^backends\.(vault|nas|hub)", "backends.*", place)) for place in document.lines
    }
    assert set(settings()) <= said


def test_a_configuration_has_no_setting_that_is_not_documented() -> None:
    documented = {name.split(".")[0].removesuffix("[]") for name in settings()}
    assert documented == set(Config._fields) - {"source", "text"}


@pytest.mark.parametrize("page", [README, SETTINGS_PAGE], ids=["README", "configuration"])
def test_the_suffixes_that_are_read_are_documented(page: str) -> None:
    suffixes = {suffix.removesuffix(".gz") for suffix in jsonl.SUFFIXES} | {*document.SUFFIXES, ".json", ".gz"}
    said = page.split("\n## What it reads\n")[-1] if page is README else page.split("Which files are read")[1]
    said = said.split("\n## ")[0]
    assert set(re.findall(r"`(\.[a-z]+)`", said)) >= suffixes


# -- the sample of the README


def test_the_readme_shows_what_the_first_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in called(f"```bash\n{blocks(README)[0]}```\n"):
        capsys.readouterr()
        assert run(arguments) == 0
    shown = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[0]
    assert shown in capsys.readouterr().out


def test_ci_runs_the_commands_of_the_readme() -> None:
    first, second = blocks(README)[:2]
    assert "pip install" in first
    assert "memferry" in first
    assert "pytest" in second
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "first=$(readme 1)" in script
    assert "second=$(readme 2)" in script


# -- links


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, target
