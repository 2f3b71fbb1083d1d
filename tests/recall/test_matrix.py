"""Vectors in memory: what is nearest, whichever way it is found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from memferry.recall.embed import signs
from memferry.recall.embed.base import packed_vector, unit
from memferry.recall.embed.matrix import Matrix

MANY = 20_000


def spread(dimensions: int, *, towards: float = 0.0) -> NDArray[np.float32]:
    """Clouds of vectors around a few hundred directions; `towards`: how much all of them point one way."""
    dice = np.random.default_rng(1)
    centres = dice.normal(size=(300, dimensions)) / np.sqrt(dimensions)
    rows = centres[dice.integers(0, 300, MANY)] + 0.7 * dice.normal(size=(MANY, dimensions)) / np.sqrt(dimensions)
    return unit(rows + towards * np.sign(centres[0]) / np.sqrt(dimensions))


def matrix(rows: NDArray[np.float32]) -> Matrix:
    found = Matrix()
    for part in np.array_split(np.arange(len(rows)), 3):
        packed = np.frombuffer(b"".join(packed_vector(rows[one]) for one in part), np.uint8)
        found.add(part.astype(np.int64), packed.reshape(len(part), -1))
    return found


@pytest.mark.parametrize(("dimensions", "towards"), [(384, 0.0), (100, 0.0), (384, 3.0)])
def test_nearly_all_of_the_nearest_are_found_among_many(dimensions: int, towards: float) -> None:
    rows = spread(dimensions, towards=towards)
    among = matrix(rows)
    assert among._signs_tell is (towards == 0)
    shares = []
    for query in rows[:: MANY // 20]:
        exact = np.argsort(-(rows @ query))[:50]
        found = among.nearest(query, 50)
        assert found[int(exact[0])] == pytest.approx(1.0, abs=0.01)
        shares.append(len(set(exact.tolist()) & set(found)) / 50)
    assert np.mean(shares) > 0.98


def test_many_wanted_of_many_are_all_there() -> None:
    rows = spread(384)
    found = matrix(rows).nearest(rows[0], 2000)
    assert len(found) == 2000
    assert len(set(np.argsort(-(rows @ rows[0]))[:2000].tolist()) & set(found)) > 1900


def test_what_is_left_out_is_not_found_and_what_is_added_is() -> None:
    rows = spread(384)[:2000]
    among = matrix(rows)
    kept = np.arange(2000) % 2 == 0
    among.keep(kept)
    assert 3 not in among.nearest(rows[3], 10)
    assert list(among.cosines(rows[4], [3, 4])) == [4]
    among.add(np.array([9000]), np.frombuffer(packed_vector(rows[3]), np.uint8)[None])
    found = among.nearest(rows[3], 10)
    assert max(found, key=found.__getitem__) == 9000
    among.keep(np.zeros(1001, bool))
    assert among.nearest(rows[3], 10) == {}


def test_an_empty_one_answers() -> None:
    assert Matrix().nearest(np.ones(384, np.float32), 10) == {}
    assert Matrix().cosines(np.ones(384, np.float32), [1]) == {}


def test_signs_are_compared_64_at_a_time() -> None:
    rows = np.where(np.eye(100, dtype=np.int8), 1, -1).astype(np.int8)
    assert signs.packed(rows).shape == (2, 100)
    assert signs.shortlist(signs.packed(rows), rows[7].astype(np.float32), 1).tolist() == [7]
