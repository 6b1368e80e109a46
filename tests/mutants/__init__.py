"""Privacy bugs planted one by one into a copy of the source, each to be killed by a fast test that has a name."""
