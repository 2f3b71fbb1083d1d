"""What this machine remembers: one database, and the values that go into it and come out."""
