"""An ONNX model without its table of words: that stays in the file, a signed byte a number, and is read row by row.

onnxruntime makes float32 of the whole table when it loads: 47 MB of MiniLM's 90, for the few rows of a text. So the
graph is cut where the rows come in. The numbers are the same to the last bit.

Sources: https://protobuf.dev/programming-guides/encoding/ for the file, onnx.proto of onnx/onnx for the fields.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS = "rows_of_words"
"""The input of the graph that takes the place of the numbers of words: (texts, words, width) float32."""

_GRAPH = 7  # of a model
_NODE, _INITIALIZER, _INPUT = 1, 5, 11  # of a graph
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_TENSOR_NAME, _TENSOR_BYTES = 8, 9
_INPUT_NAME = 1
_NAME_OF_WHAT_COMES = {_NODE: _NODE_OUTPUT, _INITIALIZER: _TENSOR_NAME, _INPUT: _INPUT_NAME}
_VARINT, _BYTES = 0, 2
_WIDTHS = {1: 8, 5: 4}
_FLOAT = 1


class Wordless(NamedTuple):
    """`graph`: an ONNX model with the input ROWS. `table`: (words, width) int8, in the file; `scales`: (words,)."""

    graph: bytes
    table: NDArray[np.int8]
    scales: NDArray[np.float32]

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """(..., width) for the numbers of words."""
        import numpy as np

        found: NDArray[np.float32] = self.table[numbers].astype(np.float32) * self.scales[numbers][..., None]
        return found


def wordless(path: Path, numbers: str, table: str, embedded: str) -> Wordless:
    """`numbers`: the input that is replaced. `table`: the name of the tensor, in the file `{table}_q` times
    `{table}_scale`; `embedded`: that of its rows in the graph. KeyError: it is another model."""
    import numpy as np

    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    model = memoryview(mapped)
    graph = next(field.body for field in _fields(model) if field.number == _GRAPH)
    tensors = dict(_tensors(graph, {f"{table}_q", f"{table}_scale"}))
    scales = np.frombuffer(tensors[f"{table}_scale"], np.float32)
    rows = np.frombuffer(tensors[f"{table}_q"], np.int8).reshape(len(scales), -1)
    gone = {numbers, embedded, table, f"{table}_f", *tensors}
    kept = [_renamed(field, embedded) for field in _fields(graph) if not _makes(field, gone)]
    cut = b"".join([*kept, _field(_INPUT, _declared(ROWS, rows.shape[1]))])
    parts = [_field(_GRAPH, cut) if field.number == _GRAPH else field.whole for field in _fields(model)]
    whole = b"".join(parts)
    if sys.platform != "win32":  # what was read once goes; a row comes back when it is needed
        mapped.madvise(mmap.MADV_DONTNEED)
    return Wordless(whole, rows, scales)


def _tensors(graph: memoryview, names: set[str]) -> Iterator[tuple[str, memoryview]]:
    for field in _fields(graph):
        if field.number == _INITIALIZER and (name := _text(field.body, _TENSOR_NAME)) in names:
            yield name, next(one.body for one in _fields(field.body) if one.number == _TENSOR_BYTES)


def _makes(field: _Field, names: set[str]) -> bool:
    """Whether one of those tensors comes from it."""
    name = _NAME_OF_WHAT_COMES.get(field.number)
    return name is not None and _text(field.body, name) in names


def _renamed(field: _Field, old: str) -> bytes:
    """A node that takes `old` takes ROWS."""
    if field.number != _NODE:
        return bytes(field.whole)
    parts = [
        _field(_NODE_INPUT, ROWS.encode()) if one.number == _NODE_INPUT and one.body == old.encode() else one.whole
        for one in _fields(field.body)
    ]
    return _field(_NODE, b"".join(parts))


def _declared(name: str, width: int) -> bytes:
    """A ValueInfoProto: (texts, words, width) float32."""
    dimensions = [_field(2, b"texts"), _field(2, b"words"), _number(1, width)]
    shape = b"".join(_field(1, one) for one in dimensions)
    tensor = _number(1, _FLOAT) + _field(2, shape)
    return _field(_INPUT_NAME, name.encode()) + _field(2, _field(1, tensor))


# -- protocol buffers


class _Field(NamedTuple):
    """`whole`: with its number and length. Of one that is not bytes `body` is empty."""

    number: int
    body: memoryview
    whole: memoryview


def _fields(message: memoryview) -> Iterator[_Field]:
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, end = _varint(message, at)
            at = end
        elif kind == _BYTES:
            length, at = _varint(message, at)
            end = at + length
        else:
            end = at = at + _WIDTHS[kind]
        yield _Field(tag >> 3, message[at:end], message[start:end])
        at = end


def _text(message: memoryview, number: int) -> str:
    """The first field of that number."""
    return next((bytes(field.body).decode() for field in _fields(message) if field.number == number), "")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _encoded(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _number(number: int, value: int) -> bytes:
    return _encoded(number << 3 | _VARINT) + _encoded(value)


def _field(number: int, body: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(body)) + body
