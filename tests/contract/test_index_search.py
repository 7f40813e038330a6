"""Searching by main tags, on both databases (rest-api §9)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.indexes import empty_index
from tests.support.staged import staged
from wherry import limits
from wherry.errors import ParameterOutOfRange, UnknownDicomTag
from wherry.index import resources, search
from wherry.index.database import Index, Transaction
from wherry.index.opening import open_index
from wherry.index.search_planning import plan
from wherry.index.search_terms import Criteria, LabelsConstraint, Order
from wherry.index.signing import sign
from wherry.model import Level

NAME, PID, SEX, BIRTH = "0010,0010", "0010,0020", "0010,0040", "0010,0030"
DATE, TIME, ACCESSION, DESCRIPTION = "0008,0020", "0008,0030", "0008,0050", "0008,1030"
MODALITY, MODALITIES, SOP = "0008,0060", "0008,0061", "0008,0018"
OTHER_IDS, STUDY_UID, OPERATOR = "0010,1000", "0020,000d", "0018,0010"

STORE = [
    staged(
        "Ab%1",
        "1",
        "1.1",
        "1.1.1",
        tags=(
            {NAME: "ÉMILE^ANNE ", BIRTH: "19700101", OTHER_IDS: "Zed"},
            {DATE: "20240131", TIME: "123000.5", ACCESSION: "A1", DESCRIPTION: "Head"},
            {MODALITY: "CT", OPERATOR: "Iodine"},
            {},
        ),
    ),
    staged(
        "Ab%1",
        "1",
        "1.2",
        "1.2.1",
        tags=({}, {}, {MODALITY: "MR"}, {}),
    ),
    staged(
        "P_2",
        "2",
        "2.1",
        "2.1.1",
        tags=(
            {NAME: "emile^bob", SEX: ""},
            {DATE: "2023.12.01", TIME: "09:15", ACCESSION: "a2", DESCRIPTION: ""},
            {MODALITY: "CT"},
            {},
        ),
    ),
    staged(
        "P32",
        "3",
        "3.1",
        "3.1.1",
        tags=({NAME: "Straße"}, {DATE: "", DESCRIPTION: "x" * 400}, {MODALITY: "PT"}, {}),
    ),
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Index]:
    with empty_index(request, tmp_path_factory.mktemp("index")) as settings:
        index = open_index(settings)
        index.write(lambda tx: resources.add_instances(tx, STORE, overwrite=False))
        yield index
        index.close()


def found(index: Index, level: Level, query: dict[str, str], **more: object) -> list[int]:
    """Positions in ``STORE`` of the first instance of each resource that matches."""
    position: dict[str, int] = {}
    for number, one in enumerate(STORE):
        position.setdefault(one.summary.identifiers.at(level), number)
    paging = {name: more.pop(name) for name in ("since", "limit") if name in more}
    criteria = Criteria(level, tuple(query.items()), **more)  # type: ignore[arg-type]
    with index.read() as tx:
        ids = search.find(tx, criteria, **paging)  # type: ignore[arg-type]
        assert paging or search.count(tx, criteria) == len(ids)
    return [position[key] for key in ids]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [0, 2, 3]),
        ({NAME: ""}, [0, 2, 3]),
        ({NAME: "émile^anne"}, [0]),
        ({NAME: "emile*"}, [2]),
        ({NAME: "*MILE*"}, [0, 2]),
        ({NAME: "?mile^*"}, [0, 2]),
        ({NAME: "STRASSE"}, [3]),
        ({PID: "ab%1"}, [0]),
        ({PID: "p_2"}, [2]),
        ({PID: "p_*"}, [2]),
        ({PID: "p?2"}, [2, 3]),
        ({PID: "*%*"}, [0]),
        ({PID: "P_2\\p32"}, [2, 3]),
        ({PID: "nobody\\P3*"}, [3]),
        ({PID: " P32 "}, [3]),
        ({DATE: "20240131"}, [0]),
        ({DATE: "2024*"}, [0]),
        ({DATE: "20231201-20240130"}, [2]),
        ({DATE: "20231201-20240131"}, [0, 2]),
        ({DATE: "2024-"}, [0]),
        ({DATE: "20240101-"}, [0]),
        ({DATE: "-20231231"}, [2, 3]),
        ({DATE: "-"}, []),
        ({DATE: "20231201\\20240101-"}, [0, 2]),
        ({TIME: "0900-0915"}, [2]),
        ({TIME: "12-12"}, [0]),
        ({ACCESSION: "A*"}, [0, 2]),
        ({ACCESSION: "*"}, [0, 2]),
        ({DESCRIPTION: "*"}, [0, 2, 3]),
        ({DESCRIPTION: "x" * 400}, [3]),
        ({DESCRIPTION: "x" * 300}, []),
        ({SEX: "*"}, [2]),
        ({MODALITIES: "CT"}, [0, 2]),
        ({MODALITIES: "MR\\PT"}, [0, 3]),
        ({MODALITY: "CT"}, []),
        ({MODALITY: ""}, [0, 2, 3]),
        ({OTHER_IDS: "zed"}, [0]),
        ({OTHER_IDS: "z?d", PID: "ab*"}, [0]),
        ({OTHER_IDS: "*"}, [0]),
        ({NAME: "émile*", DATE: "20240131", MODALITIES: "ct"}, [0]),
        ({NAME: "émile*", DATE: "20240130"}, []),
        ({NAME: "a\0b"}, []),
    ],
)
def test_studies(store: Index, query: dict[str, str], expected: list[int]) -> None:
    assert found(store, Level.STUDY, query) == expected


@pytest.mark.parametrize(
    ("level", "query", "expected"),
    [
        (Level.PATIENT, {NAME: "*^*"}, [0, 2]),
        (Level.PATIENT, {DATE: "2024*"}, []),
        (Level.SERIES, {MODALITY: "ct"}, [0, 2]),
        (Level.SERIES, {MODALITIES: "MR"}, [0, 1]),
        (Level.SERIES, {PID: "ab*", MODALITY: "MR"}, [1]),
        (Level.SERIES, {OPERATOR: "iod*"}, [0]),
        (Level.INSTANCE, {PID: "ab*"}, [0, 1]),
        (Level.INSTANCE, {SOP: "1.1.1"}, [0]),
        (Level.INSTANCE, {ACCESSION: "a1", MODALITY: "CT", SOP: "*.1"}, [0]),
    ],
)
def test_other_levels(
    store: Index, level: Level, query: dict[str, str], expected: list[int]
) -> None:
    assert found(store, level, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({NAME: "ÉMILE*"}, [0]),
        ({NAME: "émile*"}, []),
        ({NAME: "emile^bob"}, [2]),
        ({ACCESSION: "A*"}, [0]),
        ({PID: "P32\\p_2"}, [3]),
        ({DATE: "20231201-20240131"}, [0, 2]),
        ({OTHER_IDS: "zed"}, []),
        ({MODALITIES: "CT"}, [0, 2]),
    ],
)
def test_by_case(store: Index, query: dict[str, str], expected: list[int]) -> None:
    assert found(store, Level.STUDY, query, case_sensitive=True) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({NAME: "ÉMILE^anne"}, [0]),
        ({NAME: "Émile^Anne^^"}, [0]),
        ({NAME: "Émile"}, []),
        ({NAME: "emile*"}, [2]),
        ({NAME: "*mile^?*"}, [0, 2]),
        ({NAME: "straße\\emile^bob"}, [2, 3]),
        ({PID: "P_2"}, [2]),
        ({PID: "p_2"}, []),
        ({PID: "P*"}, [2, 3]),
        ({PID: "p*"}, []),
        ({ACCESSION: "A1\\A2"}, [0]),
        ({ACCESSION: "?2"}, [2]),
        ({DESCRIPTION: "head"}, []),
        ({DESCRIPTION: "He*"}, [0]),
        ({STUDY_UID: "1\\3"}, [0, 3]),
        ({DATE: "20231201-20240131"}, [0, 2]),
        ({DATE: "20231201"}, [2]),
        ({TIME: "0915"}, [2]),
        ({MODALITIES: "CT"}, [0, 2]),
        ({OTHER_IDS: "zed"}, []),
        ({OTHER_IDS: "Z?d"}, [0]),
        ({NAME: "ÉMILE*", PID: "Ab%1", DATE: "2024-"}, [0]),
    ],
)
def test_as_dicom_matches(store: Index, query: dict[str, str], expected: list[int]) -> None:
    assert found(store, Level.STUDY, query, dicom=True) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [({NAME: "ÉMILE^anne"}, []), ({NAME: "ÉMILE^ANNE"}, [0]), ({NAME: "emile*"}, [2])],
)
def test_as_dicom_matches_by_the_case_of_names(
    store: Index, query: dict[str, str], expected: list[int]
) -> None:
    assert found(store, Level.STUDY, query, dicom=True, case_sensitive=True) == expected


@pytest.mark.parametrize("query", [{}, {NAME: "*"}, {OTHER_IDS: ""}])
def test_paging_is_consistent(store: Index, query: dict[str, str]) -> None:
    for case_sensitive in (False, True):
        more = {"case_sensitive": case_sensitive}
        assert found(store, Level.STUDY, query, limit=2, **more) == [0, 2]
        assert found(store, Level.STUDY, query, since=2, limit=2, **more) == [3]
        assert found(store, Level.STUDY, query, since=3, limit=2, **more) == []


def test_checks_go_through_many_rows_piece_by_piece(
    store: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INDEX_ROWS_AT_ONCE", 2)
    assert found(store, Level.INSTANCE, {PID: "P*"}, case_sensitive=True) == [2, 3]
    assert found(store, Level.INSTANCE, {PID: "*"}, case_sensitive=True, since=1, limit=2) == [1, 2]


def test_what_the_index_does_not_hold_is_refused(store: Index) -> None:
    for query, error in (
        ({"0028,0010": "512"}, ParameterOutOfRange),
        ({"PatientID": "x"}, UnknownDicomTag),
        ({NAME: "x" * (limits.SEARCH_TEXT_CHARACTERS + 1)}, ParameterOutOfRange),
        ({NAME: "\\".join("x" * 1001)}, ParameterOutOfRange),
        ({NAME: "\\".join(["x*"] * 101)}, ParameterOutOfRange),
        ({NAME: "\ud800"}, ParameterOutOfRange),
    ):
        with pytest.raises(error):
            found(store, Level.STUDY, query)
    assert found(store, Level.STUDY, {"0028,0010": ""}) == [0, 2, 3]
    assert found(store, Level.STUDY, {NAME: "\\".join(["x*"] * 99 + ["str*"])}) == [3]


def test_lookup(store: Index) -> None:
    ids = [one.summary.identifiers for one in STORE]

    def lookup(text: str) -> list[tuple[Level, str]]:
        with store.read() as tx:
            return search.lookup(tx, text)

    assert lookup(" ab%1\n") == [(Level.PATIENT, ids[0].patient)]
    assert lookup("A1") == []
    assert lookup("2") == [(Level.STUDY, ids[2].study)]
    assert lookup("1.2") == [(Level.SERIES, ids[1].series)]
    assert lookup("3.1.1") == [(Level.INSTANCE, ids[3].instance)]
    assert lookup("ab*") == lookup("") == lookup("\0") == []


INDEXED = [
    (Level.PATIENT, {PID: "a"}, "patients_patient_id"),
    (Level.PATIENT, {NAME: "doe^*"}, "patients_patient_name"),
    (Level.PATIENT, {NAME: "doe^jane"}, "patients_patient_name"),
    (Level.STUDY, {STUDY_UID: "1.2"}, "studies_study_instance_uid"),
    (Level.STUDY, {ACCESSION: "a1"}, "studies_accession_number"),
    (Level.STUDY, {ACCESSION: "a1\\a2"}, "studies_accession_number"),
    (Level.STUDY, {DATE: "20240101-20240131"}, "studies_study_date"),
    (Level.STUDY, {PID: "a*b"}, "patients_patient_id"),
    (Level.SERIES, {NAME: "doe*", MODALITY: "CT"}, "studies_patient_name"),
    (Level.SERIES, {"0020,000e": "1.2"}, "series_series_instance_uid"),
    (Level.INSTANCE, {SOP: "1.2\\1.3"}, "instances_sop_instance_uid"),
    (Level.INSTANCE, {PID: "a"}, "patients_patient_id"),
]
WIDE = [
    (Level.STUDY, {NAME: "*doe*"}, "studies_patient_name"),
    (Level.INSTANCE, {NAME: "*doe*", MODALITY: "CT"}, "studies_patient_name"),
]
"""PostgreSQL, which keeps statistics, decides for itself."""


class Explainer:
    """A transaction that explains what it is asked."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.dialect = tx.dialect
        self.plan = ""

    def all(self, sql: str, params: object) -> list[tuple[object, ...]]:
        word = "EXPLAIN QUERY PLAN " if self.tx.dialect == "sqlite" else "EXPLAIN "
        self.plan = "\n".join(str(row[-1]) for row in self.tx.all(word + sql, params))  # type: ignore[arg-type]
        return []


@pytest.mark.parametrize("dicom", [False, True])
@pytest.mark.parametrize(("level", "query", "name"), [*INDEXED, *WIDE])
def test_searches_use_an_index(
    store: Index, level: Level, query: dict[str, str], name: str, dicom: bool
) -> None:
    if (level, query, name) in WIDE and not store.embedded:
        return

    def explain(tx: Transaction) -> str:
        if tx.dialect == "postgresql":  # its planner prefers to read a table of four rows
            tx.run("SET LOCAL enable_seqscan = off")
        explainer = Explainer(tx)
        made = plan(Criteria(level, tuple(query.items()), dicom=dicom))
        assert made is not None
        search.candidates(explainer, made)  # type: ignore[arg-type]
        return explainer.plan

    explained = store.write(explain)
    assert name in explained, explained
    assert "SCAN l" not in explained, explained


# --- what else a search may ask for ------------------------------------------------------------

EXTRA = "0018,1020"
ORDERED = [
    staged("A", "1", "1.1", "1.1.1", tags=({NAME: "Old^Name", SEX: "M"}, {DATE: "2021"}, {}, {})),
    staged(
        "A",
        "2",
        "2.1",
        "2.1.1",
        tags=({NAME: "New^Name", SEX: "", OTHER_IDS: "x"}, {DATE: "2023", EXTRA: "v9"}, {}, {}),
    ),
    staged("B", "3", "3.1", "3.1.1", tags=({}, {DATE: "2022", EXTRA: "V10"}, {}, {})),
    staged("C", "4", "4.1", "4.1.1", tags=({NAME: "New^Name"}, {DATE: ""}, {}, {})),
]
LABELS = {0: ("red", "blue"), 1: ("red",), 2: ()}
METADATA = {0: {1024: "10", 1025: "Käse"}, 1: {1024: "9"}, 2: {1024: "-2", 1025: ""}}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def rich(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Index]:
    """``ORDERED``, with labels and metadata on its studies, stored an hour apart."""

    def fill(tx: Transaction) -> None:
        resources.add_instances(tx, ORDERED, overwrite=False)
        rows = dict(tx.all("SELECT orthanc_id, id FROM studies"))
        for number, one in enumerate(ORDERED):
            row = rows[one.summary.identifiers.study]
            tx.insert("labels", ("resource", "label"), [(row, x) for x in LABELS.get(number, ())])
            entries = [(row, kind, value) for kind, value in METADATA.get(number, {}).items()]
            tx.insert("metadata", ("resource", "type", "value"), entries)
            tx.run("UPDATE activity SET updated_at = ? WHERE resource = ?", (3600.0 * number, row))

    with empty_index(request, tmp_path_factory.mktemp("index")) as settings:
        index = open_index(settings)
        index.write(fill)
        yield index
        index.close()


def studies(index: Index, **more: object) -> list[int]:
    """Positions in ``ORDERED`` of the studies found."""
    position = {one.summary.identifiers.study: n for n, one in enumerate(ORDERED)}
    criteria = Criteria(Level.STUDY, **more)  # type: ignore[arg-type]
    with index.read() as tx:
        ids = search.find(tx, criteria)
        assert search.count(tx, criteria) == len(ids)
    return [position[one] for one in ids]


@pytest.mark.parametrize(
    ("constraint", "labels", "expected"),
    [
        ("All", (), [0, 1, 2, 3]),
        ("All", ("red",), [0, 1]),
        ("All", ("red", "blue"), [0]),
        ("All", ("red", "none such"), []),
        ("Any", (), [0, 1, 2, 3]),
        ("Any", ("blue", "none such"), [0]),
        ("Any", ("blue", "red"), [0, 1]),
        ("None", (), [2, 3]),
        ("None", ("blue",), [1, 2, 3]),
        ("None", ("blue", "red"), [2, 3]),
        ("All", ("RED",), []),
    ],
)
def test_labels(rich: Index, constraint: str, labels: tuple[str, ...], expected: list[int]) -> None:
    asked = {"labels": labels, "labels_constraint": LabelsConstraint(constraint)}
    assert studies(rich, **asked) == expected
    parents = ((Level.PATIENT, ORDERED[0].summary.identifiers.patient),)
    assert studies(rich, **asked, parents=parents) == [n for n in expected if n < 2]


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        (1024, "9", [1]),
        (1024, "9\\10", [0, 1]),
        (1024, "*", [0, 1, 2]),
        (1024, "", [0, 1, 2, 3]),
        (1025, "käse", [0]),
        (1025, "*", [0, 2]),
        (1025, "K?s*", [0]),
        (1026, "*", []),
        (7, "19700101T0[12]0000", []),
        (7, "19700101T01*", [1]),
        (7, "19700101T010000\\19700101T030000", [1, 3]),
    ],
)
def test_metadata(rich: Index, number: int, text: str, expected: list[int]) -> None:
    assert studies(rich, metadata=((number, text),)) == expected


def test_metadata_that_are_columns(rich: Index) -> None:
    def instances(number: int, text: str, **more: object) -> int:
        criteria = Criteria(Level.INSTANCE, metadata=((number, text),), **more)  # type: ignore[arg-type]
        with rich.read() as tx:
            return search.count(tx, criteria)

    assert instances(9, "1.2.840.10008.1.2.1") == instances(8, "restapi") == 4
    assert instances(8, "restapi", case_sensitive=True) == instances(9, "1.2") == 0


def test_class_of_the_first_instance(rich: Index) -> None:
    for level in Level:
        with rich.read() as tx:
            for text, expected in (
                ("1.2.840.10008.5.1.4.1.1.2", True),
                ("1.2*", True),
                ("1", False),
            ):
                found = search.find(tx, Criteria(level, (("0008,0016", text),)))
                assert found == (search.find(tx, Criteria(level)) if expected else [])


def test_two_metadata_and_a_tag_together(rich: Index) -> None:
    both = ((1024, "*"), (1025, "*"))
    assert studies(rich, metadata=both) == [0, 2]
    assert studies(rich, metadata=both, tags=((DATE, "2022"),)) == [2]
    assert studies(rich, tags=((DATE, "2022"), (DATE, "2021")), metadata=both) == []


def test_parents(rich: Index) -> None:
    ids = [one.summary.identifiers for one in ORDERED]
    assert studies(rich, parents=((Level.PATIENT, ids[0].patient),)) == [0, 1]
    assert studies(rich, parents=((Level.PATIENT, "nobody"),)) == []
    parents = (Level.STUDY, ids[1].study), (Level.PATIENT, ids[0].patient)
    with rich.read() as tx:
        found = search.find(tx, Criteria(Level.INSTANCE, parents=parents))
        assert found == [ids[1].instance]
        for level in (Level.STUDY, Level.PATIENT):
            with pytest.raises(ParameterOutOfRange):
                search.find(tx, Criteria(level, parents=(parents[0],)))


def test_studies_are_searched_by_their_own_copy_of_the_patient(rich: Index) -> None:
    ids = [one.summary.identifiers for one in ORDERED]
    assert studies(rich, tags=((NAME, "old*"),)) == [0]
    assert studies(rich, tags=((NAME, "new*"),)) == [1, 3]
    assert studies(rich, tags=((NAME, "NEW*"),), case_sensitive=True) == []
    assert studies(rich, tags=((SEX, "*"),)) == [0, 1]
    assert studies(rich, tags=((OTHER_IDS, "X"),)) == [1]
    with rich.read() as tx:
        of_patients = search.find(tx, Criteria(Level.PATIENT, ((NAME, "new*"),)))
        of_series = search.find(tx, Criteria(Level.SERIES, ((NAME, "*w^n*"),)))
    assert of_patients == [ids[3].patient]
    assert of_series == [ids[1].series, ids[3].series]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ((Order(DATE),), [3, 0, 2, 1]),
        ((Order(DATE, descending=True),), [1, 2, 0, 3]),
        ((Order(NAME), Order(DATE, descending=True)), [2, 1, 3, 0]),
        ((Order(PID, descending=True), Order(NAME)), [3, 2, 1, 0]),
        ((Order(SEX),), [2, 3, 1, 0]),
        ((Order(OTHER_IDS, descending=True),), [1, 0, 2, 3]),
        ((Order("", 7, descending=True),), [3, 2, 1, 0]),
        ((Order("", 1024),), [3, 2, 0, 1]),
        ((Order("", 1024, as_integer=True),), [3, 2, 1, 0]),
        ((Order("", 1024, as_integer=True, descending=True),), [0, 1, 2, 3]),
        ((Order("", 1025, as_integer=True), Order(DATE)), [3, 0, 2, 1]),
        ((Order(STUDY_UID, descending=True),), [3, 2, 1, 0]),
    ],
)
def test_order(rich: Index, order: tuple[Order, ...], expected: list[int]) -> None:
    assert studies(rich, order=order) == expected
    # ... also when each value has to be looked at, and paging follows it
    slowly = studies(rich, order=order, tags=((PID, "*"),), case_sensitive=True)
    assert slowly == expected
    with rich.read() as tx:
        whole = search.find(tx, Criteria(Level.STUDY, order=order))
        page = search.find(tx, Criteria(Level.STUDY, order=order), since=1, limit=2)
    assert page == whole[1:3]


def test_order_of_series_by_what_is_above(rich: Index) -> None:
    ids = [one.summary.identifiers for one in ORDERED]
    for key, expected in ((DATE, [3, 0, 2, 1]), (NAME, [2, 1, 3, 0])):
        with rich.read() as tx:
            found = search.find(tx, Criteria(Level.SERIES, order=(Order(key),)))
        assert found == [ids[number].series for number in expected]


def test_order_that_makes_no_sense(rich: Index) -> None:
    for key in (MODALITY, "0018,9999", EXTRA):
        with pytest.raises(ParameterOutOfRange):
            studies(rich, order=(Order(key),))


def test_extra_tags_are_found_where_they_are_kept(rich: Index) -> None:
    extra = {Level.STUDY: (EXTRA,)}
    with rich.read() as tx:
        made = plan(Criteria(Level.STUDY, ((EXTRA, "v*0"),), extra_tags=extra))
        assert made is not None
        assert made.needs_files
        left = search.sift(tx, made, search.candidates(tx, made))
        assert [bool(one.pending) for one in left] == [True, False, True]  # 1 is not meant
    with rich.read() as tx:
        made.trust_index()
        assert not made.needs_files
        assert len(search.sift(tx, made, search.candidates(tx, made))) == 1
    order = (Order(EXTRA, descending=True), Order(STUDY_UID))
    assert studies(rich, order=order, extra_tags=extra) == [1, 2, 0, 3]


def test_what_was_not_in_the_file_of_a_resource_is_not_looked_for_there(rich: Index) -> None:
    extra = {Level.STUDY: (EXTRA,), Level.PATIENT: ("0010,1020",)}
    made = plan(Criteria(Level.STUDY, ((EXTRA, "*"), ("0010,1020", "*")), extra_tags=extra))
    assert made is not None
    ids = [one.summary.identifiers for one in ORDERED]

    def pending(tx: Transaction) -> list[list[str]]:
        left = search.sift(tx, made, search.candidates(tx, made))
        return [[check.tag for check in one.pending] for one in left]

    def look(tx: Transaction) -> None:
        both = [EXTRA, "0010,1020"]
        assert pending(tx) == [both, both[1:], both[1:], both]
        sign(tx, {Level.STUDY: f"0008,0020;{EXTRA}"}, Level.STUDY, [row(tx, Level.STUDY, 0)])
        assert pending(tx) == [both[1:], both[1:], both]
        sign(tx, {Level.PATIENT: "0010,1020"}, Level.PATIENT, [row(tx, Level.PATIENT, 1)])
        assert pending(tx) == [both[1:], both]
        raise Undone

    def row(tx: Transaction, level: Level, number: int) -> int:
        sql = f"SELECT id FROM {level.plural} WHERE orthanc_id = ?"
        found = tx.one(sql, (ids[number].at(level),))
        assert found is not None
        return int(found[0])

    with pytest.raises(Undone):
        rich.write(look)


class Undone(Exception):
    """Nothing of it is to be kept."""


def test_files_that_speak_for_a_resource(rich: Index) -> None:
    first = ORDERED[0]
    for level in Level:
        with rich.read() as tx:
            made = plan(Criteria(level, ((EXTRA, "*"),)))
            assert made is not None
            rows = search.candidates(tx, made)
            files = search.files_to_look_into(tx, level, [*rows, 10**9])
            assert len(files) == len(rows)
            assert files[rows[0]] == first.attachment
            assert search.is_attached(tx, first.attachment.uuid)
            assert not search.is_attached(tx, "nobody")


def test_many_candidates_come_in_segments(rich: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCH_ROWS", 2)
    monkeypatch.setattr(limits, "INDEX_ROWS_AT_ONCE", 1)
    everybody = {"tags": ((PID, "*"),), "case_sensitive": True}
    assert studies(rich, **everybody) == [0, 1, 2, 3]
    assert studies(rich, **everybody, order=(Order(DATE),)) == [3, 0, 2, 1]
    assert studies(rich, tags=((OTHER_IDS, "*"),)) == [1]
