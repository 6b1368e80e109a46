"""Privacy accounting: events say what was done, accountants price it, the ledger remembers it."""
