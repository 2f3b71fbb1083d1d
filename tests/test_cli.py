"""The command line as a user meets it: arguments, exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import memferry
from memferry import __version__
from memferry.cli import main as entry
from memferry.cli.command import Answer, Command
from memferry.cli.main import COMMANDS, command, parser, run
from memferry.cli.times import since, until
from memferry.errors import ConfigError, StateLocked, TargetRefused

PACKAGE = str(Path(memferry.__file__).parent.parent)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the user's own, and the program is found although we are elsewhere."""
    monkeypatch.setenv("PYTHONPATH", PACKAGE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.chdir(tmp_path)


def stand_in(monkeypatch: pytest.MonkeyPatch, perform: Any) -> None:
    """Let `doctor` do something else."""
    import memferry.cli.doctor as doctor

    what = doctor.COMMANDS["doctor"]
    monkeypatch.setitem(doctor.COMMANDS, "doctor", Command(what.purpose, what.examples, what.describe, perform))


def raising(error: BaseException) -> Any:
    def perform(arguments: object) -> Answer:
        raise error

    return perform


# -- arguments


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run([name, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert f"examples:\n  memferry {name}" in shown
    assert "exit codes: 0 all done" in shown
    assert "--json" in shown
    assert "--config FILE" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_can_be_typed(name: str) -> None:
    import shlex

    for example in command(name).examples:
        program, *arguments = shlex.split(example.split(" 2>")[0])
        assert program == "memferry"
        assert parser(arguments).parse_args(arguments).command == name


@pytest.mark.parametrize(
    "arguments", [["--config", "a", "--json", "-v", "status"], ["status", "--config", "a", "--json", "-v"]]
)
def test_what_holds_everywhere_may_stand_before_and_behind_the_command(arguments: list[str]) -> None:
    read = parser(arguments).parse_args(arguments)
    assert (read.config, read.json, read.verbose, read.state) == ("a", True, 1, None)


def test_without_a_command_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    shown = capsys.readouterr()
    assert all(name in shown.err for name in COMMANDS)
    assert not shown.out


def test_a_mistyped_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pusch"]) == 2
    assert capsys.readouterr().err == "memferry: there is no command 'pusch'\n  did you mean 'push'?\n"


def test_a_mistyped_flag_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["push", "--dry"]) == 2
    assert capsys.readouterr().err == "memferry: there is no argument --dry\n  see `memferry push --help`\n"


def test_a_command_named_by_a_value_is_no_command() -> None:
    read = parser(["--config", "push", "status"]).parse_args(["--config", "push", "status"])
    assert (read.config, read.command) == ("push", "status")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["--version"])
    assert capsys.readouterr().out == f"memferry {__version__}\n"


# -- answers and errors


def test_a_missing_configuration_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["status", "--config", "none.yaml"]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(
        f"memferry: there is no configuration at {tmp_path / 'none.yaml'}\n  run `memferry init`"
    )
    assert not shown.out


def test_with_json_an_error_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["push", "--json", "--config", "none.yaml"]) == 2
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document["exit_code"] == 2
    assert document["error"] in shown.err
    assert "memferry init" in document["hint"]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(ConfigError("no"), 2), (StateLocked("held"), 3), (TargetRefused("newer"), 4), (KeyboardInterrupt(), 130)],
)
def test_exit_codes_are_those_of_the_errors(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, exit_code: int
) -> None:
    stand_in(monkeypatch, raising(error))
    assert run(["doctor"]) == exit_code


def test_a_fault_shows_its_place_and_never_what_was_handled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, raising(ValueError("a private line")))
    assert run(["doctor", "--json"]) == 70
    shown = capsys.readouterr()
    assert "fault: ValueError at " in shown.err
    assert "private" not in shown.err + shown.out
    assert json.loads(shown.out)["exit_code"] == 70


def test_an_error_of_the_system_names_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, raising(OSError(errno.ENOSPC, "No space left on device", "/full/disk")))
    assert run(["doctor"]) == 1
    assert capsys.readouterr().err.startswith("memferry: /full/disk: No space left on device\n")


def test_what_files_are_called_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, lambda arguments: Answer({}, ["a\x1b[2Jb\nc\udc80"]))
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out == "a\\x1b[2Jb c\\udc80\n"


def test_every_exit_code_of_an_answer_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda arguments: Answer({}, [], 1))
    assert run(["doctor"]) == 1


# -- as a process


def called(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memferry", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_the_module_is_the_program() -> None:
    done = called("--config", "none.yaml", "status")
    assert done.returncode == 2
    assert "there is no configuration" in done.stderr
    assert not done.stdout


def test_names_that_the_terminal_cannot_show_do_no_harm() -> None:
    done = called("--config", "größe-試.yaml", "status", "--json", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "größe-試.yaml" in json.loads(done.stdout)["error"]


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "memferry", "--config", "none.yaml", "status", "--json"],
            stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_status_imports_little(tmp_path: Path) -> None:
    """What would make it slow: a YAML parser, structs, a log, the watcher, another process's tools."""
    config = tmp_path / "m.yaml"
    config.write_text(
        "state: state\nspaces: []\npolicy: {rules: [{name: z, do: hold, text: Zeus}]}\n"
        "backends:\n  v: {type: local, path: v}\n  s: {type: ssh, host: h, path: p, port: 22}\n"
        "  q: {type: qdrant, path: q, shards: 1}\n"
    )
    assert run(["--config", str(config), "push", "--backend", "v"]) == 0  # from now on its rules are known to be usable
    code = "import sys; from memferry.cli.main import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    arguments = [sys.executable, "-c", code, "--config", str(config), "status"]
    subprocess.run(arguments, capture_output=True, check=True, timeout=60)
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
    heavy = {
        "yaml",
        "msgspec",
        "logging",
        "watchdog",
        "platformdirs",
        "subprocess",
        "shutil",
        "dataclasses",
        "threading",
        "zstandard",
    }
    if sys.platform == "win32":
        heavy.remove("shutil")  # the one way there to learn what is free on a disk
    assert not heavy & set(done.stderr.split())


def test_the_commands_are_imported_one_by_one() -> None:
    code = "import sys; from memferry.cli import main; main.parser(['doctor']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert {name for name in done.stdout.split() if name.startswith("memferry.cli.")} == {
        "memferry.cli.main", "memferry.cli.command", "memferry.cli.output", "memferry.cli.doctor"
    }  # fmt: skip


def test_the_entry_point_is_where_the_package_says() -> None:
    assert callable(entry.main)


# -- times


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("12h", "2026-11-20T12:00:00Z"),
        ("9999w", "1835-04-04T00:00:00Z"),
        ("1969-12-31T23:59:59.5", "1969-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00+23:00", "0001-01-01T00:00:00Z"),
        ("7d", "2026-11-14T00:00:00Z"),
        ("2w", "2026-11-07T00:00:00Z"),
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        ("2026-11-01 12:00", "2026-11-01T12:00:00Z"),
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"),
        ("2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00Z"),
    ],
)
def test_since_takes_dates_and_times_ago(text: str, wanted: str) -> None:
    assert since(text, now=1795219200) == wanted  # 2026-11-21T00:00:00Z


def test_a_number_that_no_part_can_take_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for number in ("9" * 20, "9" * 5000):
        assert run(["recall", "x", "--limit", number]) == 2
        assert "--limit: must be a whole number, 1 or more, of at most 9 digits" in capsys.readouterr().err


def test_until_means_a_date_with_its_whole_day() -> None:
    assert until("2026-11-01") == "2026-11-01T23:59:59Z"
    assert until("2026-11-01 12:00") == "2026-11-01T12:00:00Z"
    with pytest.raises(ConfigError, match="--until 2026-13-01 is not a time"):
        until("2026-13-01")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "7", "d", "7d ago", "99999w"])
def test_since_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a time"):
        since(text, now=1795219200)
