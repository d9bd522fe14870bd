"""JSON bodies by Go's rules."""

import contextlib
import os

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.api.decoding import decode
from wherry.engine.model import UNSET, CreateRequest, EmptyObject, HostConfig
from wherry.errdefs import EngineError

EXAMPLES = 3000 if os.environ.get("WHERRY_SOAK") == "1" else 100


def create(text: str) -> CreateRequest:
    return decode(text.encode(), CreateRequest)


def test_names_without_regard_to_case() -> None:
    found = create('{"image":"a","HOSTCONFIG":{"capadd":["X"],"blkiodevicereadiops":[]}}')
    assert found.image == "a"
    assert found.host_config.cap_add == ["X"]
    assert found.host_config.blkio_device_read_iops == []


def test_null_is_the_default_everywhere() -> None:
    names = (*HostConfig.__struct_encode_fields__,)
    host = decode(msgspec.json.encode(dict.fromkeys(names)), HostConfig)
    assert host == HostConfig()
    fields = CreateRequest.__struct_encode_fields__
    assert decode(msgspec.json.encode(dict.fromkeys(fields)), CreateRequest) == CreateRequest()


def test_null_within_lists_and_maps() -> None:
    found = create(
        '{"Env":[null,"a"],"Volumes":{"/v":null},"Labels":{"l":null},'
        '"HostConfig":{"PortBindings":{"80/tcp":null},"Ulimits":[null]},'
        '"NetworkingConfig":{"EndpointsConfig":{"none":null}}}'
    )
    assert found.env == ["", "a"]
    assert found.volumes == {"/v": EmptyObject()}
    assert found.labels == {"l": ""}
    assert found.host_config.port_bindings == {"80/tcp": None}
    assert found.host_config.ulimits is not None
    assert found.host_config.ulimits[0].name == ""
    assert found.networking_config.endpoints_config == {"none": None}


def test_a_word_may_stand_for_a_list_of_one() -> None:
    found = create('{"Cmd":"echo hi","Entrypoint":"","HostConfig":{"CapDrop":"ALL"}}')
    assert found.cmd == ["echo hi"]
    assert found.entrypoint == [""]
    assert found.host_config.cap_drop == ["ALL"]


def test_what_is_empty_and_left_out_by_docker_is_left_out() -> None:
    found = create('{"StopSignal":"","HostConfig":{"Tmpfs":{},"Mounts":[],"Init":false}}')
    assert found.stop_signal is UNSET
    assert found.host_config.tmpfs is UNSET
    assert found.host_config.mounts is UNSET
    assert found.host_config.init is False
    assert create('{"Healthcheck":{}}').healthcheck is not UNSET
    assert create('{"Healthcheck":null}').healthcheck is UNSET


def test_unknown_names_are_passed_over() -> None:
    assert create('{"Image":"a","FutureField":{"x":[1]}}') == CreateRequest(image="a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "invalid JSON"),
        ("", "invalid JSON"),
        ("{}x", "trailing characters"),
        ("[]", "expected object, got array"),
        ('"x"', "expected object, got str"),
        ('{"Cmd":5}', "Cmd: expected array"),
        ('{"Tty":1}', "Tty: expected bool, got int"),
        ('{"HostConfig":{"Memory":"1g"}}', "HostConfig.Memory: expected int, got str"),
        ('{"HostConfig":{"Memory":9223372036854775808}}', "HostConfig.Memory: expected int"),
        ('{"HostConfig":{"BlkioWeight":-1}}', "HostConfig.BlkioWeight: expected int >= 0"),
        ('{"HostConfig":{"Ulimits":[{"Name":5}]}}', "HostConfig.Ulimits[0].Name: expected str"),
        ('{"hostconfig":{"binds":"x"}}', "HostConfig.Binds: expected array"),
        ('{"Labels":{"a":1}}', "expected str, got int"),
        ("[" * 100_000, "invalid JSON"),
    ],
)
def test_errors_name_the_field(text: str, words: str) -> None:
    with pytest.raises(EngineError) as caught:
        create(text)
    assert words in caught.value.message
    assert caught.value.kind.http_status == 400


def test_text_that_is_no_utf8() -> None:
    with pytest.raises(EngineError):
        decode(b'{"Image":"\xff"}', CreateRequest)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(["Name", "Type", "/x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(
    [*CreateRequest.__struct_encode_fields__, *HostConfig.__struct_encode_fields__]
)


@settings(max_examples=EXAMPLES)
@given(st.dictionaries(names, json_values, max_size=4))
def test_any_json_is_taken_or_refused(value: dict[str, object]) -> None:
    for wanted in (CreateRequest, HostConfig):
        with contextlib.suppress(EngineError):
            found = decode(msgspec.json.encode(value), wanted)
            assert decode(msgspec.json.encode(found), wanted) == found
