"""Finds what is private wherever it may have got to. `python -m tests.canary` searches any folders for any texts."""
