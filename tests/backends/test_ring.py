"""What a ring may become, and what is believed of one."""

from __future__ import annotations

import msgspec
import pytest

from memferry.backends.encryption import ring as rings
from memferry.backends.encryption.ring import Generation, Member, Ring, Unacceptable

LAPTOP = Member("a" * 32, "laptop", "age1laptop")
DESKTOP = Member("b" * 32, "desktop", "age1desktop")
PHONE = Member("c" * 32, "phone", "age1phone")


def keys(number: int, **began: tuple[int, str]) -> Generation:
    return Generation(f"AGE-SECRET-KEY-{number}", f"age1vault{number}", f"{number:064x}", began)


def first() -> Ring:
    return rings.first("f" * 32, keys(1), LAPTOP, "age1recovery", rings.proof("secret", "f" * 32, keys(1)))


def second() -> Ring:
    return rings.without(
        rings.with_members(first(), [DESKTOP, PHONE]), [PHONE], keys(2, **{PHONE.machine: (7, "0" * 64)})
    )


def test_a_ring_is_the_same_after_a_way_through_bytes() -> None:
    assert rings.decode(rings.encode(second())) == second()
    assert rings.is_sound(rings.decode(rings.encode(second())))


def test_members_are_added_once_and_never_lost() -> None:
    ring = rings.with_members(rings.with_members(first(), [DESKTOP]), [DESKTOP, LAPTOP])
    assert ring.members == (LAPTOP, DESKTOP)
    assert rings.accepted(ring, rings.with_members(first(), [PHONE])).members == (LAPTOP, DESKTOP, PHONE)
    assert rings.accepted(ring, first()) == ring


def test_who_may_open_a_ring() -> None:
    assert second().recipients == {"age1laptop", "age1desktop", "age1recovery", "age1vault2"}


def test_the_next_generation_is_accepted_and_names_who_is_out() -> None:
    known = rings.with_members(first(), [DESKTOP, PHONE])
    ring = rings.accepted(known, second())
    assert (ring.number, ring.members, ring.revoked) == (2, (LAPTOP, DESKTOP), (PHONE,))
    assert ring.newest.began == {PHONE.machine: (7, "0" * 64)}


def test_who_comes_back_is_no_longer_revoked() -> None:
    assert rings.with_members(second(), [PHONE]).revoked == ()


def resealed(ring: Ring, **changes: object) -> Ring:
    """By somebody who does not have the keys of the generation before."""
    return msgspec.structs.replace(ring, **changes)


@pytest.mark.parametrize(
    "offered",
    [
        rings.first("e" * 32, keys(1), LAPTOP, "age1recovery", "0" * 64),
        rings.first("f" * 32, keys(9), LAPTOP, "age1recovery", "0" * 64),
        rings.without(rings.first("f" * 32, keys(9), LAPTOP, "age1recovery", "0" * 64), [], keys(2)),
        resealed(second(), members=(LAPTOP, DESKTOP, PHONE)),
        resealed(second(), mac=""),
        resealed(second(), generations=(keys(1), keys(3))),
        rings.without(second(), [], keys(3)),
    ],
    ids=["another vault", "other keys", "other first keys", "a member more", "no mac", "other new keys", "two at once"],
)
def test_nothing_else_takes_its_place(offered: Ring) -> None:
    with pytest.raises(Unacceptable):
        rings.accepted(first(), offered)


def test_an_older_ring_takes_nothing_back() -> None:
    with pytest.raises(Unacceptable):
        rings.accepted(second(), first())


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff", b'{"version":1}', rings.encode(resealed(first(), generations=()))]
)
def test_what_is_no_ring(data: bytes) -> None:
    with pytest.raises(Unacceptable, match="no"):
        rings.decode(data)


def test_a_later_version_is_refused() -> None:
    with pytest.raises(Unacceptable, match="upgrade"):
        rings.decode(rings.encode(resealed(first(), version=2)))


def test_the_recovery_key_knows_its_vault_again() -> None:
    assert rings.is_vouched_for(second(), "secret")
    assert not rings.is_vouched_for(second(), "another")
    forged = rings.first("f" * 32, keys(9), LAPTOP, "age1recovery", first().proof)
    assert not rings.is_vouched_for(forged, "secret")


def test_macs_differ_by_purpose_and_keys() -> None:
    made = {rings.mac(keys(number), purpose, b"x") for number in (1, 2) for purpose in ("head", "ring")}
    assert len(made) == 4


def test_the_fingerprint_changes_with_the_keys() -> None:
    assert rings.fingerprint(first()) != rings.fingerprint(second())
    assert rings.fingerprint(first()) == rings.fingerprint(rings.with_members(first(), [PHONE]))


def test_no_key_shows_in_a_repr() -> None:
    for shown in (repr(second()), str(second()), repr(second().generations), f"{second().newest}"):
        assert "SECRET" not in shown
        assert f"{2:064x}" not in shown
