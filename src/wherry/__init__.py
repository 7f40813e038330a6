"""Wherry: a DICOM server that carries whole studies between sites, all or nothing."""

__version__ = "0.1.0"
