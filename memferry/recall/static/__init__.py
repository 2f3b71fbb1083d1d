"""Meaning without a model: a table of 64 bytes for each piece of a word, distilled once from one (tools/distill.py)."""
