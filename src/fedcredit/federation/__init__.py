"""Flower's side: messages, strategy, and the runtimes that carry them."""
