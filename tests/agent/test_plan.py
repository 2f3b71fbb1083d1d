"""The plan for a batch, from verdicts and knowledge alone."""

from __future__ import annotations

from typing import cast

import pytest

from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, WITHDRAWN, KnownFile, Seen, digest_number
from memferry.agent.state.plan import SAME_KEY, Knowledge, Part, Plan, Stamp, plan
from memferry.keys import digest
from memferry.model import Cleared, Hold, Place, Put, Record, Source
from memferry.policies.base import Held, Kept

SOURCE = Source("atlas", "log.jsonl", "jsonl")
STAMP = Stamp("000000000000000a", 10)
PRIVATE = Hold("labels.visibility", "visibility is private")


def kept(key: str, body: bytes | None = None, id_: int | None = None) -> Kept:
    body = body or key.encode()
    record = cast("Cleared", Record(SOURCE, key, digest(body), body, 0))
    return Kept(record, id_ or hash(key), (), ())


def held(key: str) -> Held:
    return Held(Record(SOURCE, key, digest(key.encode()), key.encode(), 0), PRIVATE, hash(key), ())


def file(*, placed: int = 0, layouts: tuple[tuple[int, int], ...] = ((0, 7),)) -> KnownFile:
    return KnownFile(
        1, "atlas", "log.jsonl", "jsonl", None, None, None, layouts, placed, placed, True, None, None, False
    )


def knowing(seen: dict[int, Seen] | None = None, **more: object) -> Knowledge:
    """What is stored lies where it was put first, if nothing else is said."""
    facts: dict[str, object] = {
        "seen": seen or {}, "lying": {one.place: (id_, one.digest) for id_, one in (seen or {}).items() if one.seq > 0},
        "holes": frozenset(), "bases": {}, "foreign": {}, "reheld": frozenset(), "own_holds": frozenset(),
    }  # fmt: skip
    return Knowledge(**(facts | more))  # type: ignore[arg-type]


def planned(
    *verdicts: Kept | Held, known: Knowledge | None = None, of: KnownFile | None = None, at: int = 0
) -> Plan:  # fmt: skip
    return plan([Part(of or file(), at, verdicts)], known or knowing(), STAMP)


def test_new_records_are_put_in_order_and_held_ones_take_no_position() -> None:
    made = planned(kept("a"), held("secret"), kept("b"))
    assert [(op.seq, op.key, op.position) for op in made.ops if isinstance(op, Put)] == [(10, "a", 0), (11, "b", 1)]
    assert [one.record.key for one in made.held] == ["secret"]
    assert made.parts[0].position == 2


def test_what_lies_where_it_was_is_no_operation() -> None:
    one = kept("a")
    made = planned(one, known=knowing({one.id: Seen(digest_number(one.record.digest), 3, 7 << 32)}), of=file(placed=1))
    assert (made.ops, made.unchanged, made.parts[0].position) == ([], 1, 1)


def test_the_same_line_twice_is_stored_once_and_placed_twice() -> None:
    made = planned(kept("a"), kept("a"))
    put, place = made.ops
    assert isinstance(put, Put)
    assert isinstance(place, Place)
    assert (place.put, place.position) == (put.seq, 1)
    assert made.duplicates == 1


def test_a_changed_record_names_what_it_replaces() -> None:
    new = kept("a", b"new", 5)
    known = knowing({5: Seen(1, 3, 7 << 32)}, bases={5: "ab" * 32})
    made = planned(new, known=known, of=file(placed=1))
    (put,) = made.ops
    assert isinstance(put, Put)
    assert put.base == "ab" * 32
    assert made.versions == [(5, 1, 3)]
    assert made.modified == 1


def test_a_record_that_became_private_is_withdrawn_and_keeps_its_position() -> None:
    secret, after = held("a"), kept("b")
    seen = {
        secret.id: Seen(1, 3, 7 << 32),
        after.id: Seen(digest_number(after.record.digest), 4, (7 << 32) + 1),
    }
    made = planned(secret, after, known=knowing(seen), of=file(placed=2))
    assert made.withdrawn == {secret.id}
    assert made.ops == []


def test_a_record_that_is_private_later_in_its_own_batch_is_withdrawn() -> None:
    assert planned(kept("a"), held("a")).withdrawn == {hash("a")}


@pytest.mark.parametrize("before", [None, FORGOTTEN, WITHDRAWN])
def test_a_later_version_in_the_batch_of_a_held_one_is_held(before: int | None) -> None:
    """Even if nobody knew of it before."""
    seen = {} if before is None else {hash("a"): Seen(1, before, 0)}
    made = planned(held("a"), kept("a"), known=knowing(seen))
    assert made.ops == []
    assert [one.verdict for one in made.held] == [PRIVATE, SAME_KEY]


def test_a_public_copy_of_a_held_key_elsewhere_is_held() -> None:
    one = kept("a")
    made = planned(one, known=knowing({one.id: Seen(0, HELD, 0)}))
    assert [held.verdict for held in made.held] == [SAME_KEY]


def test_a_label_that_was_lifted_in_the_same_file_releases() -> None:
    one = kept("a")
    made = planned(one, known=knowing({one.id: Seen(0, HELD, 0)}, own_holds=frozenset([one.id])))
    assert made.released == {one.id}
    assert len(made.ops) == 1


def test_a_forgotten_record_stays_away() -> None:
    one = kept("a")
    made = planned(one, known=knowing({one.id: Seen(0, FORGOTTEN, 7 << 32)}), of=file(placed=1))
    assert (made.ops, made.forgotten, made.parts[0].position) == ([], 1, 1)


def test_what_was_pulled_is_not_pushed_back() -> None:
    one = kept("a")
    seen = {one.id: Seen(digest_number(one.record.digest), FOREIGN, 0)}
    at_home = knowing(seen, foreign={one.id: "atlas/log.jsonl"})
    assert planned(one, known=at_home).ops == []
    elsewhere = knowing(seen, foreign={one.id: "atlas/log@other.jsonl"})
    assert len(planned(one, known=elsewhere).ops) == 1


def test_where_another_record_lies_nothing_is_put_without_a_new_layout() -> None:
    """Not even what lay there once: what covers it may be withdrawn, and it would be seen twice."""
    moved = kept("a")
    seen = {moved.id: Seen(digest_number(moved.record.digest), 3, 7 << 32)}
    known = knowing(seen, lying={7 << 32: (hash("b"), 1)})
    assert planned(moved, known=known, of=file(placed=1)).parts[0].used == 0
    assert planned(kept("a", b"new", moved.id), known=known, of=file(placed=1)).parts[0].used == 0


def test_two_versions_that_lie_in_two_places_are_left_there() -> None:
    old, new = kept("a", b"old", 5), kept("a", b"new", 5)
    lying = {7 << 32: (5, digest_number(old.record.digest)), (7 << 32) + 1: (5, digest_number(new.record.digest))}
    known = knowing({5: Seen(digest_number(new.record.digest), 4, (7 << 32) + 1)}, lying=lying)
    made = planned(old, new, known=known, of=file(placed=2))
    assert (made.ops, made.unchanged) == ([], 2)


def test_what_is_held_leaves_no_gap_where_another_record_lies() -> None:
    secret, other = held("a"), kept("b")
    seen = {secret.id: Seen(1, 3, 7 << 32), other.id: Seen(digest_number(other.record.digest), 4, 8 << 32)}
    made = planned(
        secret,
        other,
        known=knowing(seen, lying={7 << 32: (other.id, digest_number(other.record.digest))}),
        of=file(placed=1),
    )
    assert (made.withdrawn, made.ops, made.unchanged) == ({secret.id}, [], 1)


def test_an_edit_in_the_middle_of_a_ledger_stops_for_a_new_layout() -> None:
    first, new = kept("a"), kept("n")
    seen = {first.id: Seen(digest_number(first.record.digest), 3, 7 << 32)}
    made = planned(first, new, known=knowing(seen), of=file(placed=3))
    assert (made.parts[0].used, made.parts[0].position, made.ops) == (1, 1, [])
    rest = planned(new, known=knowing(), of=file(placed=1, layouts=((0, 7), (1, 8))), at=1)
    assert rest.rows[0][3] == (8 << 32) + 1


def test_crossing_into_a_newer_layout_numbers_places_by_it() -> None:
    made = planned(kept("a"), kept("b"), of=file(placed=0, layouts=((0, 7), (1, 9))))
    assert [row[3] for row in made.rows] == [7 << 32, (9 << 32) + 1]


def test_tags_and_type_of_a_run_are_added() -> None:
    made = plan([Part(file(), 0, [kept("a")])], knowing(), Stamp("0", 1, ("x",), "note"))
    (put,) = made.ops
    assert isinstance(put, Put)
    assert (put.tags, put.type) == (("x",), "note")


def test_positions_of_withdrawn_records_are_passed_over() -> None:
    after = kept("b")
    seen = {after.id: Seen(digest_number(after.record.digest), 4, (7 << 32) + 2)}
    known = knowing(seen, holes=frozenset([7 << 32, (7 << 32) + 1]))
    made = planned(after, known=known, of=file(placed=3))
    assert (made.ops, made.unchanged, made.parts[0].position) == ([], 1, 3)


def test_a_new_record_may_take_the_place_of_a_withdrawn_one() -> None:
    made = planned(kept("n"), known=knowing(holes=frozenset([7 << 32])), of=file(placed=3))
    assert [op.position for op in made.ops if isinstance(op, Put)] == [0]
