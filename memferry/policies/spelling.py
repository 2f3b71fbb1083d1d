"""Names as a reader sees them: `Visibility`, `v1s1bi|ity` and `vіsibility` (a Cyrillic і) all look like a label."""

from __future__ import annotations

import unicodedata

_LOOKALIKES = str.maketrans({"0": "o", "1": "i", "l": "i", "|": "i", "5": "s", "$": "s", "3": "e", "4": "a", "@": "a"})
_ASCII = [chr(code).lower().translate(_LOOKALIKES) for code in range(128)]
_ALIKE = "".join(_ASCII).encode() + bytes(128)
_SEPARATORS = bytes(code for code, char in enumerate(_ASCII) if not char.isalnum())
_INVISIBLE = frozenset({"Mn", "Me", "Cf", "Cc"})


def plain(text: str) -> str:
    """NFKC without marks and invisible characters, in one case."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(char for char in apart if unicodedata.category(char) not in _INVISIBLE)


def folded(name: str) -> str:
    """`plain`, with look-alikes made equal and separators taken out."""
    if name.isascii():
        return name.encode().translate(_ALIKE, _SEPARATORS).decode()
    return "".join(filter(str.isalnum, plain(name).translate(_LOOKALIKES)))


def looks_like(name: str, label: str) -> bool:
    """Whether `folded(name)` could be read as `folded(label)`: a letter beyond ASCII may stand for any other,
    as long as one letter within it agrees."""
    if name == label:
        return True
    if name.isascii() or len(name) != len(label):
        return False
    pairs = [(char, meant) for char, meant in zip(name, label, strict=True) if char.isascii()]
    return bool(pairs) and all(char == meant for char, meant in pairs)
