"""The key folder says what is in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from memferry.backends.encryption.keys import FOLDER, Keys
from memferry.errors import AccessDenied


def test_keys_that_cannot_be_written_name_the_place_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    with pytest.raises(AccessDenied, match=FOLDER) as caught:
        Keys(tmp_path).keep_recovery("vault", Keys(tmp_path / "other").identity())
    assert str(tmp_path / FOLDER) in caught.value.hint


def test_of_two_identities_made_at_once_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Keys(tmp_path), Keys(tmp_path)
    before = first.identity()
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert second.identity() == before
