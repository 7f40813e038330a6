"""Associations that this server asks for: what is agreed on, how they are kept and shared."""
