"""Whom the client trusts, and what it sends to whom: server, client and environment by case.

The cases are in ``tls_matrix/table.py``. In each of them stand two more servers whose addresses
the client learns only from strangers: none of them is ever told anything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eisen_deploy.client import EisenServingClient, Retries

from .tls_matrix.authorities import Authorities
from .tls_matrix.listeners import Listener, Proxy
from .tls_matrix.table import TOKEN, cases

ALL = list(cases())


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    made = Authorities(tmp_path_factory.mktemp("authorities"))
    hashed = tmp_path_factory.mktemp("hashed")
    shutil.copy(made.files["ours"], hashed)
    made.files["hashed"] = str(hashed)
    if shutil.which("openssl"):
        subprocess.run(["openssl", "rehash", hashed], check=True, capture_output=True)
    return made


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Nothing of the developer's, but for an empty home."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


class World:
    """The servers of one case, and the texts that name them."""

    def __init__(self, case, authorities, folder):
        context = authorities.context
        self.token = folder / "token"
        self.token.write_text(TOKEN)
        self.foreign = Listener(context("asks and does not insist"))
        self.plain = Listener()
        stranger = Listener(context("stranger"))
        names = {"foreign": self.foreign.server.port, "plain": self.plain.server.port,
                 "token": self.token, **authorities.files}  # fmt: skip
        answers = [_fill(answer, names) for answer in case.answers]
        self.honest = Listener(None if case.server == "plain" else context(case.server), answers)
        port = (self.honest if case.behind == "honest" else stranger).server.port
        manner = case.proxy if isinstance(case.proxy, str) else _fill(case.proxy, names)
        self.proxy = Proxy(manner, port)
        self.tls_proxy = Proxy(manner, port, context("ours"))
        ports = {"honest": self.honest.server.port, "proxy": self.proxy.server.port,
                 "tls_proxy": self.tls_proxy.server.port}  # fmt: skip
        self.names = {**names, **ports}
        self.strangers = [self.foreign, self.plain, stranger]
        if case.rotates:
            self.honest.on_request = lambda: self.token.write_text("renewed")

    def fill(self, value):
        if isinstance(value, str):
            return value.format_map(self.names)
        if isinstance(value, tuple):
            return tuple(map(self.fill, value))
        return Path(self.fill(str(value))) if isinstance(value, Path) else value

    def close(self):
        for each in [self.proxy, self.tls_proxy, self.honest, *self.strangers]:
            each.server.close()
            assert each.server.failures == []


def _fill(answer, names):
    """Put ports into an answer whose length they may change."""
    head, end, body = answer.partition(b"\r\n\r\n")
    for name in ("foreign", "plain"):
        head = head.replace(b"{%b}" % name.encode(), str(names[name]).encode())
    return head.replace(b"{honest}", b"1") + end + body


@pytest.fixture
def world(authorities, tmp_path):
    made = []

    def make(case):
        made.append(World(case, authorities, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def call(case, world):
    """Make the calls of a case, and return what the last one raised."""
    options = {name: world.fill(value) for name, value in case.client.items()}
    options = {"timeout": 5, "retries": Retries(2, first_delay=0.001), **options}
    with EisenServingClient(world.fill(case.url), **options) as client:
        raised = [call_once(client, case.method) for _ in range(case.calls)]
    return raised[-1]


def call_once(client, method):
    try:
        client.predict({"x": 1}) if method == "predict" else client.get_metadata()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    return None


def check(case, world, monkeypatch, tmp_path):
    if case.client.get("verify") == "{hashed}" and not shutil.which("openssl"):
        pytest.skip("no openssl to name the files of a folder of authorities")
    if case.client.get("verify") == "system":
        pytest.importorskip("truststore", reason="needs Python 3.10")
        if sys.platform != "linux":
            pytest.skip("the store of this system takes no certificates of a test")
    world = world(case)
    for name, value in case.env.items():
        monkeypatch.setenv(name, world.fill(value))
    if case.netrc:
        file = tmp_path / ".netrc"
        file.write_text("default login canary password canary\n")
        file.chmod(0o600)
    raised = call(case, world)
    assert type(raised) is (case.expected or type(None)), raised
    assert "canary" not in f"{raised} {raised!r}"
    told = case.told if case.told is not None else ("-",) * (case.expected is None)
    assert world.honest.authorizations == list(told)
    assert (world.honest.certificates == ["workstation"]) is case.shown
    assert world.proxy.asked + world.tls_proxy.asked == list(case.asked)
    check_what_leaks(world)


def check_what_leaks(world):
    """Strangers get no request; what proxies and the server get is not meant for others."""
    for stranger in world.strangers:
        assert (stranger.heads, stranger.certificates) == ([], [])
    assert (world.foreign.server.connections, world.plain.server.connections) == (0, 0)
    for line, head in world.proxy.heads + world.tls_proxy.heads:
        if line.startswith("CONNECT "):
            assert "authorization" not in head
            assert TOKEN not in f"{line} {head}"
    for head in world.honest.heads:
        assert not {"cookie", "proxy-authorization"} & set(head)


def test_there_are_cases_enough_and_each_has_a_name():
    names = [case.name for case in ALL]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.quick_cases(40)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_error_for_each_certificate_and_setting(case, world, monkeypatch, tmp_path):
    check(case, world, monkeypatch, tmp_path)


@pytest.mark.parametrize("case", [case for case in ALL if "cert= " in case.name or
                                  case.name in ("verify= of text", "verify= of absent")],
                         ids=lambda case: case.name)  # fmt: skip
def test_a_file_that_cannot_be_used_is_blamed(case, world):
    assert "check the files" in str(call(case, world(case)))
