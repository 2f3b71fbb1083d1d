"""Make the table of traditional characters again: `python tools/simplified.py`.

Needs `pip install --no-deps opencc-python-reimplemented==0.1.7`, which carries the dictionaries of OpenCC.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from memferry.recall.hanzi.fold import TABLE

DICTIONARY = "opencc/dictionary/TSCharacters.txt"
COMMON = range(0x4E00, 0xA000)
"""Rarer ones stand in no input method."""


def main() -> None:
    """The first of several simplified forms is the usual one."""
    dictionary = metadata.distribution("opencc-python-reimplemented").locate_file(DICTIONARY)
    lines = [line.split() for line in Path(str(dictionary)).read_text("utf-8").splitlines()]
    pairs = {old: new for old, new, *_ in lines if old != new and ord(old) in COMMON and ord(new) in COMMON}
    TABLE.write_text(f"{''.join(pairs)}\n{''.join(pairs.values())}\n", "utf-8")


if __name__ == "__main__":
    main()
