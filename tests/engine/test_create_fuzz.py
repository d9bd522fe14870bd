"""Whatever a create request holds: refused with a reason, or a container that works."""

import asyncio
import contextlib
import json
import os

import pytest
from apispec import needs_specification
from hostile import anything, create_requests
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from wherry.api.decoding import decode
from wherry.engine.document import read_document
from wherry.engine.model import CreateRequest
from wherry.engine.runtime_spec import sources
from wherry.errdefs import EngineError

EXAMPLES = 20_000 if os.environ.get("WHERRY_SOAK") else 100

pytestmark = needs_specification


@pytest.fixture(autouse=True)
def _nothing_is_made_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "make_missing", lambda missing: None)
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@given(st.data())
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
async def test_no_create_request_is_a_surprise(house, data) -> None:
    body = data.draw(create_requests("busybox", ["true"]))
    await one_life(house, json.dumps(body).encode())
    assert not list(house.containers.roster)
    assert house.snapshots.keys() == []
    assert os.listdir(house.root / "data" / "containers") == []
    # Every name was given back.
    assert house.containers.roster.reserve("again", "x") == "again"
    house.containers.roster.release("again", "x")


async def one_life(house, body: bytes) -> None:
    try:
        request = decode(body, CreateRequest)
        created = await house.containers.create(None, request, None)
    except EngineError as error:
        event(f"refused with {expected(error)}")
        return
    event("created")
    (record,) = house.database.read(lambda tx: tx.containers())
    assert read_document(record).id == created.id
    await house.containers.list(True, 0, True, {})
    await house.containers.inspect(created.id, True)
    try:
        await house.containers.start(created.id)
    except EngineError as error:
        event(f"start refused with {expected(error)}")
    if house.containers.roster.get(created.id) is not None:
        gone = await house.containers.wait(created.id, "removed")
        await house.containers.remove(created.id, True, False, False)
        await asyncio.wait_for(gone.result(), 10)
    await house.stores.settle()


def expected(error: EngineError) -> int:
    """The status; a refusal is about the request, and says why."""
    status = error.kind.http_status
    assert status in (400, 404, 409, 501), error.message
    assert error.message
    return status


@given(anything.map(json.dumps) | st.binary(max_size=40).map(repr))
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_body_is_a_surprise(text) -> None:
    with contextlib.suppress(EngineError):
        decode(text.encode(), CreateRequest)
