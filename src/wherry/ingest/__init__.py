"""The one door in: stage, verify, commit in one index transaction."""
