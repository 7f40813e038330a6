"""C-FIND over many studies: Wherry and Debian's Orthanc, asked over one association.

    python -m bench.dimse_find --studies 10000

Both get the same studies, of two series with one small instance each. The client is ours, on a
blocking socket, and does not look into the answers. Each query is asked some times without being
measured, then the two take turns; ratios are of one round, and their median is shown.

Not here: whether the answers are right (``tests/interop/test_find_beside_orthanc.py``).
"""

from __future__ import annotations

import argparse
import http.client
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bench.meter import Meter, machine
from bench.servers import KINDS, Server, free_port
from wherry.dicom.attributes import Attribute, vr_of, write
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.tags import tag_of
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dimse.question import STUDY_ROOT
from wherry.modalities.associations.association import Association
from wherry.modalities.associations.connection import Target

ROOT: Final = "1.2.826.0.1.3680043.10.77."
MODALITIES: Final = ("CT", "MR", "CR", "US")
UPLOADERS: Final = 8

USUAL: Final = {
    "PatientName": "",
    "PatientID": "",
    "PatientBirthDate": "",
    "PatientSex": "",
    "StudyInstanceUID": "",
    "StudyDate": "",
    "StudyTime": "",
    "StudyDescription": "",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
}
COUNTED: Final = USUAL | {
    "ModalitiesInStudy": "",
    "NumberOfStudyRelatedSeries": "",
    "NumberOfStudyRelatedInstances": "",
}
"""What workstations ask for in their list of studies."""


@dataclass(frozen=True)
class Query:
    """One query, and how often it is asked in a round."""

    name: str
    level: str
    keys: dict[str, str]
    times: int = 1


def queries(studies: int) -> list[Query]:
    """The queries, over so many studies."""
    some = studies // 2
    patient = f"P{some // 4:06d}"
    return [
        Query("all studies, with modalities and counts", "STUDY", COUNTED),
        Query("all studies, without", "STUDY", USUAL),
        Query("a day of 100", "STUDY", COUNTED | {"StudyDate": "20240110"}, 5),
        Query("CT of all", "STUDY", COUNTED | {"ModalitiesInStudy": "CT"}),
        Query("name*", "STUDY", COUNTED | {"PatientName": f"NAME{some // 40:03d}*"}, 50),
        Query("one PatientID", "STUDY", COUNTED | {"PatientID": patient}, 100),
        Query("one AccessionNumber", "STUDY", COUNTED | {"AccessionNumber": f"ACC{some}"}, 100),
        Query(
            "series of a study",
            "SERIES",
            {
                "StudyInstanceUID": f"{ROOT}{some}",
                "SeriesInstanceUID": "",
                "Modality": "",
                "SeriesNumber": "",
                "NumberOfSeriesRelatedInstances": "",
            },
            100,
        ),
        Query("all patients", "PATIENT", {"PatientName": "", "PatientID": ""}),
    ]


def files(studies: int) -> Iterator[bytes]:
    """Four studies to a patient, a hundred to a day."""
    for study in range(studies):
        for series in (1, 2):
            data = Dataset()
            data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            data.SOPInstanceUID = f"{ROOT}{study}.{series}.1"
            data.StudyDate = f"2024{study // 100 // 28 % 12 + 1:02d}{study // 100 % 28 + 1:02d}"
            data.StudyTime = f"{study % 24:02d}3000"
            data.AccessionNumber = f"ACC{study}"
            data.Modality = MODALITIES[study % 4] if series == 1 else "SR"
            data.StudyDescription = f"Study {study % 50}"
            data.SeriesDescription = f"Series {series}"
            data.ReferringPhysicianName = f"Doctor^{study % 20}"
            data.PatientName = f"NAME{study // 40:03d}^{study // 4}"
            data.PatientID = f"P{study // 4:06d}"
            data.PatientBirthDate = f"19{study // 4 % 90 + 10}0101"
            data.PatientSex = "FM"[study // 4 % 2]
            data.StudyInstanceUID = f"{ROOT}{study}"
            data.SeriesInstanceUID = f"{ROOT}{study}.{series}"
            data.SeriesNumber = series
            data.InstanceNumber = 1
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            buffer = io.BytesIO()
            data.save_as(buffer, enforce_file_format=True)
            yield buffer.getvalue()


def upload(port: int, bodies: Sequence[bytes]) -> None:
    """All of them, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    for body in bodies:
        connection.request("POST", "/instances", body)
        answer = connection.getresponse()
        if answer.read() and answer.status != 200:
            raise RuntimeError(f"an upload was answered {answer.status}")
    connection.close()


class Client:
    """Asks one server over one association."""

    def __init__(self, port: int) -> None:
        target = Target("ORTHANC", "BENCH", "127.0.0.1", port, 600)
        self._association = Association(target, [(STUDY_ROOT, [EXPLICIT])])
        self._context = self._association.context_of(STUDY_ROOT)

    def close(self) -> None:
        """End it: Orthanc waits for it when it stops."""
        self._association.release()

    def ask(self, query: Query) -> tuple[float, float, int]:
        """Seconds until the last answer and until the first, and how many came."""
        texts = {"QueryRetrieveLevel": query.level, **query.keys}
        keys = {
            (tag := int(tag_of(name).replace(",", ""), 16)): Attribute(vr_of(tag), text)
            for name, text in texts.items()
        }
        command = Command(
            CommandField.C_FIND_RQ,
            has_data_set=True,
            affected_sop_class=STUDY_ROOT,
            message_id=self._association.next_message_id(),
            priority=0,
        )
        data = write(keys, EXPLICIT)
        begin = time.perf_counter()
        self._association.send(self._context.id, command, data)
        first, count = 0.0, 0
        while (answer := self._association.receive()).command.status == 0xFF00:
            first = first or time.perf_counter() - begin
            count += 1
        if answer.command.status != 0:
            raise RuntimeError(f"0x{answer.command.status:04x}")
        return time.perf_counter() - begin, first, count


@dataclass(frozen=True)
class Figure:
    """One query in one round."""

    seconds: float
    """Of one query, from the request to its last answer."""
    first: float
    answers: int
    cpu: float
    """Seconds of the server for one query."""


def measure(client: Client, query: Query, pid: int) -> Figure:
    """One round of one server."""
    meter = Meter({"server": pid})
    told = [client.ask(query) for _ in range(query.times)]
    cost = meter.read()[0]["server"]
    return Figure(
        statistics.median(one[0] for one in told),
        statistics.median(one[1] for one in told),
        told[0][2],
        cost.cpu_s / query.times,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default=",".join(KINDS))
    asked = parser.parse_args()
    kinds = asked.kinds.split(",")
    print(f"Machine: {machine()}\n")
    folder = Path(tempfile.mkdtemp(prefix="dimse-find-"))
    bodies = list(files(asked.studies))
    try:
        with ExitStack() as stack:
            clients, pids = {}, {}
            for kind in kinds:
                port = free_port()
                overrides = {
                    "DicomServerEnabled": True,
                    "DicomPort": port,
                    "DicomAlwaysAllowFind": True,
                    "DicomScpTimeout": 600,
                }
                server = stack.enter_context(
                    Server(kind, folder / kind, free_port(), overrides=overrides)
                )
                with ThreadPoolExecutor(UPLOADERS) as pool:
                    parts = [bodies[n::UPLOADERS] for n in range(UPLOADERS)]
                    list(pool.map(upload, [server.port] * UPLOADERS, parts))
                clients[kind], pids[kind] = Client(port), server.pid
                stack.callback(clients[kind].close)
            _compare(kinds, clients, pids, queries(asked.studies), asked.rounds)
    finally:
        shutil.rmtree(folder)


def _compare(
    kinds: list[str],
    clients: dict[str, Client],
    pids: dict[str, int],
    asked: list[Query],
    rounds: int,
) -> None:
    print("| query | answers | server | ms | ms to the first | CPU ms | × orthanc |")
    print("|---|---|---|---|---|---|---|")
    for query in asked:
        for kind in kinds:
            clients[kind].ask(query)
        found = [
            {kind: measure(clients[kind], query, pids[kind]) for kind in order}
            for order in (kinds if n % 2 else kinds[::-1] for n in range(rounds))
        ]
        if len({one.answers for figures in found for one in figures.values()}) != 1:
            raise RuntimeError(f"{query.name}: not as many answers from each")
        for kind in kinds:
            print(_row(query, kind, found), flush=True)


def _row(query: Query, kind: str, rounds: list[dict[str, Figure]]) -> str:
    def median(field: str) -> float:
        return 1000 * float(statistics.median(getattr(one[kind], field) for one in rounds))

    ratio = ""
    if "orthanc" in rounds[0]:
        times = (one["orthanc"].seconds / one[kind].seconds for one in rounds)
        ratio = f"{statistics.median(times):.1f}"
    return (
        f"| {query.name} | {rounds[0][kind].answers} | {kind} | {median('seconds'):.1f} "
        f"| {median('first'):.1f} | {median('cpu'):.1f} | {ratio} |"
    )


if __name__ == "__main__":
    main()
