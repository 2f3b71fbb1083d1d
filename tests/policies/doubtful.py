"""Lines, entries and documents of which nobody can say that they are public: each must stay at home, alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

CANARY = "ca9a4f5d1f0e8b7263c1d2e4f6a8b0c9"

BAD_VALUES: dict[str, list[object]] = {
    "visibility": [
        "private",
        "Private",
        "PRIVATE ",
        "priv\u0430te",
        "personal",
        "",
        None,
        True,
        False,
        1,
        0,
        [],
        ["project"],
        {},
    ],
    "sensitivity": [
        "private",
        "confidential",
        "restricted",
        "secret",
        "Secret",
        "low",
        "none",
        None,
        True,
        0,
        [],
        {"level": 1},
    ],
    "private": [True, "true", "false", "yes", "no", 1, 0, 1.0, None, [], {}, "private"],
    "is_private": [True, "true", "", 0, 1, None],
    "confidential": [True, "False", 2, None, [True]],
}
MISSPELLED = [
    "Private", "PRIVATE", "pri_vate", "pri vate", "рrivate", "privаte", "prіvate", "private\u200b", "ｐrivate",
    "pr1vate", "prlvate", "pr|vate", "isPrivate", "is-private", "IS_PRIVATE", "Visibility", "vislbility",
    "visib1lity", "visibility ", "visi-bility", "vіsibility", "Sensitivity", "sensitlvity", "sens1tivity",
    "s\u0435nsitivity", "Confidential", "confidentiaI", "c0nfidential",
]  # fmt: skip
TAGS = [
    ["private"],
    ["x", "Private"],
    ["#private"],
    "x, private",
    "private",
    ["pr1vate"],
    ["private/x"],
    ["p\u200brivate"],
]
MARKS = ["<private>x</private>", "<PRIVATE a='b'>", "x </private>", "< private", "＜private＞", "<p\u200brivate> é"]


def placed(label: dict[str, object]) -> Iterator[dict[str, object]]:
    """The label at the top, and where a quick look misses it."""
    yield {"id": "bad", "text": CANARY, **label}
    yield {"id": "bad", "payload": {"text": CANARY, **label}}
    yield {"id": "bad", "visibility": "project", "items": [1, {"deep": [label, CANARY]}]}


def labelled() -> Iterator[tuple[str, bytes]]:
    pairs = [(key, value) for key, values in BAD_VALUES.items() for value in values]
    pairs += [(key, value) for key in MISSPELLED for value in (False, "project")]
    pairs += [("tags", value) for value in TAGS]
    for (key, value), ascii_ in itertools.product(pairs, (True, False)):
        for number, fields in enumerate(placed({key: value})):
            yield f"{key}={value!r} {number} {ascii_}", json.dumps(fields, ensure_ascii=ascii_).encode()
    for mark in MARKS:
        yield f"mark {mark}", json.dumps({"id": "bad", "deep": [{"text": f"{CANARY} {mark}"}]}).encode()


def ambiguous() -> Iterator[tuple[str, bytes]]:
    for key in BAD_VALUES:
        for colon, first in itertools.product((":", " :", "\t: ", ": "), ("true", '"private"', '"project"')):
            yield f"twice {key} {colon!r} {first}", f'{{"id":"bad","{key}"{colon}{first},"{key}"{colon}false}}'.encode()
        escaped = f"\\u{ord(key[0]):04x}{key[1:]}"
        yield f"twice {key} escaped", f'{{"id":"bad","{key}":true,"{escaped}":false}}'.encode()
        yield f"twice {key} inside", f'{{"id":"bad","a":[{{"{key}":true,"x":"\\":","{key}":false}}]}}'.encode()
    for number in ("NaN", "Infinity", "-Infinity", "1e400", "-1e999", "9" * 5000, "01", "1.", "+1", "0x1", ".5"):
        yield f"number {number[:10]}", f'{{"id":"bad","x":{number}}}'.encode()
    for half in ("\\ud800", "\\udfff", "\\ud800\\ud800", "\\udc00\\ud800", "a\\uD83D"):
        yield f"half of a pair {half}", f'{{"id":"bad","x":"{half}"}}'.encode()
        yield f"half of a pair as a key {half}", f'{{"id":"bad","{half}":1}}'.encode()


def damaged() -> Iterator[tuple[str, bytes]]:
    whole = json.dumps(
        {"id": "bad", "visibility": "private", "text": f"{CANARY} und ähnlich"}, ensure_ascii=False
    ).encode()
    for end in range(1, len(whole)):
        yield f"torn at {end}", whole[:end]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-8-sig", "utf-7"):
        raw = whole.decode().encode(encoding)
        yield f"as {encoding}", raw.replace(b"\n", b"")
    yield "glued", whole + whole
    yield "glued with a comma", whole + b"," + whole
    yield "NUL bytes", b"\0" * 100
    yield "behind NUL bytes", b"\0\0\0" + whole
    yield "in single quotes", whole.replace(b'"', b"'")
    yield "with a comment", whole + b" // public"
    yield "wrapped", b"\xe2\x80\x8b" + whole
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
        yield f"100,000 times {opening}", opening.encode() * 100_000 + b"1" + closing.encode() * 100_000
        yield f"65 times {opening}", opening.encode() * 65 + b"1" + closing.encode() * 65
        yield f"without an end {opening}", opening.encode() * 100_000


CASES = dict(itertools.chain(labelled(), ambiguous(), damaged()))
GOOD = {"id": "good", "visibility": "project", "text": "anybody may read this line"}

FRONTS = [
    "private: true", "private: yes", "private: on", "private: 1", "private: 'true'", "private: null", "private:",
    "private: [true]", "Private: true", "PRIVATE: false", "is_private: true", "isPrivate: true", "is-private: no",
    "visibility: private", "visibility: Private", "visibility: personal", "visibility:", "visibility: [project]",
    "sensitivity: secret", "sensitivity: Internal", "confidential: true", "confidential: maybe",
    "meta: {private: true}", "meta: {a: [{visibility: x}]}", "tags: [private]", "tags: a, Private",
    "tags: ['#private']", "vіsibility: project", "private: true\nprivate: false",
    "private: false\nprivate: false", "a: &b 1\nc: *b", "private: !!bool 'no'", "private: {", "- private",
    "private true\n: x: y", "? [private]\n: true", "\t private: true", "title: '<private>'", "x: 2026-99-99",
    "{private: true}", "%TAG ! x",
]  # fmt: skip
"""Front matter that says, or may say, that its document is private."""
LAYOUTS = ["---\n{}\n---\n", "---\r\n{}\r\n---\r\n", "\ufeff---\n{}\n...\n", "\n---\n{}\n---\n"]
DOCUMENTS = [
    b"---\nprivate: true\n", b"---", b"+++\nprivate = true\n+++\n", b"+++\nprivate = tru\n+++\n",
    b"--- {private: true} ---", "---\nprivate: true\n---\n".encode("utf-16"),
    "---\nprivate: true\n---\n".encode("utf-16-le"), b"text \xff", b"a\0b", b"a <private>b</private> c",
    b"a <Private\n x='1'> b", b"never closed <private> b", b"---json\n{private: true}\n---\n",
    b';;;\n{"private": true}\n;;;\n',
    b"{\n \"private\": true\n}\ntext", b"----\nprivate: true\n----\n", b"<!-- x -->\n---\nprivate: true\n---\n",
]  # fmt: skip


def documents() -> Iterator[tuple[str, bytes]]:
    """All of them, by name."""
    for front, layout in itertools.product(FRONTS, LAYOUTS):
        yield f"{front!r} in {layout!r}", (layout.format(front) + CANARY).encode()
    for content in DOCUMENTS:
        yield repr(content), content


def entries() -> Iterator[tuple[str, bytes]]:
    """What can stand in a JSON array: the rest is no JSON at all, and leaves the whole file as it was."""
    for name, raw in itertools.chain(labelled(), ambiguous()):
        if name.removeprefix("number ") not in {"01", "1.", "+1", "0x1", ".5"}:
            yield name, raw
