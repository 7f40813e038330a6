"""Modality worklists: what is scheduled, for modalities that ask (PS3.4 Annex K).

Items come over REST, and lie in the index; or as files that others put into a folder.

Not here: who asks for them (``rest``, ``dimse``).
"""

from wherry.worklists.book import WorklistBook

__all__ = ["WorklistBook"]
