"""What makes a vault unreadable to whoever keeps it: age, the keys of machines, the ring of those that have them."""
