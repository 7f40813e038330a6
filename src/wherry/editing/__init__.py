"""Making new instances of stored ones: modified, anonymized, split off, merged."""
