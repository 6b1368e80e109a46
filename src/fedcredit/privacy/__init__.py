"""What is promised, how it is kept, and what was spent."""
