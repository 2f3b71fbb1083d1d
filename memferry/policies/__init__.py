"""Policies: which records may leave. Pure, and closed when in doubt: `chain.judge` puts them in order."""
