"""Files as objects of S3, Azure or Google Cloud, named as Orthanc's plugins name them."""

from wherry.storage.objects.storage import ObjectStorage
from wherry.storage.objects.stores import object_ring_file, object_storage

__all__ = ["ObjectStorage", "object_ring_file", "object_storage"]
