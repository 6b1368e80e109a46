"""Federated training: messages, lenders, the server, and the runtimes that carry the messages."""
