"""The shared network and its arrays."""
