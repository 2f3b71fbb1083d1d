"""What the managers are given to read says exactly what was meant, whatever is in a path."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.daemon.supervisors import launchd, scheduler, systemd, template
from memferry.agent.daemon.supervisors.base import Job, Supervisor
from memferry.agent.daemon.supervisors.launchd import Launchd
from memferry.agent.daemon.supervisors.scheduler import TaskScheduler
from memferry.agent.daemon.supervisors.systemd import Systemd
from memferry.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
LOG = Path("/home/jürgen/state & co/memferry.log")
COMMAND = (
    "/opt/my python/bin/python3", "-P", "-m", "memferry",
    "--config", '/home/jürgen/50% of "it"/<m&m>\\$HOME\'s {{command}}.yaml', "run",
)  # fmt: skip
JOB = Job(COMMAND, LOG)
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"

SYSTEMD = Systemd(Path("/units"), 1000)
LAUNCHD = Launchd(Path("/agents"), 501, LOG)
SCHEDULER = TaskScheduler(Path("/tasks"), "DESK\\jürgen", LOG)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def settings(unit: str) -> dict[str, str]:
    """A unit's settings as `Section.Name`, each of them once."""
    found: dict[str, str] = {}
    section = ""
    for line in unit.split("\n"):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert f"{section}.{name}" not in found
            found[f"{section}.{name}"] = value
    return found


def words(line: str) -> list[str]:
    """A command line as systemd.service(5) says that it is read: unquoted, unescaped, then `%%` and `$$`."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', line)
    return [_unescaped(quoted or plain).replace("%%", "%").replace("$$", "$") for quoted, plain in found]


def _unescaped(text: str) -> str:
    return re.sub(r"\\(?:x([0-9a-f]{2})|(.))", lambda one: chr(int(one[1], 16)) if one[1] else one[2], text)


# -- systemd


def test_the_unit_runs_the_command() -> None:
    assert words(settings(SYSTEMD.render(JOB))["Service.ExecStart"]) == list(COMMAND)


@given(TEXTS)
def test_any_argument_arrives_at_a_unit_as_it_is(text: str) -> None:
    line = settings(SYSTEMD.render(Job(("/bin/python3", text), LOG)))["Service.ExecStart"]
    assert words(line) == ["/bin/python3", text]
    assert not re.search(r"(?<![%$])(?:%%|\$\$)*[%$](?![%$])", line)  # nothing is left for systemd to replace


def test_the_unit_waits_for_ready_restarts_and_is_hardened() -> None:
    unit = settings(SYSTEMD.render(JOB))
    wanted = {
        "Type": "notify", "Restart": "on-failure", "RestartPreventExitStatus": "2", "UMask": "0077",
        "NoNewPrivileges": "yes", "ProtectSystem": "full", "RestrictSUIDSGID": "yes", "WatchdogSec": "10min",
    }  # fmt: skip
    assert {name: unit[f"Service.{name}"] for name in wanted} == wanted
    assert unit["Unit.StartLimitIntervalSec"] == "0"
    assert unit["Install.WantedBy"] == "default.target"
    assert not any("Address" in name or "Network" in name for name in unit)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_itself_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "my python" / "python3"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    unit = tmp_path / systemd.UNIT
    unit.write_text(SYSTEMD.render(Job((str(program), *COMMAND[1:]), LOG)), "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if systemd.UNIT in line]
    newer = [line for line in complaints if "RestartSteps" in line or "RestartMaxDelaySec" in line]  # since 254
    assert complaints == newer
    assert done.returncode == 0, done.stderr


def test_what_a_unit_cannot_say_is_refused() -> None:
    for command in (("/opt/$x/python3",), ("/bin/python3", "/home/\udcff.yaml")):
        with pytest.raises(ConfigError, match="cannot be written"):
            SYSTEMD.render(Job(command, LOG))


# -- launchd


def test_the_agent_runs_the_command_and_keeps_its_log() -> None:
    agent = plistlib.loads(LAUNCHD.render(JOB).encode())
    assert agent["ProgramArguments"] == [*COMMAND, "--log", str(LOG)]
    assert agent["Label"] == launchd.LABEL
    assert agent["StandardErrorPath"] == str(LOG)
    assert (agent["RunAtLoad"], agent["KeepAlive"], agent["Umask"]) == (True, {"SuccessfulExit": False}, 0o077)


# -- Task Scheduler


def test_the_task_runs_the_command_without_a_window() -> None:
    program = "C:\\Program Files\\Python\\python.exe"
    job = Job((program, "-m", "memferry", "--config", "C:\\Users\\jürgen & co\\m.yaml", "run"), Path("C:/s/m.log"))
    task = ElementTree.fromstring(SCHEDULER.render(job))
    texts = {one.tag.removeprefix(TASK): one.text for one in task.iter()}
    assert texts["Command"] == "C:\\Program Files\\Python\\pythonw.exe"
    assert texts["Arguments"] == f'-m memferry --config "C:\\Users\\jürgen & co\\m.yaml" run --log {job.log}'
    assert [one.text for one in task.iter(f"{TASK}UserId")] == ["DESK\\jürgen"] * 2


def test_the_task_comes_again_whatever_ended_it() -> None:
    task = ElementTree.fromstring(SCHEDULER.render(JOB))
    found = {one.tag.removeprefix(TASK): one.text for one in task.iter() if one.text and one.text.strip()}
    assert (found["MultipleInstancesPolicy"], found["ExecutionTimeLimit"]) == ("IgnoreNew", "PT0S")
    assert task.find(f"{TASK}Triggers/{TASK}LogonTrigger/{TASK}Repetition/{TASK}Interval") is not None
    assert found["RunLevel"] == "LeastPrivilege"


# -- all of them


@given(TEXTS)
def test_xml_says_what_was_meant_or_refuses_it(text: str) -> None:
    try:
        content = template.xml(text)
    except ConfigError:
        assert re.search("[\0-\x1f\ufffe\uffff]", text)
        return
    assert ElementTree.fromstring(f"<a>{content}</a>").text == text


@pytest.mark.parametrize("supervisor", [SYSTEMD, LAUNCHD, SCHEDULER], ids=lambda one: one.name)
def test_nothing_is_left_to_fill_in(supervisor: Supervisor) -> None:
    assert supervisor.render(JOB).count("{{") == 1  # the one in the path


@pytest.mark.parametrize("name", [systemd.UNIT, launchd.PLIST, scheduler.XML])
def test_what_is_shipped_is_what_lies_under_config(name: str) -> None:
    assert template.template(name) == (ROOT / "config" / name).read_text("utf-8")
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    place = "/".join(("memferry", *template.__name__.split(".")[1:-1], name))
    assert build["targets"]["wheel"]["force-include"][f"config/{name}"] == place
