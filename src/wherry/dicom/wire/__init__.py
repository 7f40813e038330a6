"""What DICOM systems say to each other over TCP (PS3.7, PS3.8): bytes to values and back.

Pure: no socket, no clock. ``pdu`` has what makes and ends an association, ``reading`` and
``writing`` its bytes; ``stream`` takes a connection apart, ``commands`` has the head of every DIMSE
message.
"""
