"""Pixels, made and unmade by processes that may die.

Decoders are native code that reads what anybody sent. They run in worker processes with bounded
memory and time: a file that crashes or hangs one costs its request an answer 4xx, and the server
nothing. Nobody here decides what is made of pixels: ``dicom.pixels`` and ``dicom.codecs`` do.
"""
