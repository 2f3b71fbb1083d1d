"""Files as Windows must be asked for them, where what Python asks by itself is not enough."""

from __future__ import annotations

import sys

_LONG, _LONG_UNC = "\\\\?\\", "\\\\?\\UNC\\"


def extended(path: str) -> str:
    """An absolute path, spelled so that it may be longer than 259 characters. What is joined to it is joined with
    backslashes: nothing behind such a beginning is normalised."""
    if path.startswith((_LONG, "\\\\.\\")):
        return path
    return _LONG_UNC + path[2:] if path.startswith("\\\\") else _LONG + path


if sys.platform == "win32":
    import os
    from functools import cache
    from typing import TYPE_CHECKING

    if TYPE_CHECKING:
        import ctypes

    _GENERIC_READ = 0x80000000
    _SHARE_ALL = 1 | 2 | 4  # others may read, write, and rename or delete, which `os.open` keeps them from
    _OPEN_EXISTING = 3
    _NORMAL = 0x80
    _LONGEST = 1 << 15

    def open_beside_others(path: str) -> int:
        """A descriptor for reading, not inherited, that keeps nobody from renaming or deleting the file meanwhile."""
        import ctypes
        import msvcrt

        handle = _kernel().CreateFileW(path, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, _NORMAL, None)
        if handle == ctypes.c_void_p(-1).value:
            raise _failure(path)
        return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)

    def name_of(descriptor: int) -> str:
        """What an open file is called, links resolved, as `extended` spells it."""
        import ctypes
        import msvcrt

        room = ctypes.create_unicode_buffer(_LONGEST)
        if not _kernel().GetFinalPathNameByHandleW(msvcrt.get_osfhandle(descriptor), room, _LONGEST, 0):
            raise _failure("")
        return room.value

    @cache
    def _kernel() -> ctypes.WinDLL:
        import ctypes
        from ctypes.wintypes import DWORD, HANDLE, LPCWSTR, LPVOID, LPWSTR

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateFileW.restype = HANDLE
        kernel.CreateFileW.argtypes = (LPCWSTR, DWORD, DWORD, LPVOID, DWORD, DWORD, HANDLE)
        kernel.GetFinalPathNameByHandleW.restype = DWORD
        kernel.GetFinalPathNameByHandleW.argtypes = (HANDLE, LPWSTR, DWORD, DWORD)
        return kernel

    def _failure(path: str) -> OSError:
        import ctypes

        code = ctypes.get_last_error()
        return OSError(0, ctypes.FormatError(code), path, code)
