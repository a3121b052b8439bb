"""What TorchServe does not take, of what other servers do."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path

from eisen_deploy.serving.engines.options import Options

#: TorchServe holds sizes in a Java ``int``.
MOST_BODY = 2**31 - 1

_RSA = bytes.fromhex("2a864886f70d010101")  # the object identifier rsaEncryption
_KEY = re.compile(
    r"-----BEGIN (RSA )?PRIVATE KEY-----\s(.*?)-----END (?:RSA )?PRIVATE KEY-----", re.DOTALL
)


def find_problems(options: Options) -> Iterator[str]:
    """Yield which options TorchServe cannot follow."""
    if ":" in options.host:
        yield f"--host {options.host}: TorchServe takes names and IPv4 addresses only"
    if options.max_body > MOST_BODY:
        yield f"--max-body: TorchServe takes at most {MOST_BODY} bytes (2 GiB - 1)"
    if options.token_file is not None:
        yield "--token-file: TorchServe makes its own tokens: use --token-auth, or --engine uvicorn"
    key = options.tls_key
    if key is not None and key.is_file() and _is_other_than_rsa(key):
        yield f"--tls-key {key}: TorchServe takes RSA keys only"


def _is_other_than_rsa(key: Path) -> bool:
    """Whether a key is of another kind; of one that cannot be read, somebody else says so."""
    text = key.read_text("ascii", "replace")
    found = _KEY.search(text)
    if found is None:
        return "PRIVATE KEY" in text and "ENCRYPTED" not in text
    try:
        return not found[1] and _RSA not in base64.b64decode(found[2])
    except binascii.Error:
        return False
