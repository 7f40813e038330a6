"""Creating DICOM files: of tags, pictures, documents and videos (``POST /tools/create-dicom``).

order      what a request asks for, checked
draft      the attributes of one instance, put together from its parent, the request and the content
fillings   what a content makes of an instance: attributes, transfer syntax, encapsulation
documents  MIME types of encapsulated documents; ``mp4`` and ``mpeg2`` look into videos
assembly   the bytes around the content
datauri    base64 as it comes in data URIs, in pieces

Pure: bytes in, values out. Not here: who reads, decodes and stores (``wherry.editing.creation``).
"""
