"""Editing what is stored: jobs that make new instances, and what all edits need beside the bytes.

Not here: the bytes (``dicom.editing``).
"""
