"""Who carries the messages between server and lenders."""
