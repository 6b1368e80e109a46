"""A lender's local round: one contract, several trainers."""
