"""A secret that the configuration names and never holds: `env:NAME`, or `file:PATH`."""

from __future__ import annotations

from pathlib import Path

from memferry.errors import ConfigError

ENVIRONMENT = "env:"
FILE = "file:"


class Secret:
    """`reference`: where it lies, which may be shown. `value`: of the variable, for `env:`; None: it is not set. Never
    shown, never compared, read from its file when it is needed."""

    def __init__(self, reference: str, value: str | None = None) -> None:
        self.reference = reference
        self._value = value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    def reveal(self) -> str:
        """The secret, for the one who needs it now. ConfigError says why there is none."""
        found = self._read() if self.reference.startswith(FILE) else self._value
        if not found:
            what, hint = self._missing()
            raise ConfigError(f"{self.reference} {what}", hint=hint)
        return found

    def _missing(self) -> tuple[str, str]:
        if self.reference.startswith(FILE):
            return "is empty", "write the key into it"
        name = self.reference.removeprefix(ENVIRONMENT)
        return "is not set", f"set {name} for memferry and its service, or write `file:PATH` instead"

    def _read(self) -> str:
        path = Path(self.reference.removeprefix(FILE))
        try:
            return path.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="let this user read it") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not text", hint="it should hold the key alone") from error
