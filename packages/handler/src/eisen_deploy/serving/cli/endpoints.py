"""Where the models of a server answer, and a command line that works for each of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from eisen_deploy.serving.engines.keys import write_private
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime._shared.printable import clean

SAMPLES = "samples"


class Endpoints:
    """The addresses of a server's models.

    :param folder: of the server: what the command lines send is written there.
    :param beside: further addresses, by what is there.
    :param as_json: whether they are shown as one JSON object.
    """

    def __init__(
        self,
        options: Options,
        archives: Sequence[ServedArchive],
        folder: Path,
        beside: Mapping[str, str],
        *,
        as_json: bool,
    ) -> None:
        self._options, self._archives, self._folder = options, archives, folder
        self._beside, self._as_json = beside, as_json

    @property
    def _token_file(self) -> Path:
        return self._folder / "authorization.txt"

    @property
    def _key_file(self) -> Path:
        return self._options.token_file or self._folder / "key_file.json"

    def write_samples(self) -> None:
        """Write the bodies that the command lines send."""
        (self._folder / SAMPLES).mkdir(exist_ok=True)
        for archive in self._archives:
            if archive.sample is not None:
                self._sample(archive).write_bytes(archive.sample[0])

    def write_token(self, key: str | None) -> None:
        """Write the header with the token of a server that has just started, for curl to read."""
        if key is not None:
            write_private(self._token_file, f"Authorization: Bearer {key}\n")

    def remove_token(self) -> None:
        """Remove that file."""
        self._token_file.unlink(missing_ok=True)

    def text(self) -> str:
        """Return what is shown when the models are ready."""
        if self._as_json:
            return json.dumps(self._make_json(), indent=2)
        lines = ["", *self._describe_address()]
        for archive in self._archives:
            lines += [clean(line) for line in self._describe_model(archive)]
        lines += [clean(f"{name:12} {address}") for name, address in self._beside.items()]
        return "\n".join([*lines, "Ctrl-C stops it."])

    def _describe_address(self) -> Iterator[str]:
        """Yield a line where the addresses below are those of this machine only."""
        if self._options.url != self._options.local_url:
            yield f"listens on {self._options.url}; from this machine {self._options.local_url}"

    def _url(self, archive: ServedArchive) -> str:
        return f"{self._options.local_url}/predictions/{archive.url_part}"

    def _protocol_url(self, archive: ServedArchive) -> str | None:
        """Return the address of the Open Inference Protocol; TorchServe takes no version there."""
        if archive.url_part != archive.name:
            return None
        return f"{self._options.local_url}/v2/models/{archive.name}/infer"

    def _sample(self, archive: ServedArchive) -> Path:
        return self._folder / SAMPLES / f"{archive.worker_name}.bin"

    def _describe_model(self, archive: ServedArchive) -> Iterator[str]:
        yield f"{archive.name} {archive.version}"
        yield f"  predictions  {self._url(archive)}"
        if (url := self._protocol_url(archive)) is not None:
            yield f"  protocol     {url} (Open Inference Protocol)"
        yield f"  metadata     {self._metadata_command(archive)}"
        command = self._sample_command(archive)
        if command is not None:
            yield f"  its sample   {command}"
        yield f"  Python       {self._python(archive)}"

    def _metadata_command(self, archive: ServedArchive) -> str:
        return shlex.join([*self._curl(), "--data", "", self._url(archive)])

    def _sample_command(self, archive: ServedArchive) -> str | None:
        if archive.sample is None:
            return None
        headers = [part for item in archive.sample[1].items() for part in ("-H", ": ".join(item))]
        body = ["--data-binary", f"@{self._sample(archive)}", "--output", "reply.bin"]
        return shlex.join([*self._curl(), *headers, *body, self._url(archive)])

    def _curl(self) -> list[str]:
        command = ["curl", "--silent", "--show-error"]
        if self._options.tls_cert is not None:
            command += ["--cacert", str(self._options.tls_cert)]
        if self._options.token_auth:
            command += ["-H", f"@{self._token_file}"]
        return command

    def _python(self, archive: ServedArchive) -> str:
        more = ""
        if self._options.token_auth:
            more += f", token=Path({str(self._key_file)!r})"
        if self._options.tls_cert is not None:
            more += f", verify={str(self._options.tls_cert)!r}"
        return f'EisenServingClient("{self._url(archive)}"{more})'

    def _make_json(self) -> dict[str, object]:
        models = [
            {
                "name": archive.name,
                "version": archive.version,
                "digest": archive.digest,
                "predictions": self._url(archive),
                "protocol": self._protocol_url(archive),
                "metadata_command": self._metadata_command(archive),
                "sample_command": self._sample_command(archive),
            }
            for archive in self._archives
        ]
        return {
            "models": models,
            "listens_on": self._options.url,
            **self._beside,
            "folder": str(self._folder),
            "key_file": str(self._key_file) if self._options.token_auth else None,
        }
