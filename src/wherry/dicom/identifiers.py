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
    digest = sha1(patient_id.encode(), usedforsecurity=False)
    patient_digits = digest.hexdigest()
    digest.update(f"|{study}".encode())
    study_digits = digest.hexdigest()
    digest.update(f"|{series}".encode())
    series_digits = digest.hexdigest()
    digest.update(f"|{sop}".encode())
    return Identifiers(
        _dashed(patient_digits),
        _dashed(study_digits),
        _dashed(series_digits),
        _dashed(digest.hexdigest()),
    )


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:16]}-{digits[16:24]}-{digits[24:32]}-{digits[32:]}"
