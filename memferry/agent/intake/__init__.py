"""From a file into the journal: read, judged, held or stored, in one transaction."""
