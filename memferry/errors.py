"""Every error says what the caller must do.

    MemferryError
    ├─ ConfigError          the user must change something; shown without traceback     exit 2
    ├─ StateError           outbox or checkpoint unusable; stop, do not guess           exit 1
    │  └─ StateLocked       another instance holds the state                            exit 3
    ├─ SpaceMissing         a space is not there, or cannot be read as it should be     exit 1
    ├─ Halted               a plan looks like a vanished disk; the user must confirm    exit 1
    ├─ SupervisorError      the system's service manager is not there, or refuses       exit 1
    ├─ ScannerBroken        what looks for secrets does not work: nothing is sent       exit 1
    ├─ IndexBroken          the local index cannot be used: recall stops, carrying goes on exit 1
    ├─ EmbedderBroken       a model cannot be loaded or asked: full text goes on        exit 1
    ├─ MemoryRefused        the memory's life cycle cannot do that; nothing was written exit 1
    ├─ Unforeseen           a bug in memferry                                           exit 70
    └─ BackendError         carries backend, key, hint
       ├─ TransientError      try again later
       ├─ PreconditionFailed  look again and re-plan: NotFound, AlreadyExists, VersionMismatch
       ├─ PermanentError      no retry will help: AuthFailed, AccessDenied, QuotaExceeded, InvalidValue
       └─ TargetRefused       another host key, tampered, rolled back, newer version    exit 4
          ├─ Damaged          an object is not what was written; `problem` says how
          └─ ForkedLog        another state has written this machine's log

A record that cannot be read is no exception: it is a value, a `Record` with a `problem`.
"""

from __future__ import annotations

import os


class MemferryError(Exception):
    """Base of all errors shown to a user: the message names the thing, `hint` what to run or change."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MemferryError):
    """A setting, a path or an argument must change."""

    exit_code = 2


class StateError(MemferryError):
    """The state database cannot be used as it is."""


class StateLocked(StateError):
    """Another instance holds this state directory."""

    exit_code = 3


class SpaceMissing(MemferryError):
    """A space's folder, or what says which of it stays at home, is not there or cannot be read: an unmounted disk, not
    a space whose files were deleted."""


class Halted(MemferryError):
    """A sync stopped by itself because most of a space vanished at once."""


class SupervisorError(MemferryError):
    """systemd, launchd or the Task Scheduler is not there, or would not do it."""


class ScannerBroken(MemferryError):
    """What looks for secrets is missing, or does not find what was planted for it: nothing may leave."""


class IndexBroken(MemferryError):
    """The local index is damaged, or cannot be written: recall waits, nothing else does and nothing is lost."""


class EmbedderBroken(MemferryError):
    """A model is missing, damaged or does not answer: what needs vectors waits, full text goes on."""


class MemoryRefused(MemferryError):
    """A verb of the memory's life cycle cannot do what was asked, and wrote nothing."""


class BackendError(MemferryError):
    """Something at the destination; `backend` names it in the configuration, `key` the object."""

    def __init__(self, message: str, *, backend: str = "", key: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.backend = backend
        self.key = key


class TransientError(BackendError):
    """May work later: a cut line, a busy disk. `retry_after_s`: what the destination asked to wait; None: nothing."""

    retry_after_s: float | None = None


class PreconditionFailed(BackendError):
    """The destination is not as we thought: look again."""


class NotFound(PreconditionFailed):
    """There is no such object."""


class AlreadyExists(PreconditionFailed):
    """An object with other bytes lies under this key."""


class VersionMismatch(PreconditionFailed):
    """The object changed since its version was read."""


class PermanentError(BackendError):
    """No retry will help."""


class AuthFailed(PermanentError):
    """The destination does not let us in."""


class AccessDenied(PermanentError):
    """Read-only, or not ours."""


class QuotaExceeded(PermanentError):
    """The destination is full."""


class InvalidValue(PermanentError):
    """The destination can never take this value."""


class TargetRefused(BackendError):
    """The destination is not the one that is known, was tampered with, rolled back, or is newer than this program."""

    exit_code = 4


class Damaged(TargetRefused):
    """An object is not what was written there. `problem`: one of those of `backends.base.Finding`."""

    def __init__(self, problem: str, message: str, *, backend: str = "", key: str = "", hint: str = "") -> None:
        super().__init__(message, backend=backend, key=key, hint=hint)
        self.problem = problem


class ForkedLog(TargetRefused):
    """This machine's log holds operations that this state did not write: it was copied, or restored from a backup.

    Nothing was overwritten. Who owns the state reads the log, continues behind it under a new epoch, or takes a new id.
    """


class Unforeseen(MemferryError):
    """A bug in memferry: told by its kind and its place, since its text and its traceback may show content."""

    exit_code = 70

    def __init__(self, error: BaseException) -> None:
        text = f"fault: {type(error).__name__} at {place(error)}"
        super().__init__(text, hint="this should not happen; please report it with this line")


def told(error: Exception) -> MemferryError:
    """What to tell a user of an error that nobody handled."""
    match error:
        case MemferryError():
            return error
        case OSError():
            text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            return MemferryError(text, hint="see `memferry doctor`")
        case _:
            return Unforeseen(error)


def place(error: BaseException) -> str:
    """Where in this package it was raised, else where at all: never what was handled there."""
    places, trace = ["?"], error.__traceback__
    while trace is not None:
        folder, file = os.path.split(trace.tb_frame.f_code.co_filename)
        places.append(f"{os.path.basename(folder)}/{file}:{trace.tb_lineno}")
        if "memferry" in folder:
            places[0] = places[-1]
        trace = trace.tb_next
    return places[0] if places[0] != "?" else places[-1]
