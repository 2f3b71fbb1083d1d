"""The writers: what agents keep through memferry, in formats that other tools read, too."""
