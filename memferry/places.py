"""Where this platform keeps an application's files. Only entry points ask; everything else is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

APP = "memferry"
CONFIG_FILE = "memferry.yaml"
DATABASE = "state.db"
"""In the state folder: what this machine remembers."""
SECRET_FILE = "secret.key"
"""Beside it: the key of this machine's fingerprints."""
DECISIONS = "decisions.jsonl"
"""Beside it: what a person decided about single findings."""


def config_file(environ: Mapping[str, str]) -> str:
    """The configuration that is used when nobody names one."""
    return os.path.join(_folder("config", environ), CONFIG_FILE)


def state_folder(environ: Mapping[str, str]) -> str:
    """Where the state lies unless the configuration or MEMFERRY_STATE says so."""
    return _folder("state", environ)


def vault_folder(environ: Mapping[str, str]) -> str:
    """Where `memferry init` puts a vault unless it is told."""
    return os.path.join(_folder("data", environ), "vault")


if sys.platform == "linux":
    # What platformdirs answers there (a test compares), without an import that takes as long as Python's own start.
    _XDG = {
        "config": ("XDG_CONFIG_HOME", "~/.config"),
        "state": ("XDG_STATE_HOME", "~/.local/state"),
        "data": ("XDG_DATA_HOME", "~/.local/share"),
    }

    def _folder(kind: str, environ: Mapping[str, str]) -> str:
        variable, usual = _XDG[kind]
        chosen = environ.get(variable, "")
        base = chosen if os.path.isabs(chosen) else os.path.expanduser(usual)
        return os.path.join(base, APP)

else:

    def _folder(kind: str, environ: Mapping[str, str]) -> str:
        import platformdirs

        folders = {
            "config": platformdirs.user_config_dir,
            "state": platformdirs.user_state_dir,
            "data": platformdirs.user_data_dir,
        }
        return folders[kind](APP, appauthor=False)
