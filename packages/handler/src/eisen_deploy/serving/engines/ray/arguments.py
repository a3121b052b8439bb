"""What ``args`` of a Serve config may say. Ray reads them by the types that stand here."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from eisen_deploy.serving.engines import sizes
from eisen_deploy.serving.engines.options import MIB


def _read_source(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


def _read_size(value: object) -> object:
    return sizes.parse_size(value) if isinstance(value, str) else value


class _Strict(BaseModel):
    """What is not a field is an error, and not left out without a word."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ArchiveSource(_Strict):
    """Where an archive is.

    :param url: a path that every node can read, or an address that ``fsspec`` can: ``https://``,
        ``s3://``, ``gs://`` and others.
    :param digest: of the archive, as ``eisen-pack inspect`` prints it; another one is refused.
    """

    url: Annotated[str, Field(min_length=1)]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class Autoscaling(_Strict):
    """How the number of replicas follows the load.

    :param target_ongoing_requests: for each replica, those that wait for it included.
    :param upscale_delay_s: seconds of load before replicas are added.
    :param downscale_delay_s: seconds without before they are taken away.
    """

    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Annotated[int, Field(ge=1)]
    target_ongoing_requests: Annotated[float, Field(gt=0)] = 2.0
    upscale_delay_s: Annotated[float, Field(ge=0)] = 30.0
    downscale_delay_s: Annotated[float, Field(ge=0)] = 600.0

    @model_validator(mode="after")
    def _check_order(self) -> "Autoscaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"expected min_replicas of at most max_replicas, got {self.min_replicas} and "
                f"{self.max_replicas}"
            )
        return self


class Arguments(_Strict):
    """What is served, and how. Whatever is left out is as the archive says, or the default here.

    :param archives: one or more; each as its address, or as ``{url, digest}``.
    :param max_body: the largest request and the largest reply: bytes, or such as ``512MiB``.
    :param response_timeout: seconds for an answer, where the archive does not say it.
    :param token_file: a file, on every node, with the token that clients have to send.
    :param queue: requests that may wait for a model at each proxy of Ray, and at each replica.
    :param replicas: of each archive; by default the archive's ``workers``, or 1.
    :param autoscaling: in place of a fixed number of replicas.
    :param cpus: cores for each replica, which are also torch's threads; by default the archive's
        ``threads``, or 1.
    :param gpus: for each replica, or a part of one; by default 1 for an archive with the device
        ``cuda``, else none.
    :param cache: a folder for archives on each node; by default one below the temporary folder.
    """

    archives: Annotated[
        list[Annotated[ArchiveSource, BeforeValidator(_read_source)]], Field(min_length=1)
    ]
    max_body: Annotated[int, BeforeValidator(_read_size), Field(ge=1)] = 512 * MIB
    response_timeout: Annotated[int, Field(ge=1)] = 300
    token_file: str | None = None
    queue: Annotated[int, Field(ge=1)] = 100
    replicas: Annotated[int, Field(ge=1)] | None = None
    autoscaling: Autoscaling | None = None
    cpus: Annotated[float, Field(gt=0)] | None = None
    gpus: Annotated[float, Field(ge=0)] | None = None
    cache: str | None = None

    @model_validator(mode="after")
    def _check_replicas(self) -> "Arguments":
        if self.replicas is not None and self.autoscaling is not None:
            raise ValueError("replicas, autoscaling: give one of them")
        return self
