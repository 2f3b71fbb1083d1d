"""watchdog, set up so that its silent failures are heard. Imported when first used: only `watch` needs it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver

from memferry.agent.files.watch import LIMITS

# Without OPEN and CLOSE: watchdog's answer to a lost queue is to walk all folders, whose opens and closes would
# overflow the queue again, for ever.
EVENTS: list[type[FileSystemEvent]] = [
    FileModifiedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class Listener(FileSystemEventHandler):
    """Tells which paths an event is about, as paths below `root` however the system spells them."""

    def __init__(self, watched: str, root: Path, tell: Callable[[frozenset[Path]], None]) -> None:
        self._watched = watched
        self._root = root
        self._tell = tell

    def dispatch(self, event: FileSystemEvent) -> None:
        ends = (os.fsdecode(end) for end in (event.src_path, event.dest_path) if end)
        self._tell(frozenset(map(self._below_root, ends)))

    def _below_root(self, path: str) -> Path:
        if path.startswith(self._watched + os.sep):
            return self._root / path[len(self._watched) + 1 :]
        return self._root


def observe(
    folders: Mapping[str, Path],
    *,
    tell: Callable[[frozenset[Path]], None],
    on_overflow: Callable[[], None],
    on_refusal: Callable[[OSError], None],
) -> BaseObserver:
    """A running observer of `folders` (resolved path -> the root as configured), all of them or none.

    All three are called from its threads. `on_overflow`: the system lost events. `on_refusal`: a limit left some
    folder without a watch, now or later. Raises OSError and what watchdog raises when it cannot start.
    """
    _quieten()
    observer = _new_observer(on_overflow, on_refusal)
    try:
        for folder, root in folders.items():
            observer.schedule(Listener(folder, root, tell), folder, recursive=True, event_filter=EVENTS)
        observer.start()
    except BaseException:
        observer.stop()
        raise
    return observer


def is_alive(observer: BaseObserver) -> bool:
    """Whether every thread that an event has to pass is running."""
    reader = getattr(observer, "reader", observer)
    return bool(observer.is_alive() and reader.is_alive() and all(one.is_alive() for one in observer.emitters.copy()))


def stop(observer: BaseObserver) -> None:
    observer.stop()
    if observer.ident is not None:
        observer.join()


def _quieten() -> None:
    """A quick `mkdir -p` makes watchdog warn with megabytes of text (22 MB for 1,200 folders), and its log names
    files, private ones too."""
    warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
    logging.getLogger("watchdog").setLevel(logging.ERROR)


if sys.platform == "linux":
    from watchdog.observers.inotify import InotifyEmitter
    from watchdog.observers.inotify_c import CallbackId, InotifyEvent, InotifyFD, Mask, WatchCallback, WatchDescriptor

    class _Reader(InotifyFD):
        """Reads the kernel's queue; tells of what watchdog only logs or swallows."""

        def __init__(self, on_overflow: Callable[[], None], on_refusal: Callable[[OSError], None]) -> None:
            super().__init__()
            self._on_overflow = on_overflow
            self._on_refusal = on_refusal

        def handle_event(self, event: InotifyEvent) -> None:
            super().handle_event(event)
            if event.is_queue_overflow:
                self._on_overflow()

        def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
            try:
                return super().add_callback(path, mask, callback, id_)
            except OSError as error:
                if error.errno in LIMITS:
                    self._on_refusal(error)
                raise

    class _InotifyObserver(BaseObserver):
        """watchdog's own, with that reader."""

        def __init__(self, reader: _Reader) -> None:
            super().__init__(InotifyEmitter, inotify_fd=reader)
            self.reader = reader
            reader.start()

        def on_thread_stop(self) -> None:
            super().on_thread_stop()
            self.reader.stop()
            self.reader.join()

    def _new_observer(on_overflow: Callable[[], None], on_refusal: Callable[[OSError], None]) -> BaseObserver:
        return _InotifyObserver(_Reader(on_overflow, on_refusal))

else:

    def _new_observer(on_overflow: Callable[[], None], on_refusal: Callable[[OSError], None]) -> BaseObserver:
        from watchdog.observers import Observer

        return Observer()
