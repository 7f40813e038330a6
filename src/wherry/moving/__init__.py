"""Files that go from one store to another: ordered by people, or by the storage policy."""
