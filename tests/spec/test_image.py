"""Image documents: those of peers are read, those of enemies are refused."""

import json
import os
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.spec import image, media
from wherry.spec.digest import Digest

EXAMPLES = 5000 if os.environ.get("WHERRY_SOAK") else 150
DIFF_ID = Digest.of(b"layer")
ROOTFS = {"type": "layers", "diff_ids": [DIFF_ID]}
CONFIG = {"mediaType": media.DOCKER_CONFIG, "digest": DIFF_ID, "size": 5}
MANIFEST = {"schemaVersion": 2, "config": CONFIG, "layers": [CONFIG]}


def config_of(**fields: object) -> image.ImageConfig:
    return image.decode_config(json.dumps({"rootfs": ROOTFS, **fields}).encode())


def refused(decode: object, document: object) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(EngineError) as caught:
        decode(data)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    return caught.value.message


def test_a_config_of_docker_is_read_whole() -> None:
    config = config_of(
        architecture="arm64", os="linux", variant="v8", created="2024-01-01T00:00:00.5Z",
        author="me", docker_version="20.10",
        config={
            "User": "1:2", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"], "Entrypoint": None,
            "Cmd": ["sh", "-c"], "Volumes": {"/v": {}}, "WorkingDir": "/w", "Labels": {"a": "b"},
            "StopSignal": "SIGTERM", "ArgsEscaped": True, "Memory": 1, "MemorySwap": 2,
            "CpuShares": 3, "OnBuild": ["RUN x"], "Shell": ["/bin/sh"], "Hostname": "",
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1, "StartPeriod": 2, "Retries": 3},
        },
        history=[{"created_by": "x", "empty_layer": True}, {"created": "2024-01-01T00:00:00Z"}],
        container_config={"Cmd": 7},
    )  # fmt: skip
    assert config.rootfs.diff_ids == (DIFF_ID,)
    assert isinstance(config.rootfs.diff_ids[0], Digest)
    assert str(config.platform) == "linux/arm64"
    run = config.config
    assert (run.user, run.env, run.cmd, run.entrypoint) == ("1:2", ("A=b",), ("sh", "-c"), ())
    assert set(run.exposed_ports) == {"80/tcp"}
    assert run.healthcheck is not None
    assert (run.healthcheck.test, run.healthcheck.start_period) == (("CMD", "x"), 2)
    assert [step.empty_layer for step in config.history] == [True, False]


def test_null_is_absent_wherever_go_writes_it() -> None:
    run = dict.fromkeys(["Env", "Cmd", "Labels", "Volumes", "ExposedPorts", "OnBuild", "User"])
    config = config_of(config=run, history=None, author=None)
    assert config == config_of()
    assert config_of(config=None) == config_of()
    assert config_of(rootfs={"type": "layers", "diff_ids": []}).rootfs.diff_ids == ()


def test_a_command_that_is_one_string_is_a_list_of_it() -> None:
    assert config_of(config={"Cmd": "sh", "Entrypoint": "/e"}).config.cmd == ("sh",)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"author": "\xff", "rootfs": {}}', "not valid JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b" " * (image.CONFIG_MAX + 1), "more than the limit"),
        ([], "Expected `object`"),
        ("x", "Expected `object`"),
        ({}, "missing required field `rootfs`"),
        ({"rootfs": None}, "missing required field `rootfs`"),
        ({"rootfs": {"type": "layers+base", "diff_ids": []}}, "is not 'layers'"),
        ({"rootfs": {"type": "layers", "diff_ids": [None]}}, "`$.rootfs.diff_ids[0]`"),
        ({"rootfs": {"type": "layers", "diff_ids": [7]}}, "`$.rootfs.diff_ids[0]`"),
        ({"rootfs": {"type": "layers", "diff_ids": ["sha256:12"]}}, "64 lower-case"),
        ({"rootfs": {"type": "layers", "diff_ids": [DIFF_ID] * 501}}, "more than the limit of 500"),
        ({"rootfs": ROOTFS, "config": {"Env": "A=b"}}, "`$.config.Env`"),
        ({"rootfs": ROOTFS, "config": {"Env": [None]}}, "`$.config.Env[0]`"),
        ({"rootfs": ROOTFS, "config": {"Cmd": {"0": "sh"}}}, "`$.config.Cmd`"),
        ({"rootfs": ROOTFS, "config": {"Labels": {"a": 1}}}, "`$.config.Labels[...]`"),
        ({"rootfs": ROOTFS, "config": {"Volumes": ["/v"]}}, "`$.config.Volumes`"),
        ({"rootfs": ROOTFS, "os": 3}, "`$.os`"),
        ({"rootfs": ROOTFS, "history": [3]}, "`$.history[0]`"),
    ],
)
def test_a_hostile_config_is_refused_by_name(document: object, says: str) -> None:
    message = refused(image.decode_config, document)
    assert message.startswith("image config: ")
    assert says in message


def test_a_manifest_and_an_index_are_told_apart() -> None:
    manifest = image.decode_target(json.dumps(MANIFEST).encode())
    assert isinstance(manifest, image.Manifest)
    assert manifest.layers[0].digest == DIFF_ID
    platform = {"os": "linux", "architecture": "amd64", "os.version": "1"}
    listed = {"schemaVersion": 2, "mediaType": media.DOCKER_LIST,
              "manifests": [{**CONFIG, "platform": platform, "annotations": None}]}  # fmt: skip
    index = image.decode_target(json.dumps(listed).encode())
    assert isinstance(index, image.Index)
    assert index.manifests[0].platform is not None
    assert index.manifests[0].platform.os_version == "1"
    assert "it is an index" in refused(image.decode_manifest, listed)
    assert "not an index" in refused(image.decode_index, MANIFEST)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "expected a JSON object"),
        ({}, "schemaVersion is not 2"),
        ({"schemaVersion": 1, "fsLayers": []}, "schema 1 is not supported"),
        ({**MANIFEST, "manifests": []}, "ambiguous"),
        ({**MANIFEST, "mediaType": media.OCI_INDEX}, "does not fit its fields"),
        ({**MANIFEST, "mediaType": 3}, "does not fit its fields"),
        ({**MANIFEST, "layers": None}, "missing required field `layers`"),
        ({**MANIFEST, "layers": [None]}, "`$.layers[0]`"),
        ({**MANIFEST, "layers": [CONFIG] * 501}, "more than the limit of 500"),
        ({**MANIFEST, "config": {**CONFIG, "size": -1}}, "`$.config.size`"),
        ({**MANIFEST, "config": {**CONFIG, "size": 2**63}}, "`$.config.size`"),
        ({**MANIFEST, "config": {**CONFIG, "digest": "md5:00"}}, "md5 is not supported"),
        (b" " * (image.MANIFEST_MAX + 1), "more than the limit"),
    ],
)
def test_a_hostile_manifest_is_refused_by_name(document: object, says: str) -> None:
    assert says in refused(image.decode_target, document)


def test_what_is_encoded_reads_back() -> None:
    manifest = image.decode_manifest(json.dumps({**MANIFEST, "annotations": {"a": "b"}}).encode())
    data = image.encode(manifest)
    assert image.decode_manifest(data) == manifest
    assert image.encode(image.decode_manifest(data)) == data
    assert image.decode_descriptor(image.encode(manifest.config)) == manifest.config
    config = config_of(os="linux", config={"Cmd": ["x"], "Volumes": {"/v": {"odd": 1}}})
    assert image.decode_config(image.encode(config)) == config


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.printable, max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["rootfs", "type", "diff_ids", "config", "Env", "Cmd", "history", "schemaVersion",
                 "layers", "manifests", "digest", "size", "mediaType", "Healthcheck", "Test"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values | st.binary(max_size=40))
@settings(max_examples=EXAMPLES)
def test_any_document_is_read_or_an_invalid_argument(document: object) -> None:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    for decode in (image.decode_config, image.decode_target):
        try:
            decode(data)
        except EngineError as error:
            if error.kind is not Kind.INVALID_ARGUMENT:
                raise
