"""What the recording of freely available files sends, in order.

``${NAME}`` refers to an identifier of a sample (``CT_ST``, ``SR_I``, ...; see ``bodies.Samples``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom.data import get_charset_files, get_testdata_file

from tests.support.dicom_files import make_instance

_PYDICOM = {
    "ct": "CT_small.dcm",
    "mr": "MR_small.dcm",
    "j2k": "JPEG2000.dcm",
    "rgb": "examples_rgb_color.dcm",
    "plan": "rtplan.dcm",
    "sr": "test-SR.dcm",
    "report": "reportsi.dcm",
    "deflated": "image_dfl.dcm",
    "nested": "nested_priv_SQ.dcm",
    "waveform": "waveform_ecg.dcm",
    "bigendian": "MR_small_bigendian.dcm",
    "rle": "SC_rgb_rle_2frame.dcm",
    "dose": "rtdose_1frame.dcm",
    "greek": "chrGreek.dcm",
    "russian": "chrRuss.dcm",
    "hebrew": "chrHbrw.dcm",
    "arabic": "chrArab.dcm",
    "kanji": "chrH31.dcm",
    "korean": "chrI2.dcm",
    "chinese": "chrX2.dcm",
    "unicode": "chrX1.dcm",
}
_MADE = {
    "a1": make_instance(1, 1, 1),
    "a2": make_instance(1, 1, 2),
    "a3": make_instance(1, 2, 1, SeriesDescription=" padded ", Manufacturer="Ä"),
    "b1": make_instance(2, 1, 1, StudyDescription="Émile", SpecificCharacterSet="ISO_IR 192"),
    "c1": make_instance(3, 1, 1, patient_id="OTHER", PatientName="Zoé^X", PatientBirthDate=""),
    "d1": make_instance(4, 1, 1, patient_id="FOURTH", CardiacNumberOfImages=3, InstanceNumber=7),
}

NAMES: dict[str, str] = {**_PYDICOM, **{key: f"made/{key}.dcm" for key in _MADE}}
"""Symbol → name of the file."""

_LEVELS = (("patients", "P"), ("studies", "ST"), ("series", "SE"), ("instances", "I"))


def samples() -> dict[str, bytes]:
    """Name → bytes of every file."""
    found = {f"made/{key}.dcm": data for key, data in _MADE.items()}
    for name in _PYDICOM.values():
        charsets = name.startswith("chr")
        path = get_charset_files(name)[0] if charsets else get_testdata_file(name, download=False)
        found[name] = Path(str(path)).read_bytes()
    return found


class _Steps:
    """Records without answers, in order."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.section = ""

    def add(
        self,
        method: str,
        path: str,
        body: Any = None,
        name: str = "",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        """One request; ``options`` as in the records."""
        request: dict[str, Any] = {"method": method, "path": path}
        if headers:
            request["headers"] = headers
        if body is not None:
            request["body"] = body
        self.records.append(
            {
                "n": len(self.records) + 1,
                "profile": "main",
                "section": self.section,
                "name": name or f"{method} {path}",
                "server": "A",
                "request": request,
                **options,
            }
        )

    def get(self, path: str, **options: Any) -> None:
        """A GET."""
        self.add("GET", path, **options)

    def find(self, level: str, query: dict[str, str], **more: Any) -> None:
        """A search whose answers come in any order."""
        body = {"Level": level, "Query": query, **more}
        words = " ".join(f"{key}={value}" for key, value in {**query, **more}.items())
        self.add(
            "POST", "/tools/find", {"json": body}, f"find {level} {words}".rstrip(), unordered=True
        )


def records() -> list[dict[str, Any]]:
    """The whole scenario."""
    steps = _Steps()
    for theme in (_uploads, _listings, _resources, _contents, _notes, _searches, _deletions):
        steps.section = theme.__name__[1:]
        theme(steps)
    return steps.records


def _uploads(steps: _Steps) -> None:
    for key, name in NAMES.items():
        steps.add("POST", "/instances", {"file": name}, f"upload {key}")
    steps.add("POST", "/instances", {"file": NAMES["ct"]}, "upload again")
    gzipped = {"gzip_file": NAMES["ct"]}
    steps.add("POST", "/instances", gzipped, "gzip", {"Content-Encoding": "gzip"})
    archive = [{"as": "x/mr.dcm", "file": NAMES["mr"]}, {"as": "notes.txt", "text": "no"}]
    steps.add("POST", "/instances", {"zip": archive}, "a ZIP")
    steps.get("/changes?limit=1000")
    steps.get("/statistics")


def _listings(steps: _Steps) -> None:
    for level, _ in _LEVELS:
        steps.get(f"/{level}", unordered=True)
        steps.get(f"/{level}?expand", unordered=True)
        steps.get(f"/{level}?since=1&limit=2&expand&short")
        steps.get(f"/{level}?since=1&limit=2&expand&full")


def _resources(steps: _Steps) -> None:
    for key in ("a1", "ct", "d1", "russian"):
        for level, suffix in _LEVELS:
            one = f"/{level}/${{{key.upper()}_{suffix}}}"
            steps.get(one)
            steps.get(f"{one}/statistics")
            steps.get(f"{one}/module")
            steps.get(f"{one}/module?simplify")
            if level != "instances":
                steps.get(f"{one}/shared-tags?simplify")
                steps.get(f"{one}/instances-tags?short")
                steps.get(f"{one}/instances", unordered=True)
    steps.get("/studies/${A1_ST}/module-patient")
    steps.get("/series/${A1_SE}/ordered-slices")


def _contents(steps: _Steps) -> None:
    for key in NAMES:
        one = f"/instances/${{{key.upper()}_I}}"
        steps.get(f"{one}/file")
        steps.get(f"{one}/tags")
        steps.get(f"{one}/tags?short")
        steps.get(f"{one}/simplified-tags")
        steps.get(f"{one}/header")
        steps.get(f"{one}/content")
        steps.get(f"{one}/content/PatientName", compare="binary")
        steps.get(f"{one}/frames")


def _notes(steps: _Steps) -> None:
    for level, suffix in _LEVELS:
        one = f"/{level}/${{MR_{suffix}}}"
        text = {"text": "à la carte"}
        steps.get(f"{one}/metadata?expand")
        steps.add("PUT", f"{one}/metadata/my-meta", text)
        steps.add("PUT", f"{one}/metadata/1023", text)
        steps.get(f"{one}/metadata/my-meta")
        steps.get(f"{one}/metadata")
        steps.add("DELETE", f"{one}/metadata/my-meta")
        steps.add("PUT", f"{one}/attachments/my-att", text)
        steps.get(f"{one}/attachments")
        for operation in ("data", "info", "md5", "size", "compressed-size", "is-compressed"):
            steps.get(f"{one}/attachments/my-att/{operation}")
        steps.get(f"{one}/statistics")
        steps.add("DELETE", f"{one}/attachments/my-att")
        steps.get(f"{one}/attachments/my-att/data")
    for value in ("1", "0", "perhaps"):
        steps.add("PUT", "/patients/${MR_P}/protected", {"text": value})
        steps.get("/patients/${MR_P}/protected")


def _searches(steps: _Steps) -> None:
    for level in ("Patient", "Study", "Series", "Instance"):
        for query in (
            {},
            {"PatientID": "*"},
            {"PatientID": "other"},
            {"PatientName": "zoé*"},
            {"PatientName": "*e*"},
            {"PatientBirthDate": "19000101-20300101"},
            {"StudyDate": "20040101-20041231"},
            {"StudyDescription": "émile"},
            {"Modality": "CT\\MR"},
            {"ModalitiesInStudy": "CT"},
            {"SOPInstanceUID": "${CT_SOPUID}"},
            {"StudyInstanceUID": "${CT_STUDYUID}\\1.2"},
            {"SliceThickness": "*"},
            {"SliceThickness": "5*"},
        ):
            steps.find(level, query)
    steps.find("Study", {"PatientName": "zoé*"}, CaseSensitive=True)
    steps.find("Study", {"PatientID": "OTHER"}, Expand=True)
    for key in ("CT_PATIENTID", "CT_STUDYUID", "CT_SERIESUID", "CT_SOPUID"):
        steps.add("POST", "/tools/lookup", {"text": "${" + key + "}"}, f"lookup {key}")
    bulk = {"Resources": ["${CT_ST}", "${MR_I}", "nobody"], "Short": True}
    steps.add("POST", "/tools/bulk-content", {"json": bulk})


def _deletions(steps: _Steps) -> None:
    for level, suffix in reversed(_LEVELS):
        steps.add("DELETE", f"/{level}/${{A1_{suffix}}}")
        steps.get(f"/{level}/${{A1_{suffix}}}")
    bulk = {"Resources": ["${CT_ST}", "${MR_I}", "nobody"]}
    steps.add("POST", "/tools/bulk-delete", {"json": bulk})
    steps.get("/statistics")
    steps.get("/changes?last")
    steps.add("DELETE", "/changes")
    steps.get("/changes")
