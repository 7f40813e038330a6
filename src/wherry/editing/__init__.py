"""Editing what is stored: what a modification or an anonymization needs beyond the bytes.

Not here: the bytes (``dicom.editing``).
"""
