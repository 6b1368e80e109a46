"""A simulated market of lenders with shared borrowers and known truth."""
