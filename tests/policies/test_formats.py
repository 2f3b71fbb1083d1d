from __future__ import annotations

from pathlib import Path

import pytest

from memferry.policies.secrets import formats, linear, table

STRANGE = sorted((Path(__file__).parents[1] / "scanning" / "strange").glob("*.txt"))


def test_the_hints_of_a_text_are_those_that_stand_in_it() -> None:
    """Looked for one by one."""
    each = [linear.Pattern(form.hint) for form in table.FORMATS]
    texts = [b"", *b"".join(file.read_bytes() for file in STRANGE).splitlines(), *(one.read_bytes() for one in STRANGE)]
    assert max(map(len, texts)) > 10_000
    for text in texts:
        assert sorted(formats._hinted(text)) == [number for number, hint in enumerate(each) if hint.occurs(text)]


class GivenUp:
    """RE2 where it runs out of memory, which no text was found to bring about."""

    def Match(self, raw: bytes) -> None:  # noqa: N802
        return None


def test_where_the_search_gives_up_any_may_stand_there(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = linear.Patterns(["cde", "xyz", "ab"])
    assert sorted(patterns.occurring(b"0123456789abcdef")) == [0, 2]
    assert list(patterns.occurring(b"")) == []
    monkeypatch.setattr(patterns, "_compiled", GivenUp())
    assert list(patterns.occurring(b"0123456789abcdef")) == [0, 1, 2]
