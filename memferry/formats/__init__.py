"""Formats: files to records and back. A module here that offers `FORMAT` is a format; `registry` finds it."""
