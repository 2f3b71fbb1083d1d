"""A vector index, at a Qdrant server or in this process."""
