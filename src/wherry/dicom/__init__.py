"""What a DICOM file says of itself: bytes in, values out. No I/O, no index, no HTTP."""
