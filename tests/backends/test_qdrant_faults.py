"""What a Qdrant server may do to a delivery, and the words in which a person hears of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

import grpc
import httpx
import pytest
from qdrant_client.common import client_exceptions
from qdrant_client.http import exceptions

from memferry.backends.qdrant.engine import Engine
from memferry.backends.qdrant.errors import _BY_CODE, mapped
from memferry.backends.qdrant.server import Server
from memferry.backends.qdrant.settings import Settings, settings_from
from memferry.backends.wrappers import Backoff, Retry
from memferry.errors import (
    AccessDenied,
    AuthFailed,
    BackendError,
    ConfigError,
    InvalidValue,
    PermanentError,
    QuotaExceeded,
    TargetRefused,
    TransientError,
)
from memferry.secret import Secret
from tests.backends.qdrant_double import Double, Fault
from tests.backends.qdrant_site import Site
from tests.backends.samples import put, puts, retract

FAILURES = 15
"""So many requests the three batches need at least."""


def site_at(url: str, **settings: object) -> Site:
    made = Settings(url=url)._replace(**settings)  # type: ignore[arg-type]

    def open_engine() -> Engine:
        return Server(made, name="hub")

    return Site(open_engine, made)


def content(double: Double) -> list[int]:
    return sorted(one.payload["metadata"]["seq"] for one in double.collections["memory"].points.values())


# -- faults on the way


@pytest.mark.parametrize("fault", ["reset", "lost reply", 500, 503, 429])
def test_a_fault_at_any_request_loses_and_doubles_nothing(double: Double, url: str, fault: Fault) -> None:
    """Three batches, one of which withdraws. Each is tried until it is through: the first try fails at its first
    request, the next one at its second, and each meets what the one before has left."""
    site, failures = site_at(url), 0
    for batch in (puts(1, 300), [*puts(301, 302), retract(303, 5, 301)], [put(304)]):
        site.write(*batch)
        for after in count():
            double.fail(fault, after=after)
            try:
                site.deliver()
                break
            except TransientError:
                failures += 1
        double.due.clear()
    assert failures >= FAILURES
    assert content(double) == [*(seq for seq in range(1, 301) if seq != 5), 302, 304]
    assert site.findings() == []
    site.index.close()


def test_a_delivery_that_is_tried_again_gets_through_by_itself(double: Double, url: str) -> None:
    site = site_at(url)
    site.write(*puts(1, 10))
    site.index.inform(site.known())
    waits: list[float] = []
    retry = Retry(Backoff(0.0), 3, random.Random(1), waits.append)
    double.fail("lost reply", on="/points", method="PUT")
    double.fail(429, on="/points", Retry_After="7")
    assert retry(lambda: site.index.deliver(site.journal.rows)) == (10, {})
    assert waits == [0.0, 7.0], "the server says how long to wait"
    assert content(double) == list(range(1, 11))
    site.index.close()


def test_a_time_limit_below_a_second_is_one_of_a_second(url: str) -> None:
    """The client counts whole ones, and takes none for no time at all."""
    site = site_at(url, timeout_s=0.5)
    assert site.deliver(put(1)) == (1, {})


def test_a_server_that_is_too_slow_is_tried_again_later(double: Double, url: str) -> None:
    site = site_at(url, timeout_s=1.0)
    site.deliver(put(1))
    double.slow_s = 2.0
    double.fail("slow", on="/points", method="PUT")
    with pytest.raises(TransientError, match="does not answer in time") as caught:
        site.deliver(put(2))
    assert "timeout_s" in caught.value.hint
    assert site.deliver() == (2, {})
    assert content(double) == [1, 2]
    site.index.close()


def test_what_the_server_never_takes_holds_up_nothing(double: Double, url: str) -> None:
    double.poison = "remember number 77"
    site = site_at(url)
    receipt = site.deliver(*puts(1, 400))
    assert receipt.through == 400
    assert set(receipt.refused) == {77}
    assert "remember" not in receipt.refused[77]
    assert content(double) == [seq for seq in range(1, 401) if seq != 77]
    assert site.again(put(77)).refused.keys() == {77}
    double.poison = None
    assert site.again(put(77)) == (77, {})
    assert content(double) == list(range(1, 401))
    site.index.close()


def test_a_server_that_takes_nothing_at_all_is_not_the_records_fault(double: Double, url: str) -> None:
    double.poison = "metadata"
    site = site_at(url)
    with pytest.raises(InvalidValue):
        site.deliver(*puts(1, 20))
    double.poison = None
    assert site.deliver() == (20, {})
    site.index.close()


def test_a_collection_that_vanishes_is_told(double: Double, url: str) -> None:
    site = site_at(url)
    site.deliver(put(1))
    double.collections.clear()
    with pytest.raises(BackendError):
        site.deliver(put(2))
    with pytest.raises(TransientError, match="has no collection"):
        site.deliver()
    assert all(one.done for one in site.repair())
    site.deliver()
    assert content(double) == [1, 2]
    site.index.close()


def test_writes_that_a_server_loses_are_found_and_mended(double: Double, url: str) -> None:
    site = site_at(url)
    site.deliver(*puts(1, 50))
    double.lose(20)
    assert [finding.problem for finding in site.findings()] == ["removed"] * 20
    assert all(one.done for one in site.repair())
    assert content(double) == list(range(1, 51))
    site.index.close()


# -- who answers


def test_a_wrong_key_is_told_and_the_right_one_lets_in(double: Double, url: str) -> None:
    double.key = "right"
    for key in (None, Secret("env:KEY", "wrong")):
        site = site_at(url, api_key=key)
        with pytest.raises(AuthFailed, match="does not let us in") as caught:
            site.deliver(put(1))
        assert "api_key" in caught.value.hint
        assert "wrong" not in str(caught.value)
        (probe,) = [probe for probe in site.index.probe() if not probe.good]
        assert "api_key" in probe.hint
        site.index.close()
    site = site_at(url, api_key=Secret("env:KEY", "right"))
    assert site.deliver(put(1)) == (1, {})
    site.index.close()


@pytest.mark.parametrize("over_grpc", [False, True])
def test_a_server_that_is_away_is_told(over_grpc: bool) -> None:
    site = site_at("http://127.0.0.1:1", grpc=over_grpc, timeout_s=5.0)
    with pytest.raises(TransientError, match="problem of its own" if over_grpc else "cannot be reached") as caught:
        site.deliver(put(1))
    assert "try again" in caught.value.hint
    assert not next(iter(site.index.probe())).good
    site.index.close()


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "bad", InvalidValue), (401, "", AuthFailed), (403, "", AccessDenied), (413, "", InvalidValue),
        (418, "", PermanentError), (429, "", TransientError), (500, "", TransientError),
        (500, "Service internal error: No space left on device", QuotaExceeded),
        (507, "", QuotaExceeded), (302, "", TargetRefused),
    ],
)  # fmt: skip
def test_every_status_says_what_to_do(
    double: Double, url: str, status: int, text: str, kind: type[BackendError]
) -> None:
    site = site_at(url)
    double.fail(status, text=text or "of memferry's record SECRET")
    with pytest.raises(kind) as caught:
        site.deliver(put(1))
    assert type(caught.value) is kind
    assert caught.value.hint
    assert caught.value.backend == "hub"
    assert "SECRET" not in str(caught.value)
    site.index.close()


def test_something_else_that_answers_is_told(double: Double, url: str) -> None:
    site = site_at(url)
    for status in (200, 302, 405):
        double.fail(status)
        with pytest.raises(TargetRefused):
            site.deliver(put(1))
    site.index.close()


# -- nothing of a vendor passes


def subclasses(base: type[BaseException]) -> Iterator[type[BaseException]]:
    yield base
    for one in base.__subclasses__():
        yield from subclasses(one)


def instance(kind: type[BaseException]) -> Exception:
    made = kind.__new__(kind)
    match made:
        case exceptions.UnexpectedResponse():
            made.status_code, made.content = 500, b""
        case exceptions.ResponseHandlingException():
            made.source = httpx.ConnectError("no")
        case client_exceptions.ResourceExhaustedResponse():
            made.retry_after_s = 3
    assert isinstance(made, Exception)
    return made


VENDORS = [
    *subclasses(exceptions.ApiException), *subclasses(client_exceptions.QdrantException),
    *subclasses(httpx.HTTPError),
]  # fmt: skip


@pytest.mark.parametrize("kind", VENDORS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_client_is_mapped(kind: type[BaseException]) -> None:
    error = mapped(instance(kind), "hub", "http://there")
    assert isinstance(error, BackendError)
    assert error.backend == "hub"
    assert error.hint


class _Call(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """An error as gRPC raises it."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "of a record"


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_of_grpc_is_mapped(code: grpc.StatusCode) -> None:
    assert code in _BY_CODE
    _Call.__abstractmethods__ = frozenset()
    error = mapped(_Call(code), "hub", "http://there")
    assert error.hint
    assert "of a record" not in str(error)


# -- settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "either `url`"), ({"url": "http://a", "path": "/x"}, "either `url`"), ({"url": "ftp://a"}, "the address"),
        ({"url": "http://u:p@a"}, "holds a secret"), ({"url": "http://localhost", "payload": "some"}, "payload"),
        ({"path": "x"}, "not absolute"), ({"path": "/x", "colection": "y"}, "unknown setting colection"),
        ({"path": "/x", "collection": "a/b"}, "name of a collection"), ({"path": "/x", "timeout_s": 0}, "too small"),
        ({"path": "/x", "per_space": "yes"}, "per_space"), ({"url": "http://a", "api_key": "plain"}, "not a reference"),
        ({"url": "http://far.example", "api_key": Secret("env:K", "v")}, "open line"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(given: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        settings_from("hub", given)
    assert caught.value.hint
    assert "plain" not in str(caught.value)


def test_settings_that_can() -> None:
    assert settings_from("hub", {"url": "https://far.example", "api_key": Secret("env:K", "v")}).collection == "memory"
    assert settings_from("hub", {"url": "http://127.0.0.1:6333", "api_key": Secret("env:K", "v")}).payload == "text"
    assert settings_from("hub", {"path": "~/hub", "per_space": True, "timeout_s": 5}).timeout_s == 5.0
