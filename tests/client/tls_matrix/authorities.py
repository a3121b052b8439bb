"""Certificates of every kind, made anew for each run of the tests."""

from __future__ import annotations

import datetime as dt
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

HOSTS = ("localhost", "127.0.0.1", "model.invalid")
_NOW = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
_DAY = dt.timedelta(days=1)


@contextmanager
def _valid_until(moment: dt.datetime) -> Iterator[None]:
    """Make authorities that are valid until a moment: trustme asks for no date of theirs."""
    usual, trustme.DEFAULT_EXPIRY = trustme.DEFAULT_EXPIRY, moment
    try:
        yield
    finally:
        trustme.DEFAULT_EXPIRY = usual


class Authorities:
    """Writes files to a folder, and makes the contexts of servers.

    :ivar files: paths by name, for the arguments of clients and their environment.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, str] = {}
        self.ours, self.stranger = trustme.CA(), trustme.CA()
        with _valid_until(_NOW - _DAY):
            self.expired = trustme.CA()
        self.intermediate = self.ours.create_child_ca()
        self.leaves = self._leaves()
        self._write_trust()
        self._write_own()

    def _leaves(self) -> dict[str, trustme.LeafCert]:
        return {
            "ours": self.ours.issue_cert(*HOSTS),
            "stranger": self.stranger.issue_cert(*HOSTS),
            "by an expired authority": self.expired.issue_cert(*HOSTS),
            "by an intermediate": self.intermediate.issue_cert(*HOSTS),
            "expired": self.ours.issue_cert(*HOSTS, not_after=_NOW - _DAY),
            "of tomorrow": self.ours.issue_cert(*HOSTS, not_before=_NOW + _DAY),
            "of another host": self.ours.issue_cert("other.invalid"),
            "of no address": self.ours.issue_cert("localhost"),
            "of a wildcard": self.ours.issue_cert("*.invalid"),
            "of a common name": self.ours.issue_cert("x@invalid", common_name="localhost"),
        }

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / f"{name.replace(' ', '-')}.pem"
        path.write_bytes(content)
        self.files[name.replace(" ", "_")] = str(path)
        return str(path)

    def _write_trust(self) -> None:
        pems = {
            name: authority.cert_pem.bytes()
            for name, authority in (
                ("ours", self.ours),
                ("stranger", self.stranger),
                ("expired", self.expired),
            )
        }
        for name, content in pems.items():
            self._write(name, content)
        self._write("both", pems["stranger"] + pems["ours"])
        self._write("text", b"not a certificate\n")
        self._write("nothing", b"")
        self._write("cut", pems["ours"][:200])
        self._write("key", self.leaves["ours"].private_key_pem.bytes())
        self.files["absent"] = str(self._folder / "absent.pem")
        self.files["folder"] = str(self._folder)

    def _write_own(self) -> None:
        ours = self.ours.issue_cert("x@invalid", common_name="workstation")
        theirs = self.stranger.issue_cert("x@invalid", common_name="workstation")
        old = self.ours.issue_cert("x@invalid", common_name="workstation", not_after=_NOW - _DAY)
        for name, leaf in (("own", ours), ("own stranger", theirs), ("own expired", old)):
            self._write(name, leaf.private_key_and_cert_chain_pem.bytes())
        self._write("own certificate", ours.cert_chain_pems[0].bytes())
        self._write("own key", ours.private_key_pem.bytes())
        self._write("own other key", old.private_key_pem.bytes())

    def context(self, kind: str) -> ssl.SSLContext:
        """Return the context of a server: the name of a leaf, or one of the kinds below."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf = self.leaves.get(kind, self.leaves["ours"])
        if kind == "without its intermediate":
            leaf = self.leaves["by an intermediate"]
            path = self._write("bare", leaf.cert_chain_pems[0].bytes())
            context.load_cert_chain(path, self._write("bare key", leaf.private_key_pem.bytes()))
        else:
            leaf.configure_cert(context)
        if kind in _KINDS:
            _KINDS[kind](context)
        if kind.startswith("asks"):
            self.ours.configure_trust(context)
        return context


def _asks(mode: ssl.VerifyMode, version: ssl.TLSVersion) -> Callable[[ssl.SSLContext], None]:
    def change(context: ssl.SSLContext) -> None:
        context.verify_mode = mode
        context.minimum_version = context.maximum_version = version

    return change


def _old(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1


_KINDS: dict[str, Callable[[ssl.SSLContext], None]] = {
    "asks by TLS 1.2": _asks(ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2),
    "asks by TLS 1.3": _asks(ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_3),
    "asks and does not insist": _asks(ssl.CERT_OPTIONAL, ssl.TLSVersion.TLSv1_3),
    "of TLS 1.1": _old,
}
