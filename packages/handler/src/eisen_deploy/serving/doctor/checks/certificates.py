"""What a running server's certificate is to its clients, whichever server it is."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.certificate import Certificate
from eisen_deploy.serving.doctor.findings import ERROR, Found

WHY = "Careful clients refuse it; with the others, anyone in between reads volumes and tokens."


def find_distrust(certificate: Certificate | None, remedy: str) -> Iterator[Found]:
    """Find a certificate that clients refuse; an error if expired, or made by TorchServe itself.

    :param remedy: how the server gets another one.
    """
    if certificate is None or not certificate.problem:
        return
    own, problem = certificate.by_torchserve, certificate.problem
    if problem in ("self-signed", "untrusted") and not own:
        remedy = "--authorities hospital.pem, and the same file for the clients"
    severity = ERROR if own or problem in ("expired", "no TLS") else None
    yield Found(f"{problem}: {certificate.detail}", severity=severity, remedy=remedy)
