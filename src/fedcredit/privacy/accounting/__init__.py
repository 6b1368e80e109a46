"""Events, accountants and the ledger: the only source of an epsilon."""
