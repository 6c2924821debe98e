"""URIs: Pyro5's grammar, read and written back unchanged; bad ones are named."""

from __future__ import annotations

import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm

from remoteobj import URI, BadURI

IDS = st.text(string.ascii_letters + string.digits + "._-:/ü", min_size=1)
HOSTS = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True) | st.ip_addresses().map(str)
PORTS = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("PYRO:shop@lab3:9090", ("PYRO", "shop", "lab3", 9090, None)),
        ("pyro:shop@lab3:9090", ("PYRO", "shop", "lab3", 9090, None)),
        ("PYRO:shop@[::1]:9090", ("PYRO", "shop", "::1", 9090, None)),
        ("PYRO:shop@[fe80::1%eth0]:9090", ("PYRO", "shop", "fe80::1%eth0", 9090, None)),
        ("PYRO:shop@./u:/run/a.sock", ("PYRO", "shop", None, None, "/run/a.sock")),
        ("PYRO:Pyro.Daemon@10.0.0.1:1", ("PYRO", "Pyro.Daemon", "10.0.0.1", 1, None)),
        ("PYRONAME:lab3.camera", ("PYRONAME", "lab3.camera", None, None, None)),
        ("PYRONAME:camera@lab3", ("PYRONAME", "camera", "lab3", None, None)),
        ("PYRONAME:camera@lab3:9090", ("PYRONAME", "camera", "lab3", 9090, None)),
    ],
)
def test_each_form_is_read(text: str, parts: tuple[object, ...]) -> None:
    uri = URI(text)
    assert (uri.protocol, uri.object, uri.host, uri.port, uri.sockname) == parts
    assert URI(str(uri)) == uri == pickle.loads(pickle.dumps(uri)) == URI(uri)
    assert hash(uri) == hash(URI(str(uri)))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "looks like"),
        ("shop", "'shop'"),
        ("http://lab3/", "looks like"),
        ("PYRO:shop", "does not say where"),
        ("PYRO:shop@", "'PYRO:shop@'"),
        ("PYRO:@lab3:9090", "looks like"),
        ("PYRO:shop@lab3", "no port"),
        ("PYRO:shop@lab3:", "no port"),
        ("PYRO:shop@[::1]", "no port"),
        ("PYRO:shop@::1:9090", "brackets"),
        ("PYRO:shop@:9090", "no host"),
        ("PYRO:shop@lab3:0", "'0'"),
        ("PYRO:shop@lab3:65536", "'65536'"),
        ("PYRO:shop@lab3:http", "'http'"),
        ("PYRO:shop@lab3:\u0661", "port"),
        ("PYRO:shop@lab3:" + "9" * 5000, "1 to 65535"),
        ("PYRO:shop@./u:", "Unix socket"),
        ("PYRO:shop@./u:/a:b", "Unix socket"),
        ("PYRO:two words@lab3:9090", "looks like"),
        ("PYRO:shop@lab3:9090\n", "looks like"),
        ("PYROMETA:shop", "looks like"),
    ],
)
def test_a_bad_one_is_named(text: str, word: str) -> None:
    with pytest.raises(BadURI) as caught:
        URI(text)
    assert word in str(caught.value)
    assert repr(text) in str(caught.value)


@calm
@given(IDS, HOSTS, PORTS)
def test_tcp_survives_writing_and_reading(object_id: str, host: str, port: int) -> None:
    uri = URI.of_tcp(object_id, host, port)
    assert (uri.object, uri.host, uri.port) == (object_id, host, port)
    assert URI(str(uri)) == uri


@calm
@given(IDS, st.text(string.ascii_letters + "/._-@ü", min_size=1))
def test_unix_survives_writing_and_reading(object_id: str, path: str) -> None:
    uri = URI.of_unix(object_id, path)
    assert (uri.object, uri.sockname, uri.host) == (object_id, path, None)
    assert URI(str(uri)) == uri


@calm
@given(st.text() | st.text("PYRONAME:@./u[]0123456789 ", max_size=40))
def test_any_text_is_a_uri_or_bad(text: str) -> None:
    try:
        uri = URI(text)
    except BadURI:
        return
    assert URI(str(uri)) == uri


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="make a new one"):
        URI("PYRO:shop@lab3:1").port = 2
