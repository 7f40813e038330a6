"""Instances that a modality is asked for (C-MOVE, C-GET)."""
