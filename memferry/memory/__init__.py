"""The writers: what an agent says goes into memory, in formats that other tools read."""
