"""Storage commitment (PS3.4 Annex J), asked for and answered."""
