"""An archive's serving options, as far as the handler applies them: device, threads, compiling.

The precision is applied where the model runs, in ``model``. Workers, batches and time are the
server's business.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from .._shared.errors import ContractError
from .._shared.model import serving_options
from .._shared.model.serving_options import ServingOptions
from .._shared.wire import strict_json
from ..cores import count_cores
from ..errors import LoadFailed

_log = logging.getLogger("eisen_deploy.serving")


def read_options(folder: Path, name: str | None) -> ServingOptions:
    """Read the options of a verified archive.

    :param name: their file, as ``eisen.json`` names it; ``None``: every option at its default.
    :raises LoadFailed: if they are not options that packaging writes.
    """
    if name is None:
        return ServingOptions()
    try:
        config = strict_json.loads_object((folder / name).read_bytes(), name)
        return serving_options.from_config(config)
    except ContractError as error:
        raise LoadFailed(str(error)) from None


def pick_device(options: ServingOptions, gpu_id: int | None) -> torch.device:
    """Return the device that a model goes to.

    :param gpu_id: number of the GPU that the server assigns; ``None`` if it assigns none.
    :raises LoadFailed: if the options ask for a GPU that the server does not have.
    """
    if options.device == "cpu":
        return torch.device("cpu")
    if gpu_id is not None and torch.cuda.is_available():
        return torch.device("cuda", gpu_id)
    if options.device == "cuda":
        found = "assigns no GPU to this worker" if gpu_id is None else "has a torch without CUDA"
        raise LoadFailed(f"the serving options ask for device cuda, and the server {found}")
    return torch.device("cpu")


def count_threads(
    options: ServingOptions, workers: int | None, environment: Mapping[str, str], cores: int
) -> int | None:
    """Return how many threads torch may use for one operator; ``None`` leaves it as it is.

    The option decides, else ``OMP_NUM_THREADS`` of the environment, which torch reads itself; else
    the cores are shared among the workers of the model, if it is known how many there are.

    :param workers: that the server starts for this model, unless the options say how many.
    :param cores: that this process may use.
    """
    if options.threads is not None:
        return options.threads
    workers = options.workers or workers
    if "OMP_NUM_THREADS" in environment or workers is None:
        return None
    return max(1, cores // workers)


def use_threads(options: ServingOptions, workers: int | None) -> None:
    """Set how many threads torch uses, for all of this process.

    :param workers: processes that share this machine's cores for this model, if that is known.
    """
    threads = count_threads(options, workers, os.environ, count_cores())
    if threads is not None:
        torch.set_num_threads(threads)
    _log.info("torch uses %d threads", torch.get_num_threads())


def compile_module(
    module: torch.nn.Module, options: ServingOptions, device: torch.device
) -> torch.nn.Module:
    """Return a module as ``torch.compile`` makes it, if the options ask for that.

    The module itself is compiled at its first call, and again at sizes that it has not seen. What
    the compiler needs on the server is tried out here, on a sum, so that a server without
    it refuses the archive.

    :raises LoadFailed: if this server cannot compile; it says what torch says.
    """
    if options.compile is False:
        return module
    mode = options.compile if isinstance(options.compile, str) else None
    try:
        with warnings.catch_warnings():
            # torch's own imports of what it calls deprecated, and its advice on tuning
            warnings.simplefilter("ignore")
            torch.compile(_sum)(torch.ones(2, device=device))
            made = torch.compile(module, mode=mode)
    except Exception as error:
        raise LoadFailed(
            f"the serving options ask for compile, and torch.compile fails on {device}: "
            f"{_quote_first_line(error)}"
        ) from error
    _log.info("torch.compile (%s) is used on %s", mode or "default", device)
    return cast("torch.nn.Module", made)


def _sum(x: torch.Tensor) -> torch.Tensor:
    return x + x.sum()


def _quote_first_line(error: Exception) -> str:
    """Return class and first line: advice on how to report a bug to torch follows it."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
