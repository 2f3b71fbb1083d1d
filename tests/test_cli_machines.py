"""Machines that share an encrypted vault, by the command line: invited, joined, revoked, lost and found again."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyrage
import pytest

from memferry.agent.commands import machines
from memferry.agent.recovery import identity
from memferry.backends import names, registry
from memferry.backends.encryption import age, invites
from memferry.backends.encryption.keys import Keys
from memferry.backends.faulty import Fault, FaultyStore, When
from memferry.backends.local import LocalStore
from memferry.backends.vault.backend import Vault
from memferry.errors import ConfigError, TransientError
from memferry.model import Identity
from tests.agent.machines import Typed

CODE = re.compile(r"[0-9a-f]{8}(-[A-Z2-7]{4}){4}")
SECRET = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")


@pytest.fixture
def computers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Typed]:
    found = {name: Typed(tmp_path, name, capsys, encryption="age") for name in ("ant", "bee", "cat")}
    found["ant"].log("the first of all")
    found["ant"].run("push")
    return found


def invited(by: Typed) -> str:
    code = CODE.match(by.run("machines", "invite"))
    assert code
    return code[0]


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


class QuickCodes:
    """age with a key of its own for each passphrase, in place of a second's work over it."""

    def __init__(self) -> None:
        self._identities: dict[str, str] = {}

    def _identity(self, passphrase: str) -> Any:
        text = self._identities.setdefault(passphrase, age.new_identity())
        return pyrage.x25519.Identity.from_str(text)

    def encrypt(self, data: bytes, passphrase: str) -> bytes:
        made: bytes = pyrage.encrypt(data, [self._identity(passphrase).to_public()])
        return made

    def decrypt(self, data: bytes, passphrase: str) -> bytes:
        found: bytes = pyrage.decrypt(data, [self._identity(passphrase)])
        return found


@pytest.fixture
def quick_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what becomes of a code, not of how it opens."""
    codes = QuickCodes()
    monkeypatch.setattr(age, "_by_passphrase", lambda: codes)


# -- a new vault


def test_a_new_vault_says_that_its_recovery_key_is_to_be_written_down(computers: dict[str, Typed]) -> None:
    ant = computers["ant"]
    assert "recovery key" in ant.err
    assert not SECRET.search(ant.out + ant.err)
    assert "recovery key not written down" in ant.run("status")
    assert ant.json("status")["backends"][0]["recovery_key_to_write_down"] is True
    assert ant.shows()["recovery_key_to_write_down"] is True

    shown = ant.run("machines", "recovery")
    assert SECRET.match(shown)
    assert ant.json("status")["backends"][0]["recovery_key_to_write_down"] is False
    ant.run("machines", "recovery", exit_code=2)
    assert "does not keep the recovery key" in ant.err


def test_a_terminal_is_shown_the_key_itself(
    computers: dict[str, Typed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Typed(tmp_path, "elk", capsys, encryption="age", vault="another-vault")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    other.log("hello")
    other.run("push")
    assert Keys(other.state).recovery("vault") in other.err.split()
    other.run("push")
    assert not SECRET.search(other.err)


def test_secrets_are_no_json_and_go_to_files_for_their_owner_alone(computers: dict[str, Typed], tmp_path: Path) -> None:
    ant = computers["ant"]
    for action in ("invite", "recovery"):
        ant.run("machines", action, "--json", exit_code=2)
        assert "--file" in ant.err
    path = tmp_path / "recovery.txt"
    report = ant.json("machines", "recovery", "--file", str(path))
    assert report == {"backend": "vault", "file": str(path)}
    assert SECRET.fullmatch(path.read_text().strip())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or os.name == "nt"
    assert not Keys(ant.state).has_recovery("vault")


# -- invite, join


def test_an_invited_machine_takes_part(computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch) -> None:
    ant, bee = computers["ant"], computers["bee"]
    bee.log("what bee knows")
    bee.run("push", exit_code=4)
    assert "no keys" in bee.err or "no keys" in bee.out
    assert "memferry machines join" in bee.out + bee.err
    assert "no keys" in bee.run("status", exit_code=1)

    code = invited(ant)
    typed(monkeypatch, f" {code.lower()}\n")
    assert "compare that" in bee.run("machines", "join")
    assert "failing" not in bee.run("status"), "what failed was to have no keys"
    bee.run("push")
    bee.run("status")
    ant.run("pull")
    bee.run("pull")
    assert "the first of all" in bee.text()
    assert "what bee knows" in ant.text()
    assert ant.shows()["fingerprint"] == bee.shows()["fingerprint"]
    assert [one["this"] for one in (ant.shows()["ant"], ant.shows()["bee"])] == [True, False]

    cat = computers["cat"]  # the same code once more
    typed(monkeypatch, code)
    cat.run("join", exit_code=2)
    assert "it was used" in cat.err
    assert not Keys(cat.state).pinned("vault")


@pytest.mark.usefixtures("quick_codes")
def test_codes_that_open_nothing(computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch) -> None:
    ant, bee = computers["ant"], computers["bee"]
    code = invited(ant)
    wrong = code[:-4] + ("AAAA" if not code.endswith("AAAA") else "BBBB")
    for given, complaint in {
        wrong: "does not open", "00000000" + code[8:]: "there is no invitation", "hello": "not an invitation code",
        "": "there is no code",
    }.items():  # fmt: skip
        typed(monkeypatch, given)
        bee.run("join", exit_code=2)
        assert complaint in bee.err
        assert not given or given not in bee.err + bee.out
        assert not (bee.state / "keys" / "vault.json").exists()

    bee.run("machines", "join", code, exit_code=2)
    assert "never an argument" in bee.err
    assert code not in bee.err
    bee.run("join", code, exit_code=2)
    assert code not in bee.err
    later = time.time() + invites.LIFETIME_S + 1
    monkeypatch.setattr("time.time", lambda: later)
    typed(monkeypatch, code)
    bee.run("join", exit_code=2)
    assert "expired" in bee.err


def test_the_wrong_recovery_key(computers: dict[str, Typed], tmp_path: Path) -> None:
    bee = computers["bee"]
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "vault").rglob("*"))
    for key in (
        Keys(tmp_path / "elsewhere").identity(),
        Keys(computers["ant"].state).identity(),
        "AGE-SECRET-KEY-1X",
        "?",
    ):
        (tmp_path / "key.txt").write_text(key)
        bee.run("join", "--recovery", "--file", str(tmp_path / "key.txt"), exit_code=2)
        assert "not the recovery key" in bee.err
        assert key == "?" or key not in bee.err
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "vault").rglob("*")) == before
    assert not (bee.state / "keys" / "vault.json").exists()


def test_two_machines_that_join_at_once_are_both_members(computers: dict[str, Typed]) -> None:
    ant, bee, cat = computers["ant"], computers["bee"], computers["cat"]
    key = Keys(ant.state).recovery("vault")
    assert key
    threads = [threading.Thread(target=machines.recover, args=(one.config, "vault", key)) for one in (bee, cat)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one["name"] for one in ant.shows()["machines"]} == {"ant", "bee", "cat"}
    ant.run("machines", "revoke", "bee")
    cat.run("pull")
    bee.run("pull", exit_code=4)


HEAVY = b"age-encryption.org/v1\n-> scrypt %s 40\n%s\n--- %s\n" % (b"A" * 22, b"A" * 43, b"A" * 43) + bytes(48)
"""What asks for 2 ** 40 steps of scrypt, and a petabyte."""


def test_a_code_that_is_too_much_work(computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch) -> None:
    bee = computers["bee"]
    (bee.base / "vault" / "invites").mkdir()
    (bee.base / "vault" / "invites" / "12345678.age").write_bytes(HEAVY)
    typed(monkeypatch, "12345678-AAAA-BBBB-CCCC-DDDD")
    bee.run("join", exit_code=1)
    assert "too busy, or too small" in bee.err
    assert "--recovery" in bee.err


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are kept by Linux")
def test_a_code_that_needs_more_memory_than_there_is() -> None:
    """age itself would end the process without a word of ours."""
    code = (
        "import resource, sys; from memferry.backends.encryption import age\n"
        "age.new_identity(); resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "try: age.decrypt_with_passphrase(sys.stdin.buffer.read(), 'x')\n"
        "except age.TooMuchWork: print('too much')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=HEAVY.replace(b" 40\n", b" 19\n"), capture_output=True, timeout=60
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, b"too much"), ran.stderr


@pytest.mark.usefixtures("quick_codes")
def test_a_busy_computer_measures_itself_again(computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch) -> None:
    ant, bee = computers["ant"], computers["bee"]
    by_passphrase, asked = age._by_passphrase, []
    typed(monkeypatch, invited(ant))

    def busy_twice() -> Any:
        asked.append(1)
        if len(asked) > 2:
            return by_passphrase()
        raise pyrage.DecryptError("Excessive work parameter for passphrase.")

    monkeypatch.setattr(age, "_by_passphrase", busy_twice)
    bee.run("join")
    assert len(asked) == 3


@pytest.mark.usefixtures("quick_codes")
def test_of_two_machines_with_one_code_one_gets_in(computers: dict[str, Typed]) -> None:
    ant, bee, cat = computers["ant"], computers["bee"], computers["cat"]
    code = machines.invite(ant.config, "vault", 0.0)
    members = {one.name: machines.members_of(_vault(one)) for one in (bee, cat)}
    assert invites.take(members["bee"], code, 1.0)
    with pytest.raises(ConfigError, match="by another machine"):
        invites.take(members["cat"], code, 1.0)
    assert invites.take(members["bee"], code, 1.0)  # a crash ago


def _vault(machine: Typed) -> Vault:
    me = Identity(machine.name * 8, machine.name, "epoch", "installation")
    made = registry.open_backend("vault", machine.config.backends["vault"], me, Keys(machine.state))
    assert isinstance(made, Vault)
    return made


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_join_that_dies_at_any_call_is_finished_by_the_next(
    computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch, when: When
) -> None:
    ant, bee = computers["ant"], computers["bee"]
    key = Keys(ant.state).recovery("vault")
    assert key
    make = registry.open_backend
    for at in range(1, 40):
        shutil.rmtree(bee.state, ignore_errors=True)
        fault = Fault(at, when)

        def dying(*given: Any, fault: Fault = fault) -> Any:
            made: Any = make(*given)
            store = FaultyStore(made._store, fault)
            for part in (made, made._reader, made._writer, made.members):
                setattr(part, "store" if part is made.members else "_store", store)
            return made

        monkeypatch.setattr(identity, "open_backend", dying)
        try:
            machines.recover(bee.config, "vault", key)
        except TransientError:
            monkeypatch.setattr(identity, "open_backend", make)
            machines.recover(bee.config, "vault", key)
        monkeypatch.setattr(identity, "open_backend", make)
        assert "bee" in ant.shows()
        bee.run("push")
        if not fault.failed:
            break
    else:
        pytest.fail("never got through")


@pytest.mark.usefixtures("quick_codes")
def test_an_invitation_that_is_taken_survives_a_crash_before_it_is_used(
    computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch
) -> None:
    ant, bee = computers["ant"], computers["bee"]
    code = invited(ant)
    with monkeypatch.context() as cable:
        cable.setattr(machines, "_give_way", lambda *given: (_ for _ in ()).throw(TransientError("the cable")))
        with pytest.raises(TransientError):
            machines.join(bee.config, "vault", code, 0.0)
    typed(monkeypatch, code)
    bee.run("join")
    bee.run("push")
    assert set(ant.shows()) >= {"ant", "bee"}


# -- revoke


def test_a_revoked_machine_is_out_and_the_others_go_on(computers: dict[str, Typed]) -> None:
    ant, bee, cat = computers.values()
    for one in (bee, cat):
        ant.let_in(one)
        one.log(f"what {one.name} knows")
        one.run("sync-memory")
    assert "generation 2" in ant.run("machines", "revoke", "bee")
    shown = ant.shows()
    assert (shown["bee"]["revoked"], shown["cat"]["revoked"]) == (True, False)
    assert [shown[name]["generation"] for name in ("ant", "bee", "cat")] == [2, 1, 1]

    bee.log("after it was revoked")
    for command in ("push", "pull"):
        bee.run(command, exit_code=4)
    assert "was revoked" in bee.run("status", exit_code=1)

    cat.log("more of cat")
    cat.run("push")
    assert cat.shows()["cat"]["generation"] == 2
    assert cat.shows()["fingerprint"] == ant.shows()["fingerprint"]
    ant.run("pull")
    text = ant.text()
    assert "what bee knows" in text  # the old keys still open its log
    assert "more of cat" in text
    assert "after it was revoked" not in text
    ant.run("verify")
    assert "bee" not in ant.json("machines", "revoke", "bee")["members"]  # again: nothing more happens
    assert ant.shows()["generation"] == 2


def test_a_machine_that_damages_its_log_is_revoked_all_the_same(computers: dict[str, Typed], tmp_path: Path) -> None:
    ant, bee, _ = computers.values()
    ant.let_in(bee)
    bee.log("what bee knows")
    bee.run("push")
    ant.run("pull")
    (head,) = (tmp_path / "vault" / "machines").glob(f"{bee.shows()['bee']['id']}/head.json.age")
    head.write_bytes(b"nothing")
    ant.run("pull", exit_code=4)
    ant.run("machines", "revoke", "bee")
    ant.run("pull")
    assert ant.shows()["bee"]["revoked"] is True


def test_who_cannot_be_revoked(computers: dict[str, Typed]) -> None:
    ant = computers["ant"]
    for arguments, complaint in ((["ant"], "cannot revoke itself"), (["dog"], "no machine dog"), ([], "which machine")):
        ant.run("machines", "revoke", *arguments, exit_code=2)
        assert complaint in ant.err
    assert ant.shows()["generation"] == 1


@pytest.mark.usefixtures("quick_codes")
def test_a_revoked_machine_may_be_invited_again(computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch) -> None:
    ant, bee = computers["ant"], computers["bee"]
    ant.let_in(bee)
    bee.log("before")
    bee.run("push")
    ant.run("machines", "revoke", "bee")
    bee.log("meanwhile")
    bee.run("push", exit_code=4)
    typed(monkeypatch, invited(ant))
    bee.run("join")
    bee.run("push")
    assert ant.shows()["bee"] | {"revoked": False, "generation": 2} == ant.shows()["bee"]
    ant.run("pull")
    assert "meanwhile" in ant.text()


@pytest.mark.usefixtures("quick_codes")
def test_open_invitations_end_with_a_revocation(computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch) -> None:
    ant, bee, cat = computers.values()
    ant.let_in(bee)
    code = invited(bee)
    ant.run("machines", "revoke", "bee")
    typed(monkeypatch, code)
    cat.run("join", exit_code=2)
    assert "withdrawn" in cat.err


# -- lost


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_restore_drill(computers: dict[str, Typed], tmp_path: Path) -> None:
    """A machine is lost with all that was on it. The recovery key, on paper, gives back everything that was sent."""
    ant, bee = computers["ant"], computers["bee"]
    ant.log("worth keeping")
    (ant.tree / "deep").mkdir()
    (ant.tree / "deep" / "plan.md").write_text("# Plan\n\nSail at dawn.\n")
    private = json.dumps({"id": "x", "visibility": "private", "text": "nobody's business"}) + "\n"
    with (ant.tree / "log.jsonl").open("a") as file:
        file.write(private)
    ant.run("push")
    paper = SECRET.match(ant.run("machines", "recovery"))
    assert paper
    lost = tree(ant.tree)
    shutil.rmtree(ant.home)

    (tmp_path / "typed.txt").write_text(paper[0])
    bee.run("join", "--recovery", "--file", str(tmp_path / "typed.txt"))
    bee.run("restore", "--machine", "ant", "--to", str(tmp_path / "restored"))
    lost["log.jsonl"] = lost["log.jsonl"].replace(private.encode(), b"")
    assert tree(tmp_path / "restored" / "notes") == lost

    bee.run("machines", "revoke", "ant")
    bee.run("verify")
    assert bee.shows()["ant"]["revoked"] is True


def test_a_restore_names_what_it_left_out(
    computers: dict[str, Typed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ant = computers["ant"]
    ant.write("plan.md", "# Plan\n")
    ant.write("CON.md", "# How to deploy\n")
    ant.run("push")
    monkeypatch.setattr(names, "ON_WINDOWS", True)
    shown = ant.run("restore", "--machine", "ant", "--to", str(tmp_path / "to"), exit_code=1)
    assert "  ! left out notes/CON.md: Windows cannot store its name\n    restore on another system\n" in shown
    assert sorted(tree(tmp_path / "to")) == ["notes/log.jsonl", "notes/plan.md"]
    (left,) = ant.json("restore", "--machine", "ant", "--to", str(tmp_path / "again"), exit_code=1)["left_out"]
    assert (left["file"], left["strange"]) == ("notes/CON.md", False)


def test_what_others_changed_since_comes_with_a_pull_once_the_folder_is_there(
    computers: dict[str, Typed], tmp_path: Path
) -> None:
    """A restore gives what its machine wrote; a new machine pulls the newest of all, and says what hinders it."""
    ant, bee, cat = computers.values()
    ant.write("plan.md", "# Plan\n")
    ant.run("push")
    alone = ant.run("restore", "--machine", "ant", "--to", str(tmp_path / "alone"))
    assert "memferry pull" not in alone
    ant.let_in(bee)
    bee.run("pull")
    bee.write("plan.md", "# Bee's plan\n")
    bee.run("push")
    ant.let_in(cat)
    shown = cat.run("restore", "--machine", "ant", "--to", str(tmp_path / "to"))
    assert "as ant wrote them; `memferry pull` brings what other machines changed since" in shown
    assert (tmp_path / "to" / "notes" / "plan.md").read_text() == "# Plan\n"

    cat.tree.rmdir()
    hint = "mount its disk, create the folder on a new machine, or correct `path` in the configuration"
    assert f"  ! space notes was passed over: {cat.tree} is not there\n    {hint}\n" in cat.run("pull")
    assert cat.json("pull")["passed_over"] == [{"space": "notes", "path": str(cat.tree), "next_step": hint}]
    assert hint in cat.run("status", exit_code=1)
    assert hint in cat.run("doctor", exit_code=1)
    cat.tree.mkdir()
    assert cat.json("pull")["passed_over"] == []
    assert cat.read("plan.md") == "# Bee's plan\n"
    assert "problem" not in cat.run("status")


def test_a_state_that_is_lost_is_found_again_where_its_keys_are_kept(
    computers: dict[str, Typed], tmp_path: Path
) -> None:
    ant = computers["ant"]
    before = {path: data for path, data in tree(tmp_path / "vault").items() if path.startswith("machines/")}
    for path in ant.state.iterdir():
        if path.name != "keys":
            path.unlink() if path.is_file() else shutil.rmtree(path)
    assert ant.json("push")["new"] == 0
    assert {path: data for path, data in tree(tmp_path / "vault").items() if path.startswith("machines/")} == before


def test_a_state_that_is_lost_with_its_keys_is_found_again_after_a_join(
    computers: dict[str, Typed], tmp_path: Path
) -> None:
    """Also when memferry ran meanwhile, as a machine that nobody knows."""
    ant = computers["ant"]
    id_ = ant.shows()["ant"]["id"]
    (tmp_path / "key.txt").write_text(Keys(ant.state).recovery("vault") or "")
    shutil.rmtree(ant.state)
    ant.log("written meanwhile")
    ant.run("push", exit_code=4)
    assert "memferry machines join" in ant.run("status", exit_code=1)
    ant.run("join", "--recovery", "--file", str(tmp_path / "key.txt"))
    assert ant.json("push")["new"] == 1
    shown = ant.shows()
    assert [one["id"] for one in shown["machines"] if one["sequence"]] == [id_]
    assert ant.json("status")["backends"][0]["waiting"] == 0


# -- what others can see


def test_nothing_secret_lies_where_it_does_not_belong(
    computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ant, bee = computers["ant"], computers["bee"]
    code = invited(ant)
    said = ant.err
    typed(monkeypatch, code)
    bee.run("-vv", "join")
    said += bee.out + bee.err
    bee.run("-vv", "sync-memory", "--json")
    said += bee.out + bee.err
    ant.run("-vv", "machines", "revoke", "bee")
    said += ant.out + ant.err
    ant.run("doctor", "--json")
    said += ant.out + ant.err
    pin = Keys(ant.state).pinned("vault")
    assert pin
    secrets = [Keys(one.state).identity() for one in (ant, bee)] + [Keys(ant.state).recovery("vault") or "", code[9:]]
    secrets += [key for keys in pin.ring.generations for key in (keys.identity, keys.mac)]
    for secret in secrets:
        assert secret
        assert secret not in said
        for path, data in [*tree(tmp_path / "vault").items(), *tree(ant.state).items(), *tree(bee.state).items()]:
            assert path.startswith("keys/") or secret.encode() not in data
    public = [b"ant", b"bee", b"notes", b"log.jsonl", b"the first of all", platform.node().encode()]
    for path, data in tree(tmp_path / "vault").items():
        found = [word for word in public if len(word) > 4 and word in path.encode() + data]
        assert not found, (path, found)
        assert not any(word in path.encode() for word in public if word not in (b"ant", b"bee"))


# -- without memferry


@pytest.mark.skipif(os.name != "posix", reason="a shell")
def test_the_commands_of_the_format_page_open_a_vault(computers: dict[str, Typed], tmp_path: Path) -> None:
    if missing := [tool for tool in ("age", "zstd", "jq") if shutil.which(tool) is None]:
        reason = f"needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    page = (Path(__file__).resolve().parent.parent / "docs" / "vault-format.md").read_text("utf-8")
    (script,) = re.findall(r"^```sh\n(umask.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ant, bee = computers["ant"], computers["bee"]
    ant.let_in(bee)
    ant.run("machines", "revoke", "bee")
    recovery = tmp_path / "recovery.txt"
    recovery.write_text(Keys(ant.state).recovery("vault") or "")
    for number, key in enumerate((ant.state / "keys" / "machine.txt", recovery)):
        here = tmp_path / f"{number}"
        here.mkdir()
        shutil.copytree(tmp_path / "vault", here / "vault")
        shutil.copy(key, here / "machine.txt")
        done = subprocess.run(
            ["sh", "-eu", "-c", script], cwd=here, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"space"')]
        assert [json.loads(one["body"])["text"] for one in records] == ["the first of all"]


def test_encryption_needs_its_extra(computers: dict[str, Typed], monkeypatch: pytest.MonkeyPatch) -> None:
    from memferry.backends.encryption import age

    age._pyrage.cache_clear()
    monkeypatch.setitem(sys.modules, "pyrage", None)
    computers["ant"].run("pull", exit_code=2)
    age._pyrage.cache_clear()
    assert 'pip install "memferry[age]"' in computers["ant"].err


def test_a_vault_that_is_encrypted_is_not_taken_for_a_plain_one(computers: dict[str, Typed]) -> None:
    ant = computers["ant"]
    ant.encryption = "none"
    ant.run("pull", exit_code=4)
    assert "encryption: age" in ant.out


def test_a_plain_backend_has_machines_and_no_keys(
    tmp_path: Path, computers: dict[str, Typed], capsys: pytest.CaptureFixture[str]
) -> None:
    elk = Typed(tmp_path, "elk", capsys, vault="plain")
    elk.log("hello")
    elk.run("push")
    shown = elk.shows()
    assert (shown["encryption"], shown["fingerprint"], shown["elk"]["this"]) == ("none", None, True)
    assert not (elk.state / "keys").exists()
    for action in ("invite", "recovery", "join"):
        elk.run("machines", action, exit_code=2)
        assert "is encrypted" in elk.err
    assert not LocalStore(tmp_path / "plain")._path.joinpath("keys").exists()
