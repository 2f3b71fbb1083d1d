"""A store and a backend that fail on purpose, for tests: before the effect of a call, or after it, like a lost
reply."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar

import msgspec
import zstandard

from memferry.backends.base import Backend, Entry, Receipt, Store
from memferry.backends.wrappers import Wrapper
from memferry.errors import TransientError
from memferry.model import Op, Sealed

When: TypeAlias = Literal["before", "after"]
_T = TypeVar("_T")
_decode = msgspec.json.Decoder(Op)


class Fault:
    """Fails one call. `calls`: how many were made since it was set."""

    def __init__(self, at: int | None, when: When = "before") -> None:
        self.fail(at, when)

    def fail(self, at: int | None, when: When = "before") -> None:
        """From now on fail the call number `at`, from 1; None: never."""
        self._at, self._when = at, when
        self.calls = 0

    @property
    def failed(self) -> bool:
        """Whether that call was made."""
        return self._at is not None and self.calls >= self._at

    def around(self, call: Callable[[], _T]) -> _T:
        """The result of `call`, or a TransientError instead of it or behind it."""
        self.calls += 1
        mine = self.calls == self._at
        if mine and self._when == "before":
            raise TransientError("fault before the effect")
        result = call()
        if mine:
            raise TransientError("fault after the effect")
        return result


class FaultyStore:
    """A `Store` that lets a fault happen in any of its methods but `close`."""

    def __init__(self, store: Store, fault: Fault) -> None:
        self._store = store
        self._fault = fault

    def put(self, key: str, value: bytes, *, if_version: str | None) -> str:
        """See `Store`."""
        return self._fault.around(lambda: self._store.put(key, value, if_version=if_version))

    def get(self, key: str, *, at_most: int | None = None) -> bytes:
        """See `Store`."""
        return self._fault.around(lambda: self._store.get(key, at_most=at_most))

    def delete(self, key: str, *, if_version: str) -> None:
        """See `Store`."""
        self._fault.around(lambda: self._store.delete(key, if_version=if_version))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`."""
        return self._fault.around(lambda: self._store.entries(prefix))

    def close(self) -> None:
        """See `Store`."""
        self._store.close()


class FaultyBackend(Wrapper):
    """A backend whose deliveries fail, or that refuses some operations: `refuses` holds their seqs, and may change."""

    def __init__(self, backend: Backend, fault: Fault, refuses: Collection[int] = ()) -> None:
        super().__init__(backend)
        self._fault = fault
        self.refuses = refuses

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """See `Backend`."""
        return self._fault.around(lambda: self._deliver(batch))

    def _deliver(self, batch: Sequence[Sealed]) -> Receipt:
        refused: dict[int, str] = {}
        receipt = self._backend.deliver([self._taken(sealed, refused) for sealed in batch])
        return Receipt(receipt.through, {**receipt.refused, **refused})

    def _taken(self, sealed: Sealed, refused: dict[int, str]) -> Sealed:
        if not any(sealed.first <= seq <= sealed.last for seq in self.refuses):
            return sealed
        raw = zstandard.ZstdDecompressor().decompress(sealed.frame, max_output_size=sealed.raw_bytes)
        lines: Mapping[int, bytes] = {_decode.decode(line).seq: line + b"\n" for line in raw.split(b"\n") if line}
        refused.update((seq, "refused on purpose") for seq in lines if seq in self.refuses)
        kept = [line for seq, line in lines.items() if seq not in self.refuses]
        frame = zstandard.ZstdCompressor().compress(b"".join(kept)) if kept else b""
        raw_bytes = sum(map(len, kept))
        return Sealed(sealed.first, sealed.last, len(kept), raw_bytes, frame, sealed.retracts)
