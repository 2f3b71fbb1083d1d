"""`python -m tests.canary PLACE... --private FILE [--key FILE]`: search folders and files for private texts.

FILE holds one text a line; of each, 32 or more random hex digits in it and all its plain digests are looked for, raw
and under compression, encryption, encodings and escapes. Prints one line a leak; exit code 1 if there is any.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.canary.search import file, folder, search
from tests.canary.traces import Traces


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.canary", description=__doc__)
    parser.add_argument("places", nargs="+", type=Path, metavar="PLACE", help="a folder or a file")
    parser.add_argument("--private", required=True, type=Path, metavar="FILE", help="the texts, one a line")
    parser.add_argument("--key", type=Path, metavar="FILE", help="age identities, one a line")
    arguments = parser.parse_args()
    keys = arguments.key.read_text().split() if arguments.key else []
    traces = Traces(arguments.private.read_text().splitlines())
    leaks = search(traces, (folder(one) if one.is_dir() else file(one) for one in arguments.places), keys)
    for leak in leaks:
        sys.stdout.write(f"{leak}\n")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
