"""Rules, decisions and redaction on whole machines: what leaves, what is taken back, and what is never overwritten."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from memferry.agent import service
from memferry.agent.commands.doctor import doctor
from memferry.agent.commands.explain import explain_target
from memferry.agent.intake.decisions import Decisions
from memferry.agent.intake.judging import Judging
from memferry.agent.intake.rejudge import ASIDE
from memferry.agent.sending import audit
from memferry.agent.service import opened
from memferry.config import Config
from memferry.errors import BackendError, ConfigError, Halted
from memferry.keys import Fingerprinter
from memferry.model import Sealed
from tests.agent.machines import QUICK, Machine, quiet
from tests.policies import desks
from tests.support import config_for

PRIVATE = "the winter timetable of the ferry will not be printed before the new pier is paid for"
REDACT = "{name: cut, do: redact, finding: '*'}"
BLOCKS = "{name: blocks, do: redact, finding: private-block}"


class Ruled(Machine):
    """A machine with rules. `rules`: in YAML, one after the other; `policy`: other settings."""

    rules: tuple[str, ...] = ()
    policy: str = ""

    @property
    def config(self) -> Config:
        policy = f"policy: {{rules: [{', '.join(self.rules)}]{self.policy}}}\n"
        return config_for(self.base, self.name, encryption=self.encryption, more=QUICK + policy)

    def push(self, *rules: str) -> dict[str, Any]:
        self.rules = rules
        report = self.do("push")
        assert report["exit_code"] == 0, report
        return report

    def texts(self) -> list[str]:
        """What this machine's log tells now, without the digits of markers."""
        found = [op["body"] for op in self.stored() if op["op"] == "put"]
        return sorted(desks.without_digits(body) for body in found)

    def everything(self) -> bytes:
        """Every byte that left, and every byte of the state but for the decisions and what was taken back."""
        with opened(self.config, "test") as agent:
            frames = [row[0] for row in agent.state.rows("select frame from journal")]
        unpacked = b"".join(zstandard.ZstdDecompressor().decompress(frame, max_output_size=1 << 24) for frame in frames)
        files = [path for path in self.state.rglob("*") if path.is_file() and path.name != ASIDE]
        return self.outside() + unpacked + b"".join(path.read_bytes() for path in files)


@pytest.fixture(autouse=True)
def _simple_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the real one finds, this one finds what these tests are about."""
    monkeypatch.setattr(service, "Judging", partial(Judging, search=desks.search))


@pytest.fixture
def ant(tmp_path: Path) -> Ruled:
    return Ruled(tmp_path, "ant")


# -- what leaves


def test_a_secret_leaves_in_no_byte(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "password: hunter2000 here"}, {"text": "password=qwertz99"})
    ant.write("setup.md", "# Setup\npassword: hunter2000\nthen log in\n")
    ant.write("list.json", '[{"id": "e", "text": "password: hunter2000"}, {"id": "f", "text": "open"}]')
    before = {path: path.read_bytes() for path in ant.tree.rglob("*") if path.is_file()}
    ant.push(REDACT)
    assert ant.texts() == [
        "# Setup\npassword: [redacted:password]\nthen log in\n",
        '{"id": "a", "text": "password: [redacted:password] here"}',
        '{"id": "e", "text": "password: [redacted:password]"}',
        '{"id": "f", "text": "open"}',
        '{"text": "password=[redacted:password]"}',
    ]
    assert [secret for secret in (b"hunter2000", b"qwertz99") if secret in ant.everything()] == []
    assert {path: path.read_bytes() for path in ant.tree.rglob("*") if path.is_file()} == before
    digests = {op["digest"] for op in ant.stored() if op["op"] == "put"}
    assert not digests & {
        desks.digest_of(content) for content in [*before.values(), *b"".join(before.values()).split(b"\n")]
    }


def test_explain_says_how_many_records_of_a_file_left_redacted(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "password: hunter2000 here"}, {"id": "b", "text": "open"})
    ant.write("setup.md", "no secret\n")
    ant.push(REDACT)
    with opened(ant.config, "test") as agent:
        said = [explain_target(agent, str(ant.tree / name))[0].reason for name in ("log.jsonl", "setup.md")]
    assert [one.partition(";")[0] for one in said] == ["2 records of it, 1 redacted", "1 record of it"]


def test_nothing_is_sent_twice_and_a_lost_state_knows_it_again(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "password: hunter2000"}, {"text": "password=qwertz99"})
    ant.write("d.md", f"open <private>{PRIVATE}</private>")
    ant.push(REDACT, BLOCKS)
    told = ant.bodies()
    assert ant.do("push", force=True)["new"] == 0
    for path in ant.state.glob("state.db*"):
        path.unlink()
    report = ant.push(REDACT, BLOCKS)
    assert (report["new"], report["modified"], report["withdrawn"]) == (0, 0, 0)
    assert ant.bodies() == told
    ant.write("copy.md", f"as I said: {PRIVATE}")
    assert ant.push(REDACT, BLOCKS)["held"]["by_rule"] == {"overlap": 1}


def test_restore_says_how_many_are_redacted(ant: Ruled, tmp_path: Path) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "password: hunter2000"}, {"id": "b", "text": "open"})
    ant.push(REDACT)
    report = ant.do("restore", machine="ant", to=str(tmp_path / "out"))
    assert (report["records"], report["redacted"]) == (2, 1)
    assert "[redacted:password:" in (tmp_path / "out" / "notes" / "log.jsonl").read_text()


def test_a_shared_key_gives_the_same_markers_on_two_machines(tmp_path: Path) -> None:
    (tmp_path / "markers.key").write_bytes(b"0123456789abcdef" * 4)
    left = []
    for name in ("ant", "bee", "cat"):
        machine = Ruled(tmp_path / name, name)
        machine.policy = f", marker_key_file: {tmp_path / 'markers.key'}" if name != "cat" else ""
        machine.write("d.md", "password: hunter2000")
        machine.push(REDACT)
        left += machine.bodies()
    assert left[0] == left[1] != left[2]


# -- rules that change


def test_what_may_leave_no_more_is_taken_back_and_what_may_now_is_sent(ant: Ruled) -> None:
    ant.append(
        "log.jsonl", {"id": "a", "text": "Zeus sleeps"}, {"id": "b", "text": "Hera sleeps"}, {"id": "c", "text": "so"}
    )
    zeus, hera = "{name: z, do: hold, text: Zeus}", "{name: h, do: hold, text: Hera}"
    ant.push(zeus)
    assert [json.loads(body)["id"] for body in ant.bodies()] == ["b", "c"]
    report = ant.push(hera)
    assert (report["new"], report["withdrawn"], report["held"]["by_rule"]) == (1, 1, {"rules.h": 1})
    assert sorted(json.loads(body)["id"] for body in ant.bodies()) == ["a", "c"]
    assert b"Hera" not in ant.everything()
    assert ant.push(hera)["files"]["read"] == []


def test_versions_that_were_replaced_are_judged_too(ant: Ruled) -> None:
    ant.write("plan.md", "Zeus sleeps")
    ant.push()
    ant.write("plan.md", "nobody sleeps")
    ant.push()
    ant.push("{name: z, do: hold, text: Zeus}")
    assert ant.bodies() == ["nobody sleeps"]
    assert b"Zeus" not in ant.outside()


def test_of_a_file_that_is_gone_the_text_is_kept_at_home(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "Zeus sleeps"}, {"id": "b", "text": "open"})
    ant.write("other.md", "so that not everything is gone")
    ant.write("more.md", "so that not everything is gone at once")
    ant.push()
    (ant.tree / "log.jsonl").unlink()
    ant.push()
    ant.push("{name: z, do: hold, text: Zeus}")
    assert b"Zeus" not in ant.outside()
    (line,) = (ant.state / ASIDE).read_text().splitlines()
    assert json.loads(line)["body"] == '{"id": "a", "text": "Zeus sleeps"}'


def test_from_whole_to_redacted_to_held(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "mail to me@example.org"}, {"text": "mail to you@example.org"})
    ant.push("{name: mails, do: allow, finding: email}")
    assert b"me@example.org" in ant.outside()
    ant.push("{name: mails, do: redact, finding: email}")
    assert ant.texts() == ['{"id": "a", "text": "mail to [redacted:email]"}', '{"text": "mail to [redacted:email]"}']
    assert b"example.org" not in ant.everything()
    report = ant.push()
    assert ant.texts() == []
    assert report["held"]["by_rule"] == {"secrets.email": 2}


def test_what_would_be_redacted_is_withdrawn_if_it_repeats_what_a_new_rule_holds(ant: Ruled) -> None:
    """A line without an id of its own has another key without its secret."""
    ant.write("more.md", "so that not everything is gone at once")
    ant.append("log.jsonl", {"text": f"{PRIVATE}, says you@example.org"})
    ant.write("draft.md", f"{PRIVATE}, says you@example.org\n")
    mails = "{name: mails, do: allow, finding: email}"
    ant.push(mails)
    ant.push("{name: mails, do: redact, finding: email}", "{name: draft, do: hold, path: draft.md}")
    assert ant.bodies() == ["so that not everything is gone at once"]
    assert b"example.org" not in ant.everything()
    assert sorted((one["file"], one["rule"]) for one in held(ant)) == [
        ("draft.md", "rules.draft"), ("log.jsonl", "overlap")
    ]  # fmt: skip
    ant.push(mails)
    assert len(ant.bodies()) == 3


def test_so_is_what_names_it_and_no_push_goes_on_for_ever(ant: Ruled) -> None:
    ant.write("more.md", "so that not everything is gone at once")
    ant.append(
        "log.jsonl",
        {"text": "password: hunter2000 is set", "refs": ["evt-000009"]},
        {"id": "evt-000009", "text": "Zeus"},
    )
    ant.push("{name: cut, do: allow, finding: '*'}")
    assert len(ant.bodies()) == 3
    ant.push(REDACT, "{name: z, do: hold, text: Zeus}")
    assert ant.bodies() == ["so that not everything is gone at once"]
    assert b"hunter2000" not in ant.everything()


def test_a_ledger_that_is_renamed_is_judged_by_its_new_name_before_that_is_told(ant: Ruled) -> None:
    drafts = "{name: drafts, do: hold, path: drafts/}"
    ant.write("more.md", "so that not everything is gone at once")
    ant.log("one line", "another line")
    ant.push(drafts)
    assert len(ant.bodies()) == 3
    moved = ant.tree / "drafts" / "log.jsonl"
    moved.parent.mkdir()
    (ant.tree / "log.jsonl").rename(moved)
    ant.push(drafts)
    assert ant.bodies() == ["so that not everything is gone at once"]
    assert b"drafts/" not in ant.outside()
    assert ant.status()["spaces"][0]["held"] == 2
    moved.rename(ant.tree / "log.jsonl")
    ant.push(drafts)
    assert len(ant.bodies()) == 3


def test_a_rule_about_some_lines_of_a_renamed_ledger_leaves_the_others(ant: Ruled, tmp_path: Path) -> None:
    rule = "{name: drafts, do: hold, path: drafts/, text: Zeus}"
    ant.write("more.md", "so that not everything is gone at once")
    ant.log("one line", "Zeus sleeps", "another line")
    ant.push(rule)
    (ant.tree / "drafts").mkdir()
    (ant.tree / "log.jsonl").rename(ant.tree / "drafts" / "log.jsonl")
    ant.push(rule)
    assert b"Zeus" not in ant.outside()
    ant.do("restore", machine="ant", to=str(tmp_path / "out"))
    restored = tmp_path / "out" / "notes"
    assert sorted(path.name for path in restored.iterdir()) == ["drafts", "more.md"]
    left = (restored / "drafts" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in left] == ["one line", "another line"]
    assert ant.push(rule)["new"] == 0


def test_a_dry_run_of_new_rules_changes_nothing(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "Zeus sleeps"})
    ant.push()
    ant.rules = ("{name: z, do: hold, text: Zeus}",)
    assert ant.do("push", dry_run=True)["withdrawn"] == 1
    assert b"Zeus" in ant.outside()
    assert ant.do("push")["withdrawn"] == 1


def test_a_block_around_what_was_sent_takes_it_back_everywhere(ant: Ruled) -> None:
    ant.write("plan.md", f"# Plan\n\n{PRIVATE}\n\nThe rest.\n")
    ant.write("quote.md", f"He said: {PRIVATE}.")
    ant.push(BLOCKS)
    assert len(ant.bodies()) == 2
    ant.write("plan.md", f"# Plan\n\n<private>{PRIVATE}</private>\n\nThe rest.\n")
    ant.push(BLOCKS)
    assert ant.bodies() == ["# Plan\n\n[redacted:private]\n\nThe rest.\n"]
    assert PRIVATE.encode() not in ant.everything()


def test_a_block_around_a_word_takes_back_the_versions_that_had_it(ant: Ruled) -> None:
    """Too short to be recognised anywhere else."""
    ant.write("plan.md", "PIN 471183920\n")
    ant.push(BLOCKS)
    ant.write("plan.md", "<private>PIN 471183920</private>\n")
    ant.push(BLOCKS)
    assert ant.bodies() == ["[redacted:private]\n"]
    assert b"471183920" not in ant.everything()


def test_what_is_released_is_restored_byte_for_byte(ant: Ruled, tmp_path: Path) -> None:
    """Times and what surrounds an array's entries are told again."""
    file = ant.write("list.json", '{"entries":  [ {"id": "a", "text": "Zeus"} ,\n{"id": "b", "text": "Zeus"} ] }\n')
    os.utime(file, ns=(10**18, 10**18))
    ant.push()
    ant.push("{name: z, do: hold, text: Zeus}")
    assert [op for op in ant.stored() if op["op"] == "file"] == []
    ant.push()
    ant.do("restore", machine="ant", to=str(tmp_path / "out"))
    restored = tmp_path / "out" / "notes" / "list.json"
    assert restored.read_bytes() == file.read_bytes()
    assert restored.stat().st_mtime_ns == 10**18


def test_an_edit_of_a_redacted_document_leaves_one_version(ant: Ruled) -> None:
    ant.write("d.md", "password: hunter2000\none")
    ant.push(REDACT)
    ant.write("d.md", "password: hunter2000 and qwertz99\ntwo")
    ant.push(REDACT)
    ant.write("d.md", "no secret any more")
    ant.push(REDACT)
    assert "no secret any more" in ant.bodies()
    assert b"hunter2000" not in ant.everything()
    with opened(ant.config, "test") as agent:
        assert agent.state.rows("select * from redacted") == []


# -- rules that cannot be used


def test_while_the_rules_cannot_be_read_nothing_is_sent(ant: Ruled, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    ant.policy = f", rules_file: {file}"
    with pytest.raises(ConfigError, match=r"rules\.yaml cannot be read"):
        ant.do("push")
    file.write_text("- name: z\n  do: hold\n  text: Zeus\n")
    ant.write("a.md", "open")
    with opened(ant.config, "test") as agent:
        file.write_text("- name: z\n  do: hold\n  txt: Zeus\n")
        tree = agent.trees["notes"]
        with pytest.raises(Halted, match="line 3") as caught:
            agent.ingest(tree, service.Scope(), service.Outcome(1))
        assert "did you mean 'text'?" in caught.value.hint
        assert "line 3" in str(agent.deliver()["vault"].error)
        assert [problem.area for problem in agent.state.problems()] == ["policy"]
        file.write_text("- name: z\n  do: hold\n  text: open\n")
        outcome, halted = agent.ingest_all(service.Scope())
        assert (outcome.held, halted) == ({("rules.z", "a rule of yours says so"): 1}, [])
        assert agent.deliver()["vault"].error is None
        assert agent.state.problems() == []


def test_rules_that_cannot_be_loaded_are_bad_news_as_long_as_they_are(ant: Ruled, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    ant.policy = f", rules_file: {file}"
    assert rules_problem(ant) == ("new", f"halted: the rules in {file} cannot be read: No such file or directory")
    with pytest.raises(ConfigError):
        ant.do("push")
    assert rules_problem(ant)[0] == "new", "it came to nothing"
    file.write_text("- {name: z, do: hold, text: Zeus}\n")
    assert ant.do("push")["exit_code"] == 0
    assert rules_problem(ant) == ("ok", None)
    file.write_text("- {name: z, do: hold, txt: Zeus}\n")
    state, text = rules_problem(ant)
    assert state == "halted"
    assert "line 1" in str(text)
    assert not next(check for check in doctor(ant.config) if check.what == "rules").good
    file.write_text("- {name: z, do: hold, text: Hera}\n")
    assert rules_problem(ant) == ("ok", None), "it need not be pushed to be known"
    assert next(check for check in doctor(ant.config) if check.what == "rules").good


def rules_problem(ant: Ruled) -> tuple[str, str | None]:
    found = ant.status()
    return found["state"], next((one["text"] for one in found["problems"] if one["subject"] == "rules"), None)


def test_what_waits_is_judged_by_the_rules_of_the_moment_it_leaves(ant: Ruled, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("[]")
    ant.policy = f", rules_file: {file}"
    ant.write("a.md", "Zeus sleeps")
    ant.write("b.md", "open")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(service.Scope())
        file.write_text("- {name: z, do: hold, text: Zeus}\n")
        agent.deliver()
    assert ant.bodies() == ["open"]
    assert b"Zeus" not in ant.everything()


def test_another_key_for_markers_makes_them_anew(ant: Ruled, tmp_path: Path) -> None:
    ant.write("a.md", "password: hunter2000")
    ant.push(REDACT)
    (before,) = ant.bodies()
    (tmp_path / "markers.key").write_bytes(b"0123456789abcdef" * 2)
    ant.policy = f", marker_key_file: {tmp_path / 'markers.key'}"
    ant.push(REDACT)
    (after,) = ant.bodies()
    assert before != after
    (tmp_path / "markers.key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="less than 32 bytes"):
        ant.push(REDACT)


def test_rules_that_are_gone_stop_everything_until_they_are_back(ant: Ruled, tmp_path: Path) -> None:
    """At every look, not only at the first."""
    file = tmp_path / "rules.yaml"
    file.write_text("- {name: z, do: hold, path: x}\n")
    ant.policy = f", rules_file: {file}"
    with opened(ant.config, "test") as agent:
        agent.gate.check()
        file.unlink()
        for _ in range(3):
            with pytest.raises(Halted, match="cannot be read"):
                agent.gate.check()
        file.write_text("- {name: z, do: hold, path: y}\n")
        agent.gate.check()


def test_a_name_stands_once_in_both_places(ant: Ruled, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("- {name: z, do: hold, path: x}\n")
    ant.policy = f", rules_file: {tmp_path / 'rules.yaml'}"
    ant.rules = ("{name: z, do: hold, path: y}",)
    with pytest.raises(ConfigError, match="line 1: the name 'z' is taken"):
        ant.do("push")


# -- decisions


def held(machine: Ruled, **arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = machine.do("held", **arguments)["held"]
    return found


def test_what_is_held_is_listed_masked(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "open"}, {"id": "b", "text": "the password: hunter2000 works"})
    ant.write("d.md", "a <private>b</private>")
    ant.push()
    mark, password = held(ant)
    assert (mark["rule"], mark["file"], mark["findings"]) == ("labels.mark", "d.md", [])
    assert (password["rule"], password["file"], password["line"]) == ("secrets.password", "log.jsonl", 2)
    assert password["findings"] == [{"finding": "password", "does": "hold", "text": "the password: hu••• works"}]
    assert b"hunter2000" not in json.dumps(ant.do("held")).encode()
    assert held(ant, rule="labels") == [mark]
    assert held(ant, names=[password["name"]]) == [password]


def test_allow_lets_the_secret_go_wherever_it_stands_and_through_edits(ant: Ruled) -> None:
    ant.write("a.md", "password: hunter2000")
    ant.write("b.md", "same password: hunter2000 and password: qwertz99")
    ant.push()
    (one,) = [one for one in held(ant) if one["file"] == "a.md"]
    report = ant.do("held", do="allow", names=[one["name"]], reason="from the manual")
    assert (report["stored"], len(report["decided"])) == (1, 1)
    assert ant.bodies() == ["password: hunter2000"]
    ant.write("a.md", "edited, but still password: hunter2000")
    ant.push()
    assert "edited, but still password: hunter2000" in ant.bodies()
    (left,) = held(ant)
    assert [found["does"] for found in left["findings"]] == ["allow", "hold"]


def test_a_decision_outlives_the_state_and_can_be_taken_back(ant: Ruled) -> None:
    ant.write("a.md", "password: hunter2000")
    ant.push()
    ant.do("held", do="allow", names=[held(ant)[0]["name"]], reason="why not")
    for path in ant.state.glob("state.db*"):
        path.unlink()
    ant.push()
    assert ant.bodies() == ["password: hunter2000"]
    (decision,) = ant.do("held", decisions=True)["decisions"]
    assert (decision["do"], decision["reason"], decision["finding"]) == ("allow", "why not", "password")
    assert b"hunter2000" not in (ant.state / "decisions.jsonl").read_bytes()
    report = ant.do("held", do="hold", names=[decision["name"]], reason="better not")
    assert report["withdrawn"] == 1
    assert b"hunter2000" not in ant.outside()


def test_what_was_redacted_may_leave_whole_by_a_later_decision(ant: Ruled) -> None:
    ant.write("a.md", "password: hunter2000")
    ant.push()
    ant.do("held", do="redact", names=[held(ant)[0]["name"]], reason="")
    (decision,) = ant.do("held", decisions=True)["decisions"]
    ant.do("held", do="allow", names=[decision["name"]], reason="")
    assert "password: hunter2000" in ant.bodies()


def test_redact_and_keep(ant: Ruled) -> None:
    ant.write("a.md", "password: hunter2000")
    ant.write("b.md", "password: qwertz99")
    ant.push()
    one, other = held(ant)
    ant.do("held", do="redact", names=[one["name"]], reason="")
    ant.do("held", do="hold", names=[other["name"]], reason="mine")
    assert ant.texts() == ["password: [redacted:password]"]
    assert held(ant) == []
    assert [one["file"] for one in held(ant, all=True)] == ["b.md"]


@pytest.mark.parametrize(
    ("text", "way_out"), [("a <private>b</private>", "change that in the file"), ("Zeus", "change the rule")]
)
def test_what_no_decision_can_undo_says_what_can(ant: Ruled, text: str, way_out: str) -> None:
    ant.write("a.md", text)
    ant.push("{name: z, do: hold, text: Zeus}")
    (one,) = held(ant)
    with pytest.raises(ConfigError, match="no decision can undo") as caught:
        ant.do("held", do="allow", names=[one["name"]], reason="")
    assert way_out in caught.value.hint
    assert ant.bodies() == []


def test_an_unfinished_decision_is_none_and_a_damaged_one_stops(tmp_path: Path) -> None:
    key = Fingerprinter(b"k" * 32)
    decisions = Decisions(tmp_path, key)
    decisions.decide("allow", "s", "password", "hunter2000", "")
    with decisions.path.open("a") as file:
        file.write('{"about": 1, "do": "al')
    Decisions(tmp_path, key).decide("allow", "s", "password", "qwertz99", "")
    assert [one.do for one in Decisions(tmp_path, key)] == ["allow", "allow"]
    decisions.path.write_text('{"about": 1}\n')
    with pytest.raises(ConfigError, match="line 1: cannot be read"):
        Decisions(tmp_path, key)


# -- between machines


@pytest.fixture
def bee(tmp_path: Path) -> Ruled:
    return Ruled(tmp_path, "bee")


@pytest.mark.parametrize(("file", "wrap"), [("d.md", "{}"), ("list.json", '[{{"id": "e", "text": "{}"}}]')])
def test_an_edit_of_the_redacted_version_never_overwrites_the_original(
    ant: Ruled, bee: Ruled, file: str, wrap: str
) -> None:
    original = wrap.format("password: hunter2000 one")
    ant.write(file, original)
    ant.rules = bee.rules = (REDACT,)
    quiet(ant, bee)
    got = bee.read(file)
    assert "[redacted:password:" in got
    bee.write(file, got.replace("one", "one and two"))
    quiet(bee, ant)
    assert ant.read(file) == original
    assert "one and two" in bee.read(file)
    (conflict,) = ant.conflicts()
    assert "one and two" in conflict["body"]
    assert conflict["current"]["machine"] == "ant"
    with pytest.raises(ConfigError, match="nothing may write over it"):
        ant.do("conflicts", resolve=str(conflict["name"]), keep="other")
    ant.do("conflicts", resolve=str(conflict["name"]), keep="current")
    quiet(ant, bee)
    assert ant.conflicts() == bee.conflicts() == []
    assert (ant.read(file), bee.read(file)) == (original, got)
    assert b"hunter2000" not in ant.outside()


def test_a_redacted_version_that_lost_elsewhere_is_in_conflict_nowhere(ant: Ruled, bee: Ruled) -> None:
    ant.rules = bee.rules = (REDACT,)
    ant.write("d.md", "password: hunter2000 one")
    ant.do("push")
    bee.write("d.md", "another text")
    quiet(ant, bee)
    assert len(ant.conflicts()) == len(bee.conflicts()) == 1
    bee.do("conflicts", resolve="d.md")
    quiet(ant, bee)
    assert ant.conflicts() == bee.conflicts() == []
    assert ant.copies() == bee.copies() == []
    assert (ant.read("d.md"), bee.read("d.md")) == ("password: hunter2000 one", "another text")


def test_taking_over_an_edit_by_hand_settles_it(ant: Ruled, bee: Ruled) -> None:
    ant.write("d.md", "password: hunter2000 one")
    ant.rules = bee.rules = (REDACT,)
    quiet(ant, bee)
    bee.write("d.md", bee.read("d.md").replace("one", "one and two"))
    quiet(bee, ant)
    assert len(ant.conflicts()) == 1
    ant.write("d.md", "password: hunter2000 one and two")
    quiet(ant, bee)
    assert ant.conflicts() == bee.conflicts() == []
    assert ant.copies() == bee.copies() == []
    assert "hunter2000 one and two" in ant.read("d.md")


# -- audit


def lines_of(machine: Ruled) -> list[dict[str, Any]]:
    return list(audit.read(machine.state))


def test_the_audit_tells_what_left_and_what_was_taken_back(ant: Ruled) -> None:
    ant.append("log.jsonl", {"id": "a", "text": "Zeus sleeps"}, {"id": "b", "text": "open"})
    ant.push()
    ant.push("{name: z, do: hold, text: Zeus}")
    sending, acknowledged, *_ = lines_of(ant)
    assert (sending["did"], sending["records"], sending["backend"]) == ("sending", {"notes": 2}, "vault")
    assert acknowledged | {"did": "", "at": ""} == {
        name: value for name, value in sending.items() if name not in ("records", "bytes")
    } | {"did": "", "at": ""}
    *_, taken_back, last = lines_of(ant)
    assert (taken_back["retracted"], last["did"]) == ("1", "acknowledged")
    assert taken_back["rules"] != sending["rules"]
    text = (ant.state / audit.FILE).read_text()
    assert not any(word in text for word in ("Zeus", "log.jsonl", '"a"'))


def test_the_audit_outlives_the_state(ant: Ruled) -> None:
    ant.write("a.md", "open")
    ant.push()
    before = lines_of(ant)
    for path in ant.state.glob("state.db*"):
        path.unlink()
    ant.push()
    assert lines_of(ant)[: len(before)] == before


def test_what_a_backend_did_not_acknowledge_is_on_record(ant: Ruled, monkeypatch: pytest.MonkeyPatch) -> None:
    ant.write("a.md", "open")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(service.Scope())
        with agent.backend("vault") as backend:
            delivery = agent.dispatch.delivery(backend)
            delivery._backend = Unreachable()  # type: ignore[assignment]
            assert "away" in str(delivery.run().error)
    assert [line["did"] for line in lines_of(ant)] == ["sending", "failed"]


class Unreachable:
    name = "vault"

    def deliver(self, batch: object) -> None:
        raise BackendError("it is away", backend="vault")


def test_the_audit_is_bounded_and_survives_a_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FILE_BYTES", 1000)
    record = audit.Audit(tmp_path, lambda: "v", clock=lambda: 0.0)
    batch = [Sealed(1, 2, 2, 0, b"", ())]
    for number in range(200):
        record.note("failed", f"b{number}", batch)
    assert len(list(tmp_path.iterdir())) == audit.FILES_KEPT + 1
    found = [line["backend"] for line in audit.read(tmp_path)]
    assert found == [f"b{number}" for number in range(200 - len(found), 200)]
    with (tmp_path / audit.FILE).open("a") as file:
        file.write('{"at": "torn')
    record.note("failed", "after", batch)
    assert [line["backend"] for line in audit.read(tmp_path)][-2:] == ["b199", "after"]
