"""What is accepted of whom, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wherry.config import Config
from wherry.config.dimse import DimseConfig
from wherry.dicom.wire.pdu import (
    AssociateReject,
    AssociateRequest,
    Outcome,
    ProposedContext,
    Roles,
    UserInformation,
)
from wherry.dimse import negotiation
from wherry.dimse.negotiation import Agreement, negotiate
from wherry.dimse.permissions import Permission, is_at, rights
from wherry.dimse.services import SERVICES, Service
from wherry.http.services import Services
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.modalities import ModalityBook
from wherry.model import Modality
from wherry.receiving import Receiving

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ECHO = "1.2.840.10008.1.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
IMPLICIT, EXPLICIT, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    found = open_index(IndexSettings(sqlite_path=tmp_path / "i.db"))
    yield found
    found.close()


def rooms(index: Index, **dimse: Any) -> Services:
    config = Config(dimse=DimseConfig(**dimse))
    found = SimpleNamespace(
        config=config, modalities=ModalityBook(config, index), receiving=Receiving(config)
    )
    return cast(Services, found)


def request(*contexts: ProposedContext, roles: tuple[Roles, ...] = (), **members: Any) -> Any:
    user = UserInformation(16384, "1.2", roles=roles)
    return AssociateRequest("ORTHANC", "CALLER", contexts, user, **members)


def outcomes(found: Agreement | AssociateReject) -> list[tuple[int, str]]:
    assert isinstance(found, Agreement)
    return [(int(one.outcome), one.transfer_syntax) for one in found.accept.contexts]


def test_the_first_transfer_syntax_that_we_take(index: Index) -> None:
    asked = request(
        ProposedContext(1, CT, ("1.2.3", JPEG, EXPLICIT)),
        ProposedContext(3, CT, (IMPLICIT, EXPLICIT)),
        ProposedContext(5, CT, ("1.2.3",)),
        ProposedContext(7, "1.2.3", (EXPLICIT,)),
        ProposedContext(9, ECHO, (JPEG, IMPLICIT)),
    )
    found = negotiate(rooms(index), asked, "127.0.0.1")
    assert outcomes(found) == [
        (Outcome.ACCEPTED, JPEG),
        (Outcome.ACCEPTED, IMPLICIT),
        (Outcome.UNKNOWN_TRANSFER_SYNTAXES, IMPLICIT),
        (Outcome.UNKNOWN_ABSTRACT_SYNTAX, EXPLICIT),
        (Outcome.ACCEPTED, IMPLICIT),
    ]
    assert isinstance(found, Agreement)
    assert sorted(found.contexts) == [1, 3, 9]
    assert found.maximum_length == 16384
    assert found.accept.user.maximum_length == 16384


def test_what_the_configuration_does_not_take(index: Index) -> None:
    config = Config(
        accepted_transfer_syntaxes=(EXPLICIT,), rejected_sop_classes=(MR,), dimse=DimseConfig()
    )
    found = cast(
        Services,
        SimpleNamespace(
            config=config, modalities=ModalityBook(config, index), receiving=Receiving(config)
        ),
    )
    asked = request(
        ProposedContext(1, CT, (IMPLICIT, EXPLICIT)), ProposedContext(3, MR, (EXPLICIT,))
    )
    assert outcomes(negotiate(found, asked, "127.0.0.1")) == [
        (Outcome.ACCEPTED, EXPLICIT),
        (Outcome.UNKNOWN_ABSTRACT_SYNTAX, EXPLICIT),
    ]


def test_another_application_context(index: Index) -> None:
    asked = request(ProposedContext(1, ECHO, (IMPLICIT,)), application_context="1.2.3")
    assert negotiate(rooms(index), asked, "") == AssociateReject(1, 1, 2)


def test_another_called_title(index: Index) -> None:
    asked = request(ProposedContext(1, ECHO, (IMPLICIT,)))
    assert isinstance(negotiate(rooms(index, check_called_aet=True), asked, ""), Agreement)
    asked = AssociateRequest("orthanc", "X", asked.contexts)
    assert isinstance(negotiate(rooms(index, check_called_aet=True), asked, ""), Agreement)
    strict = rooms(index, check_called_aet=True, strict_aet_comparison=True)
    assert negotiate(strict, asked, "") == AssociateReject(1, 1, 7)


def test_who_may_nothing_is_rejected(index: Index) -> None:
    asked = request(ProposedContext(1, ECHO, (IMPLICIT,)))
    closed = rooms(index, always_allow_echo=False, always_allow_store=False)
    assert negotiate(closed, asked, "") == AssociateReject(1, 1, 3)


def test_roles_of_storage_hang_on_a_get(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """A C-GET is answered over the association that asks for it: the caller is the SCP then."""
    gets = Service({cast(Any, 1): (Permission.GET, cast(Any, None))}, takes_instances=True)
    monkeypatch.setattr(negotiation, "SERVICES", {**SERVICES, GET: gets})
    roles = (Roles(CT, scu=False, scp=True), Roles(MR, scu=True, scp=False))
    storage = (ProposedContext(3, CT, (EXPLICIT,)), ProposedContext(5, MR, (EXPLICIT,)))
    asked = request(ProposedContext(1, GET, (EXPLICIT,)), *storage, roles=roles)
    found = negotiate(rooms(index, always_allow_get=True, always_allow_store=False), asked, "")
    assert isinstance(found, Agreement)
    assert [context.as_scp for context in found.contexts.values()] == [False, True]
    assert found.accept.user.roles == (Roles(CT, False, True), Roles(MR, False, False))
    without = request(*storage, roles=roles)
    found = negotiate(rooms(index, always_allow_get=True), without, "")
    assert isinstance(found, Agreement)
    assert found.accept.user.roles == (Roles(CT, False, False), Roles(MR, True, False))


def known(*modalities: Modality) -> dict[str, Any]:
    return {"modalities": {one.name: one for one in modalities}}


def may(index: Index, ip: str, title: str = "A", **dimse: Any) -> set[Permission]:
    config = Config(dimse=DimseConfig(**dimse))
    return set(rights(config.dimse, ModalityBook(config, index), title, ip).permissions)


def test_rights_of_a_modality(index: Index) -> None:
    one = Modality("a", "A", "10.0.0.1", 104, allow_move=False, allow_echo=False)
    assert may(index, "10.0.0.9", **known(one)) == set(Permission) - {Permission.MOVE}
    assert may(index, "10.0.0.9", "a", **known(one)) == set(Permission) - {Permission.MOVE}
    strict = known(one) | {"strict_aet_comparison": True}
    assert may(index, "10.0.0.9", "a", **strict) == {Permission.ECHO, Permission.STORE}
    assert may(index, "10.0.0.9", "B", **known(one)) == {Permission.ECHO, Permission.STORE}
    checked = known(one) | {"check_modality_host": True}
    assert may(index, "10.0.0.9", **checked) == set()
    assert may(index, "10.0.0.1", **checked) == set(Permission) - {Permission.MOVE}


def test_modalities_of_one_title_are_told_apart_by_address(index: Index) -> None:
    no_get = Modality("a", "A", "10.0.0.1", 104, allow_get=False)
    no_move = Modality("b", "A", "10.0.0.2", 104, allow_move=False)
    both = known(no_get, no_move)
    assert may(index, "10.0.0.1", **both) == set(Permission) - {Permission.GET}
    assert may(index, "10.0.0.2", **both) == set(Permission) - {Permission.MOVE}
    assert may(index, "10.0.0.3", **both) == set(Permission)


@pytest.mark.parametrize(
    ("host", "ip", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("localhost", "127.0.0.1", True),
        ("localhost", "10.0.0.1", False),
        ("no such host", "127.0.0.1", False),
        ("x" * 100, "127.0.0.1", False),
        ("fe80::1", "fe80::1%eth0", True),
        ("127.0.0.1", "", False),
    ],
)
def test_hosts_and_addresses(host: str, ip: str, *, same: bool) -> None:
    assert is_at(host, ip) is same
