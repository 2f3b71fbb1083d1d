"""Asking for what was remembered: a local index over everything that was carried."""
