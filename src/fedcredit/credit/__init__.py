"""What scores are worth in credit terms."""
