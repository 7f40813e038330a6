"""Editing a DICOM file: what a request asks for (``rules``), and the new bytes (``editor``).

Pure: bytes in, pieces of bytes out. What is not edited is copied bit for bit.
"""
