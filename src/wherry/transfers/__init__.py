"""Whole studies between servers: manifest, buckets, sender, receiver."""
