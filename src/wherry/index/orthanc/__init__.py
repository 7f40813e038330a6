"""An Orthanc's index in SQLite, read to be adopted. It is never written to.

opening  is it there, is nobody at it, is it one that is understood
reading  its rows, in the order in which they are written to our index (``index.adopting``)
"""
