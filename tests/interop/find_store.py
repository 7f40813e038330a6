"""What the queries of ``test_find_beside_orthanc`` look for: files of several patients, studies,
modalities and character sets, with empty and missing values, sequences and private tags."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.1234."
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SR = "1.2.840.10008.5.1.4.1.1.88.11"


def item(**values: Any) -> Dataset:
    """The item of a sequence, or a whole data set."""
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def instance(
    study: int,
    series: int = 1,
    number: int = 1,
    *,
    without: tuple[str, ...] = (),
    syntax: str = ExplicitVRLittleEndian,
    private: bool = False,
    **values: Any,
) -> bytes:
    """One file; the three numbers decide its UIDs."""
    usual: dict[str, Any] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": f"{ROOT}{study}.{series}.{number}",
        "StudyDate": "20260102",
        "StudyTime": "101112",
        "AccessionNumber": f"ACC{study}",
        "Modality": "CT",
        "StudyDescription": "A study",
        "SeriesDescription": f"Series {series}",
        "PatientName": "Doe^Jane",
        "PatientID": "PAT1",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "ReferringPhysicianName": "Welby^Marcus",
        "StudyInstanceUID": f"{ROOT}{study}",
        "SeriesInstanceUID": f"{ROOT}{study}.{series}",
        "StudyID": f"S{study}",
        "SeriesNumber": series,
        "InstanceNumber": number,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some values are wrong on purpose
        data = item(**usual | values)
        for keyword in without:
            delattr(data, keyword)
        if private:
            data.private_block(0x0029, "ACME", create=True).add_new(0x08, "LO", "secret")
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
        buffer = BytesIO()
        data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


STEPS = [
    item(RequestedProcedureID="RP1", ScheduledProcedureStepID="SPS1"),
    item(RequestedProcedureID="RP2", ScheduledProcedureStepID="SPS2"),
]

FILES = [
    instance(
        1,
        private=True,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        OtherPatientIDs=["A1", "B2"],
        BodyPartExamined="HEAD",
        ImageComments="A comment",
        Rows=16,
        Columns=8,
        SliceThickness="2.50",
    ),
    instance(1, 1, 2, NumberOfFrames=3, ImageType=["DERIVED", "SECONDARY"], Rows=16, Columns=8),
    instance(
        1,
        2,
        SOPClassUID=SR,
        Modality="SR",
        SeriesDate="20260103",
        SeriesTime="120000.5",
        ContentDate="20260103",
        OperatorsName=["One^Op", "Two^Op"],
        RequestAttributesSequence=STEPS,
    ),
    instance(
        2,
        SOPClassUID=MR,
        Modality="MR",
        StudyDate="20250615",
        StudyTime="0930",
        AccessionNumber="",
        StudyDescription="Head MR",
        ModalitiesInStudy=["XX", "YY"],
        StationName="MR1",
        ProtocolName="T1 flair",
    ),
    instance(
        3,
        SOPClassUID=MR,
        Modality="MR",
        PatientID="pat2",
        PatientName="doe^john",
        PatientBirthDate="",
        PatientSex="M",
        StudyDate="",
        StudyTime="",
        without=("StudyDescription",),
    ),
    instance(
        4,
        PatientID="PAT3",
        PatientName="Müller^Jürgen",
        SpecificCharacterSet="ISO_IR 100",
        StudyDescription="Schädel",
    ),
    instance(
        5,
        PatientID="PAT4",
        PatientName="Émile^Zola",
        SpecificCharacterSet="ISO_IR 192",
        StudyDescription="Crâne",
    ),
    instance(6, PatientID="PAT5", PatientName="Люкceмбypг", SpecificCharacterSet="ISO_IR 144"),
    instance(
        7,
        PatientID="PAT6",
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
    ),
    instance(
        8,
        PatientID="PAT7",
        PatientName="Διονυσιος",
        SpecificCharacterSet="ISO_IR 126",
        without=(
            "AccessionNumber",
            "StudyDate",
            "StudyTime",
            "PatientBirthDate",
            "ReferringPhysicianName",
            "StudyID",
        ),
    ),
    instance(
        9,
        PatientID="PAT8",
        PatientName="Smith^A",
        StudyDate="19991231",
        StudyTime="235959.999999",
        StudyDescription="Whole body",
    ),
    instance(
        10, PatientID="P*T?", PatientName="Star^Question", StudyTime="10", AccessionNumber="ACC*"
    ),
    instance(
        11,
        PatientID="PAT8",
        PatientName="Smith^Another",
        StudyDate="20000101",
        StudyTime="000000",
        PatientSex="O",
    ),
    instance(
        12,
        PatientID="PAT9",
        PatientName="  Padded^Name ",
        StudyDate="2024.02.29",
        StudyTime="12:30:15",
        syntax=ImplicitVRLittleEndian,
    ),
    instance(
        13, PatientID="PAT10", PatientName="Wang^XiaoDong=王^小东", SpecificCharacterSet="GB18030"
    ),
    instance(
        14, PatientID="PAT11", PatientName="Doe^Jack^^Dr^", PatientSex="", AccessionNumber="x"
    ),
]
