"""Files that only the holder of a key can read, wherever they lie.

    chunks    one piece of a file under a key of its own, known by its number (STREAM)
    w1        our container: a header, then chunks; the default for new files
    a1        Orthanc's container, for the files of others and for those who share a store with one
    ring      the keys that wrap the keys of files, themselves wrapped by the master key
    keys      all of them together, as the storage area asks for them
    ringfile  the copy of the ring beside the data
    writing   a file on its way in
    reading   a file on its way out
    area      the ``StorageArea``

Every primitive is the library's (``cryptography``); why it is built like this stands in
docs/decisions/encryption.md. Not here: which keys are configured (``config.encryption``), the copy
of the ring in the index (``wherry.keyring``).
"""
