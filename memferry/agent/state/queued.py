"""What lies in the journal beyond a checkpoint, told without reading all of it: it may have a million rows."""

BEYOND = (
    "(select ? as through) join journal"
    " on first >= coalesce((select max(first) from journal where first <= through), 0) and last > through"
)
"""For a select: the rows with operations behind a seq. Rows follow one another, so one at most begins before it."""
WAITING = f"select total(count) from {BEYOND}"
"""How many operations, or a few more where a backend stopped amid a row."""
