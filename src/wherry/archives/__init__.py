"""Archives: resources as one ZIP, for people and for media."""
