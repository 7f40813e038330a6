"""Other DICOM systems: which ones are known, and what is said to them (PS3.4, PS3.7).

Not here: what they say to us (``dimse``), the bytes of it (``dicom.wire``).
"""

from wherry.modalities.book import ModalityBook

__all__ = ["ModalityBook"]
