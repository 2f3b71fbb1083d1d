"""What was pulled and is forgotten goes from its file, whatever happens meanwhile, and does not come back."""

from __future__ import annotations

import pytest

from memferry.agent.pulling.reconcile import Reconcile
from memferry.errors import MemferryError
from tests.agent.machines import Machine, quiet


@pytest.fixture
def pulled(ant: Machine, bee: Machine) -> Machine:
    """Bee has a document, an entry and a line of ant's."""
    ant.write("plan.md", "# walnut\n")
    ant.write("e.json", '[{"id": "e1", "text": "walnut"}, {"id": "e2"}]')
    ant.append("l.jsonl", {"id": "one", "text": "walnut"}, {"id": "two"})
    for number in range(9):
        ant.write(f"{number}.md", f"# page {number}\n")
    ant.do("push")
    bee.do("pull")
    return bee


NAMED = ["plan.md", "e1", "one"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_while_its_file_is_edited_forgets_it_all_the_same(
    pulled: Machine, ant: Machine, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    honest = Reconcile.run

    def dies(self: Reconcile) -> None:
        if when == "after":
            honest(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Reconcile, "run", dies)
        with pytest.raises(KeyboardInterrupt):
            pulled.do("forget", targets=NAMED)
    pulled.do("push")
    assert "walnut" not in pulled.text()
    verdicts = {pulled.do("explain", target=name)["answers"][0]["verdict"] for name in NAMED}
    assert verdicts == {"forgotten"}
    assert pulled.status()["problems"] == []
    quiet(ant, pulled)
    assert b"walnut" not in pulled.outside()
    assert "walnut" not in pulled.text()


def test_what_cannot_be_taken_out_is_tried_again(pulled: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise MemferryError("not now")

    with monkeypatch.context() as patched:
        patched.setattr("memferry.agent.pulling.apply.delete_document", busy)
        pulled.do("forget", targets=["plan.md"])
    assert pulled.read("plan.md") == "# walnut\n"
    pulled.do("push")
    assert not (pulled.tree / "plan.md").exists()
    assert pulled.do("explain", target="plan.md")["answers"][0]["verdict"] == "forgotten"


def test_a_dry_run_forgets_nothing(pulled: Machine) -> None:
    before = pulled.text()
    assert pulled.do("forget", targets=NAMED, dry_run=True)["withdrawn"] == 3
    pulled.do("push")
    assert pulled.text() == before


def test_files_that_a_pull_removes_did_not_vanish(ant: Machine, bee: Machine) -> None:
    ant.write("plan.md", "# walnut\n")
    ant.append("l.jsonl", {"id": "one"})
    ant.do("push")
    bee.do("pull")
    ant.do("forget", targets=["plan.md"])
    bee.do("pull")
    assert not (bee.tree / "plan.md").exists()
    assert bee.do("pull")["halted"] == []
    assert bee.status()["problems"] == []
