"""From one experiment file to a results folder."""
