"""Who carries the messages: this process (``inline``) or Flower's simulation runtime (``ray``)."""
