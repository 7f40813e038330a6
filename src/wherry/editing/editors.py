"""What an order does to one file: its rules, then the transfer syntax that is wanted.

Not here: rules and bytes (``dicom.editing``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wherry import __version__
from wherry.dicom.editing.editor import Editor
from wherry.dicom.editing.rules import Rules
from wherry.editing.making import Edited, type_edit
from wherry.editing.order import EditOrder

type_transcode = Callable[[Edited, str, int], Edited]
"""An edited file in another transfer syntax; the quality of a lossy one, 0 = as configured."""


def editor_of(order: EditOrder, secret: str, transcode: type_transcode) -> type_edit:
    """What this order does to a file. ``secret``: ``Wherry.AnonymizationSecret``."""
    rules = Rules.from_document(order.rules)
    edit = Editor(rules, order.seed.pseudonyms(secret), __version__).edit
    return partial(_edit_and_transcode, edit, transcode, order) if order.transcode else edit


def _edit_and_transcode(
    edit: type_edit, transcode: type_transcode, order: EditOrder, data: memoryview
) -> Edited:
    return transcode(edit(data), order.transcode, order.quality)
