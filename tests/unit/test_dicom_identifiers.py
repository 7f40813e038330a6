"""Identifiers as Debian's Orthanc 1.10.1 gave them."""

from __future__ import annotations

import hashlib

from wherry.dicom.identifiers import identifiers
from wherry.model import Level


def test_identifiers_of_a_known_instance() -> None:
    """pydicom's CT_small.dcm, uploaded to Orthanc."""
    found = identifiers(
        "1CT1",
        "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322",
        "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322",
        "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
    )
    assert found.patient == "fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718"
    assert found.study == "8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d"
    assert found.series == "93034833-163e42c3-bc9a428b-194620cf-2c5799e5"
    assert found.at(Level.INSTANCE) == "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af"


def test_no_patient_id_is_the_empty_string() -> None:
    found = identifiers("", "1", "2", "3")
    assert found.patient == "da39a3ee-5e6b4b0d-3255bfef-95601890-afd80709"


def test_text_is_hashed_as_utf8() -> None:
    digits = hashlib.sha1("山田|1.2".encode()).hexdigest()
    assert identifiers("山田", "1.2", "3", "4").study.replace("-", "") == digits


def test_patient_id_and_uids_do_not_run_together() -> None:
    assert identifiers("1", "23", "4", "5").study != identifiers("12", "3", "4", "5").study
