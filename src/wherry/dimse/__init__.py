"""What other DICOM systems ask of this server over an association (PS3.4, PS3.7, PS3.8).

A face: it parses, calls the rooms below, and answers.
"""

from wherry.dimse.listener import Listener, address, listen

__all__ = ["Listener", "address", "listen"]
