"""Receipts: what was received, from whom and when, signed; to be verified without any server."""
