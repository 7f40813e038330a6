"""The four Orthanc identifiers: SHA-1 over PatientID and the UIDs, in five groups of eight digits.

What: pure hashing of values that are Unicode and free of padding already. Why: two servers that
name a resource alike can compare and exchange it; every route of Orthanc speaks these names.
Not here: finding the values in a file (``scan``).
"""

from __future__ import annotations

from hashlib import sha1

from wherry.model import Identifiers


def identifiers(patient_id: str, study: str, series: str, sop: str) -> Identifiers:
    """Identifiers of an instance with these PatientID, Study, Series and SOP Instance UIDs.

    A missing PatientID is the empty string. Values that are not valid Unicode (lone surrogates)
    cannot come out of ``scan`` and raise ``UnicodeEncodeError``.
    """
    text = patient_id.encode()
    patient = sha1(text).digest().hex("-", 4)
    text += b"|" + study.encode()
    study = sha1(text).digest().hex("-", 4)
    text += b"|" + series.encode()
    series = sha1(text).digest().hex("-", 4)
    text += b"|" + sop.encode()
    return Identifiers(patient, study, series, sha1(text).digest().hex("-", 4))
