"""Auditing: what somebody who plants canaries and sees every step can prove against a claimed epsilon."""
