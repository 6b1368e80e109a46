"""Loan tables, lenders and the public contract between them."""
