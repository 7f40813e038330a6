"""Where bytes lie: the ``StorageArea`` port, its backends and wrappers. Never SQL."""
