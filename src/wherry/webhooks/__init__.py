"""Telling other programs what happened: signed, in order, at least once."""
