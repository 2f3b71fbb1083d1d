"""The entry point of `memferry`. What agents call all the time does not wait for the rest of the command line."""

from __future__ import annotations

import sys


def main() -> int:
    """Perform this process's command line and return its exit code."""
    if sys.argv[1:2] == ["memory"]:
        from memferry.cli import memory

        return memory.main(sys.argv[2:], memory.AS_COMMAND)
    from memferry.cli import main as command_line

    return command_line.main()
