"""paramiko without `invoke`, which it imports for `Match exec` alone, that memferry does not follow: with asyncio and
unittest behind it, that takes half as long again as all the rest. Import this before paramiko."""

from __future__ import annotations

import sys

if "invoke" not in sys.modules:
    sys.modules["invoke"] = None  # type: ignore[assignment]  # an ImportError, with which paramiko gets on
    try:
        import paramiko
    finally:
        del sys.modules["invoke"]
    del paramiko
