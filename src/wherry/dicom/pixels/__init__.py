"""From the frames of a file to what people look at (PS3.3 §C.7.6.3, §C.11; PS3.4 §N.2).

``image``: stored values of a frame as an array; ``values``: what they mean, and which of them a
window shows; ``palette`` and ``colour``: colours; ``pictures``: 8- and 16-bit pictures, made row by
row; ``npy`` and ``matlab``: arrays as others read them. All of it is numpy alone, and pure.
Overlays are not drawn, as in Orthanc.
"""
