"""What systemctl, launchctl and schtasks are told, and what is made of their answers. They are stand-ins here: see
`fakes`. Where there is a real systemd, `test_real_systemd` uses that."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from memferry.agent.daemon.supervisors.base import Job
from memferry.agent.daemon.supervisors.launchd import LABEL, Launchd
from memferry.agent.daemon.supervisors.scheduler import TaskScheduler
from memferry.agent.daemon.supervisors.systemd import Systemd
from memferry.errors import SupervisorError
from tests.service.fakes import Programs, Reply

if sys.platform == "win32":
    pytest.skip("the stand-ins are scripts that name their interpreter", allow_module_level=True)

TARGET = f"gui/501/{LABEL}"
UNKNOWN = {"print": Reply(113, "", "Could not find service")}
PRINTED = f"{TARGET} = {{\n\tstate = running\n\tpid = 4711\n\truns = 2\n\tsub = {{\n\t\tstate = active\n\t}}\n}}\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(programs.folder))
    return programs


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(("/usr/bin/python3", "-m", "memferry", "run"), tmp_path / "state" / "memferry.log")


def without_looking(calls: list[list[str]]) -> list[list[str]]:
    """Only the calls that change something."""
    looks = {"show-environment", "show", "show-user", "print", "/Query"}
    return [call[1:] for call in calls if not looks & set(call)]


# -- systemd


def test_a_unit_is_written_enabled_and_started(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("systemctl")
    supervisor = Systemd(tmp_path / "units", 1000)
    assert supervisor.install(job)
    assert supervisor.unit.read_text() == supervisor.render(job)
    assert without_looking(programs.calls()) == [
        ["--user", "daemon-reload"],
        ["--user", "enable", "memferry.service"],
        ["--user", "restart", "--no-block", "memferry.service"],
    ]


def test_installing_again_leaves_a_running_service_alone(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("systemctl")
    supervisor = Systemd(tmp_path / "units", 1000)
    supervisor.install(job)
    programs.calls()
    assert not supervisor.install(job)
    assert without_looking(programs.calls())[-1] == ["--user", "start", "--no-block", "memferry.service"]
    assert supervisor.install(job._replace(command=(*job.command, "-v")))
    assert without_looking(programs.calls())[-1] == ["--user", "restart", "--no-block", "memferry.service"]


def test_uninstalling_removes_what_was_written(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("systemctl")
    supervisor = Systemd(tmp_path / "units", 1000)
    supervisor.install(job)
    programs.calls()
    assert supervisor.uninstall()
    assert list((tmp_path / "units").iterdir()) == []
    assert without_looking(programs.calls()) == [
        ["--user", "disable", "--now", "memferry.service"],
        ["--user", "daemon-reload"],
    ]
    assert not supervisor.uninstall()


def test_what_systemd_shows_is_told(programs: Programs, tmp_path: Path) -> None:
    shown = "ActiveState=activating\nSubState=auto-restart\nNRestarts=3\nStatusText=a=b\n"
    programs.add("systemctl", {"show": Reply(0, shown)})
    programs.add("loginctl", {"show-user": Reply(0, "yes\n")})
    condition = Systemd(tmp_path / "units", 1000).condition()
    assert (condition.installed, condition.state) == (False, "activating (auto-restart)")
    assert (condition.facts["NRestarts"], condition.facts["StatusText"]) == ("3", "a=b")
    assert condition.hint == ""


def test_a_user_whose_services_end_with_the_login_is_told(programs: Programs, tmp_path: Path) -> None:
    programs.add("systemctl")
    programs.add("loginctl", {"1000": Reply(0, "no\n")})
    assert "loginctl enable-linger" in Systemd(tmp_path / "units", 1000).condition().hint


def test_a_user_without_a_systemd_is_told_what_to_do(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("systemctl", {"--user": Reply(1, "", "Failed to connect to bus: No medium found\n")})
    supervisor = Systemd(tmp_path / "units", 1000)
    for act in (supervisor.condition, supervisor.start, supervisor.uninstall, lambda: supervisor.install(job)):
        with pytest.raises(SupervisorError, match=r"no systemd for this user here .Failed to connect") as raised:
            act()
        assert "memferry run" in raised.value.hint
    assert not supervisor.unit.exists()


def test_a_system_without_systemctl_is_told_what_to_do(programs: Programs, job: Job, tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match="there is no systemctl here") as raised:
        Systemd(tmp_path / "units", 1000).install(job)
    assert "memferry run" in raised.value.hint


def test_a_refusal_is_told_in_the_manager_s_words(programs: Programs, tmp_path: Path) -> None:
    programs.add("systemctl", {"start": Reply(5, "", "Unit memferry.service is masked.\n")})
    with pytest.raises(SupervisorError, match=r"start --no-block memferry.service` failed: Unit .* is masked"):
        Systemd(tmp_path / "units", 1000).start()


def test_the_journal_is_the_log(programs: Programs, tmp_path: Path) -> None:
    programs.add("journalctl", {"--lines=2": Reply(0, "one\ntwo\n")})
    assert Systemd(tmp_path / "units", 1000).logs(2) == ["one", "two"]
    assert "--user-unit=memferry.service" in programs.calls()[0]


# -- launchd


def agent(tmp_path: Path, job: Job) -> Launchd:
    return Launchd(tmp_path / "agents", 501, job.log, sleep=lambda seconds: None)


def test_an_agent_is_written_loaded_and_started(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("launchctl", UNKNOWN)
    supervisor = agent(tmp_path, job)
    assert supervisor.install(job)
    assert supervisor.unit.read_text() == supervisor.render(job)
    assert job.log.parent.is_dir()
    assert without_looking(programs.calls()) == [
        ["enable", TARGET],
        ["bootstrap", "gui/501", str(supervisor.unit)],
    ]


def test_an_agent_that_is_loaded_as_it_should_be_stays(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("launchctl", UNKNOWN)
    supervisor = agent(tmp_path, job)
    supervisor.install(job)
    programs.add("launchctl", {"print": Reply(0, PRINTED)})
    programs.calls()
    assert not supervisor.install(job)
    assert without_looking(programs.calls()) == [["enable", TARGET]]
    programs.add("launchctl", {"print": Reply(0, PRINTED.replace("\tpid = 4711\n", ""))})
    supervisor.start()
    assert without_looking(programs.calls()) == [["kickstart", TARGET]]


def test_an_agent_that_does_not_go_is_named(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("launchctl", {"print": Reply(0, PRINTED)})
    with pytest.raises(SupervisorError, match="did not unload"):
        agent(tmp_path, job).uninstall()


def test_an_agent_stops_by_a_signal_which_launchd_takes_for_meant(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("launchctl", {"print": Reply(0, PRINTED)})
    supervisor = agent(tmp_path, job)
    assert supervisor.condition().facts == {"state": "running", "pid": "4711", "runs": "2"}
    supervisor.stop()
    assert without_looking(programs.calls()) == [["kill", "SIGTERM", TARGET]]
    programs.add("launchctl", UNKNOWN)
    supervisor.stop()
    assert without_looking(programs.calls()) == []


# -- Task Scheduler


def task(tmp_path: Path, job: Job) -> TaskScheduler:
    return TaskScheduler(tmp_path / "tasks", "DESK\\ant", job.log)


def test_a_task_is_registered_and_started(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("schtasks")
    supervisor = task(tmp_path, job)
    assert supervisor.install(job)
    assert supervisor.unit.read_bytes().decode("utf-16") == supervisor.render(job)
    assert without_looking(programs.calls()) == [
        ["/End", "/TN", "memferry"],
        ["/Create", "/TN", "memferry", "/XML", str(supervisor.unit), "/F"],
        ["/Run", "/TN", "memferry"],
    ]
    assert not supervisor.install(job)
    assert ["/End", "/TN", "memferry"] not in without_looking(programs.calls())


def test_a_task_that_is_stopped_is_not_started_by_its_trigger(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("schtasks", {"/Query": Reply(0, "<Settings><Enabled>false</Enabled></Settings>")})
    supervisor = task(tmp_path, job)
    supervisor.stop()
    assert without_looking(programs.calls())[0] == ["/Change", "/TN", "memferry", "/DISABLE"]
    assert supervisor.condition().state == "disabled"
    supervisor.start()
    assert without_looking(programs.calls()) == [["/Change", "/TN", "memferry", "/ENABLE"], ["/Run", "/TN", "memferry"]]


def test_a_task_that_is_not_registered_is_not_there(programs: Programs, job: Job, tmp_path: Path) -> None:
    programs.add("schtasks", {"/Query": Reply(1, "", "ERROR: The system cannot find the file specified.")})
    supervisor = task(tmp_path, job)
    assert not supervisor.condition().installed
    assert not supervisor.uninstall()
    assert without_looking(programs.calls()) == []


# -- log files


def test_the_end_of_a_log_file_is_shown(job: Job, tmp_path: Path) -> None:
    assert task(tmp_path, job).logs(2) == []
    job.log.parent.mkdir()
    job.log.write_text("one\ntwo\nthree\n")
    assert task(tmp_path, job).logs(2) == ["two", "three"]
    assert agent(tmp_path, job).logs(1) == ["three"]
