"""Attacks on what a federation gives away: measured success of an adversary, beside what a claim allows."""
