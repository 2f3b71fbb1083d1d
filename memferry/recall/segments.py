"""How FTS5 keeps the words: a segment a transaction while records come in, few of them once there is time to merge.

Merging while they come in, as FTS5 does by itself, doubles the time that takes. A question looks into every segment:
among 100,000 records it takes 10 ms with fifty of them, 7 with eight, 5.5 with one.
"""

from __future__ import annotations

import sqlite3

SETTINGS = {
    "automerge": 0,  # `merge` is called when there is time
    "crisismerge": 64,  # segments at which nobody waits for that any more
    "hashsize": 16 << 20,  # bytes: a batch is one segment
}
PAGES = 500
"""Written at most by one step of merging: 40 ms."""
LARGEST = 0.8
"""Once the largest segment has so much of all pages, what is new is merged into it no more: each of its pages would be
written again for a few."""

CREATE = """
create virtual table words using fts5(text, before, content='', tokenize='porter unicode61 remove_diacritics 2');
""" + "".join(f"insert into words(words, rank) values('{name}', {value});\n" for name, value in SETTINGS.items())


def merge(database: sqlite3.Connection) -> bool:
    """A step of merging, if one is due; whether there may be more. What a step cut short has done is there."""
    before = database.total_changes
    pages = -PAGES if _is_scattered(database) else PAGES  # below zero: all into one
    database.execute("insert into words(words, rank) values('merge', ?)", (pages,))
    return database.total_changes - before > 1  # one: this very statement


def _is_scattered(database: sqlite3.Connection) -> bool:
    sql = "select max(pages), sum(pages) from (select count(*) as pages from words_idx group by segid)"
    largest, total = database.execute(sql).fetchone()
    return bool(total) and largest < LARGEST * total
