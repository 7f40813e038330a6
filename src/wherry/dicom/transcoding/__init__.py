"""A DICOM file in another transfer syntax, in pieces: nothing is held but a frame at a time.

What is not concerned stays bit for bit: elements are copied as they are where their encoding does
not change (``parts``), and written anew, value by value, where it does (``dicom.reencode``). Pixels
are decoded and encoded frame by frame (``pixels``).

It loads native decoders with the first compressed frame: for a worker process (``imaging``).
"""
