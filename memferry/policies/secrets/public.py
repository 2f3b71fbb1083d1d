"""What is drawn at random and is for everybody: told by what stands around it, or by what it is made of."""

from __future__ import annotations

import re
from functools import cache

from memferry.policies.secrets import linear, vocabulary
from memferry.policies.secrets.views import decoded
from memferry.policies.secrets.words import parts_of

_NAMED = re.compile(r"\n?[\"'`(]?[\s:=#>/|-]{1,3}?[\"'`]?-*([A-Za-z0-9][A-Za-z0-9-]*)")
"""Backwards, which takes linear time: what stands between a name and its value, and the name."""
_DIGEST_WORDS = frozenset(vocabulary.DIGEST_WORDS)
_KEY_BEFORE = re.compile(
    r"pub(?:lic)?[ _-]?key(?:[\"'`]?\s{0,2}[:=]\s{0,2}[\"'`]?|-----\s{0,2})$|certificate-----\s{0,2}$", re.IGNORECASE
)
_LINE_ABOUT = (
    r"(?i)public[ _-]?key|\bssh-(?:rsa|dss|ed25519)\s|\becdsa-sha2|(?:^|\n)\|1\||certificate|thumbprint|fingerprint"
    r"|dnskey|_domainkey|pin-sha256"
)
_LINES, _FAR = 2, 300
"""How far back a line is looked at that says what stands in the next."""
_ENCRYPTED = "ENC["
_WORD_BEFORE = re.compile(r"[a-z]{4,}$")
_BLOCK_BEGINS = "-----BEGIN "
_BLOCK = 8192
"""Characters: as far back a block of a certificate may begin."""
_LINE_OF_BASE64 = re.compile(r"[A-Za-z0-9+/=]{40}")
_TYPED_ID = re.compile(r"(?:[a-z]{1,20}_){1,3}01[0-9a-z]{24}")
"""A time and what is drawn, as a ULID: `user_01h455vb4pex5vsknk084sn02q`."""


def is_public(text: str, start: int, run: str) -> bool:
    """Whether what stands at `start` is shown to everybody. `run`: what of it is drawn."""
    return _is_shape(run) or _in_address(text, start) or _in_public_block(text, start) or _is_said_to_be(text, start)


def _is_shape(run: str) -> bool:
    """By what it is made of."""
    return (
        run.startswith(vocabulary.HARMLESS_PREFIXES + vocabulary.FILES_AS_BASE64)
        or run.endswith((".onion", ".i2p"))
        or _TYPED_ID.fullmatch(run) is not None
        or _ADDRESS.fullmatch(run) is not None
        or _ends_named_path(run)
    )


def _is_said_to_be(text: str, start: int) -> bool:
    """By what stands before it."""
    before = text[max(0, start - 40) : start]
    return (
        is_named_digest(before)
        or _KEY_BEFORE.search(before) is not None
        or _line_about().occurs(_lines_before(text, start).encode("utf-8", "replace"))
        or _is_encrypted(text, start)
    )


@cache
def _line_about() -> linear.Pattern:
    return linear.Pattern(_LINE_ABOUT)


_ADDRESS = re.compile(
    r"[1-9A-HJ-NP-Za-km-z]{43,44}|[13][1-9A-HJ-NP-Za-km-z]{25,34}"
    r"|(?:(?:app|tbl|viw|rec|fld|usr|wsp)[A-Za-z0-9]{14}[/.]?){1,4}"
)
"""Of Solana and Bitcoin, to which everybody may send; ids of Airtable."""


def is_named_digest(before: str) -> bool:
    found = _NAMED.match(before[::-1])
    if found is None:
        return False
    name = found[1][::-1]
    parts = parts_of(name)
    return name.lower() in _DIGEST_WORDS or (bool(parts) and parts[-1].lower() in _DIGEST_WORDS)


def is_public_name(name: str) -> bool:
    """`VAPID_PUBLIC_KEY`."""
    return _PUBLIC_NAME.search(name) is not None


_PUBLIC_NAME = re.compile("pub(?:lic)?_?key$", re.IGNORECASE)


def says_something(run: str) -> bool:
    """Whether it is a text as base64, which is looked at by itself."""
    return decoded(run) is not None


def is_block(text: str, start: int, end: int) -> bool:
    """One of many lines of base64: an image, a certificate."""
    near = text[max(0, start - 80) : start], text[end : end + 80]
    return end - start >= 60 and any(_LINE_OF_BASE64.search(part) for part in near)


def _in_address(text: str, start: int) -> bool:
    """Part of the path of a URL."""
    space = max(text.rfind(" ", max(0, start - 300), start), text.rfind("\n", max(0, start - 300), start))
    return "://" in text[space + 1 : start + 3]


def _ends_named_path(run: str) -> bool:
    """`/.well-known/acme-challenge/...`."""
    head, parted, _ = run.rpartition("/")
    return bool(parted) and _WORD_BEFORE.search(head) is not None and is_named_digest(f"{head}/")


def _is_encrypted(text: str, start: int) -> bool:
    """In `ENC[...]`, as sops writes it."""
    begins = text.rfind(_ENCRYPTED, max(0, start - _FAR), start)
    return begins >= 0 and text.find("]", begins, start) < 0


def _lines_before(text: str, start: int) -> str:
    """What stands before it in its line, and the line before."""
    at = start
    for _ in range(_LINES):
        at = text.rfind("\n", max(0, start - _FAR), at)
        if at < 0:
            return text[max(0, start - _FAR) : start]
    return text[at:start]


def _in_public_block(text: str, start: int) -> bool:
    begins = text.rfind(_BLOCK_BEGINS, max(0, start - _BLOCK), start)
    if begins < 0 or text.find("-----END", begins, start) >= 0:
        return False
    head = text[begins : begins + 60]
    return "PRIVATE" not in head and "SECRET" not in head
