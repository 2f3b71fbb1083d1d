"""What the state holds, told without reading all of it: a table may have a million rows."""

BEYOND = (
    "(select ? as through) join journal"
    " on first >= coalesce((select max(first) from journal where first <= through), 0) and last > through"
)
"""For a select: the rows with operations behind a seq. Rows follow one another, so one at most begins before it."""
WAITING = f"select total(count) from {BEYOND}"
"""How many operations, or a few more where a backend stopped amid a row."""

RECORDS_OF_FILES = (
    "file cross join layout on layout.file = file.id cross join record on place > 0"
    " and place between layout.id << 32 and (layout.id << 32) + 4294967295"
)
"""Records by their first places, what was withdrawn among them."""

SPACES = "select space from file union select space from pulled_file union select space from foreign_record"
"""Of every file that was read or pulled, also of spaces that are no longer configured."""
