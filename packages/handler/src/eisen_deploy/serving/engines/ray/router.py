"""Several archives behind one address: requests go to the replicas of the model that they name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from eisen_deploy.serving.engines.asgi import descriptions
from eisen_deploy.serving.engines.asgi.addresses import Address, Kind
from eisen_deploy.serving.engines.asgi.application import Front
from eisen_deploy.serving.engines.asgi.bodies import Incoming
from eisen_deploy.serving.engines.asgi.replies import Receive, json_reply
from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime.errors import NotExecuted, TimedOut
from eisen_deploy.serving.runtime.messages import Reply

from .counters import make_refusal
from .errors import ReplicaLost
from .replica import Exchanged, Replica, prepare_settings

_log = logging.getLogger("eisen_deploy.serving")

#: Seconds for which what Ray says of the replicas is not asked again.
_FRESH = 1.0
#: Seconds for which Ray's answer is waited for: it knows nothing new while its head is away.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Routed:
    """A model that requests go to.

    :param url_part: how an address names it: by its name, and with the version if several versions
        are served.
    :param deployment: the name of its deployment.
    :param patience: seconds after which its answer is not waited for any more: it has as long for
        its turn as for itself.
    """

    name: str
    version: str
    url_part: str
    metadata: Mapping[str, object]
    deployment: str
    handle: DeploymentHandle[Replica]
    patience: float

    @property
    def described(self) -> tuple[str, str, Metadata]:
        """What descriptions are made of."""
        return self.name, self.version, Metadata.parse(self.metadata)


class Router(Front):
    """The application in front of several models."""

    def __init__(self, models: Sequence[Routed], settings: Settings) -> None:
        super().__init__(settings)
        self._models = models
        self._running: frozenset[str] = frozenset()
        self._asking: asyncio.Task[None] | None = None
        self._asked = float("-inf")

    def _explain_unserved(self, address: Address | None) -> str | None:
        if address is None:
            return f"nothing is here: predictions are at {self._list_addresses(self._models)}"
        if address.model is None:
            return None
        found = self._find(address)
        if len(found) > 1:
            return f"several versions are served, name one: {self._list_addresses(found)}"
        return None if found else f"the models that are served here are {self._list_models()}"

    def _find(self, address: Address) -> list[Routed]:
        return [
            model
            for model in self._models
            if address.model == model.name and address.version in (None, model.version)
        ]

    def _list_addresses(self, models: Sequence[Routed]) -> str:
        return ", ".join(f"/predictions/{model.url_part}" for model in models)

    def _list_models(self) -> str:
        return ", ".join(f"{model.name} {model.version}" for model in self._models)

    async def _respond(
        self,
        address: Address,
        headers: Mapping[str, str],
        incoming: Incoming,
        receive: Receive,
    ) -> Reply:
        del receive  # Ray cancels the request of a client that goes away
        if address.model is None:
            return await self._describe(address.kind)
        [model] = self._find(address)
        if address.kind is Kind.PREDICTION:
            return await _predict(model, headers, await incoming.read())
        if address.kind is Kind.MODEL:
            return json_reply(descriptions.describe_model(*model.described))
        ready = model.deployment in await self._list_running()
        return descriptions.describe_health(address.kind, ready, model.name)

    async def _describe(self, kind: Kind) -> Reply:
        """Answer what is about all models."""
        if kind is Kind.METRICS:
            raise make_refusal()
        if kind is Kind.SERVER:
            return json_reply(descriptions.describe_server(self._settings.libraries))
        if kind is Kind.OPENAPI:
            each = [
                descriptions.describe_api(*model.described, url_part=model.url_part)
                for model in self._models
            ]
            return json_reply(descriptions.merge_apis(each))
        running = await self._list_running()
        ready = all(model.deployment in running for model in self._models)
        return descriptions.describe_health(kind, ready, None)

    async def _list_running(self) -> frozenset[str]:
        """Return the deployments of which a replica runs, as far as Ray has said."""
        if self._asking is None and time.monotonic() - self._asked > _FRESH:
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=_PATIENCE)
        return self._running

    async def _ask(self) -> None:
        try:
            self._running = await asyncio.to_thread(_ask_for_running)
        except Exception:  # noqa: BLE001 - the head is away: what it said before holds
            _log.exception("Ray does not say which replicas run")
        self._asked, self._asking = time.monotonic(), None


class RouterReplica:
    """The router in a process of its own."""

    def __init__(self, models: Sequence[Routed], settings: Settings, replicas: int) -> None:
        self._router = Router(models, prepare_settings(settings, replicas))

    def __serve_build_asgi_app__(self) -> Router:
        """Return what answers HTTP."""
        return self._router


def _ask_for_running() -> frozenset[str]:
    application = serve.get_replica_context().app_name
    status = serve.status().applications[application]
    return frozenset(
        name
        for name, deployment in status.deployments.items()
        if any(count and state == "RUNNING" for state, count in deployment.replica_states.items())
    )


async def _predict(model: Routed, headers: Mapping[str, str], body: bytearray) -> Reply:
    """Let a replica of a model answer.

    :raises ServingError: if none does.
    """
    # As an array the body is copied only once on its way into Ray's shared memory.
    response = model.handle.exchange.remote(dict(headers), np.frombuffer(body, np.uint8))
    try:
        exchanged: Exchanged = await asyncio.wait_for(response, model.patience)
    except asyncio.TimeoutError:
        response.cancel()  # type: ignore[no-untyped-call]
        raise TimedOut(f"no replica answered within {model.patience:g} s") from None
    except (BackPressureError, DeploymentUnavailableError) as error:
        _log.warning("nothing was executed: %s", error)
        raise NotExecuted(
            f"no replica of {model.name} {model.version} takes the request; nothing was executed, "
            "the request can be sent again"
        ) from None
    except RayError as error:
        _log.warning("a replica was lost: %s", error)
        raise ReplicaLost(
            f"the replica of {model.name} {model.version} that had the request was lost"
        ) from None
    buffers = tuple(bytes(buffer) for buffer in exchanged.buffers)
    return Reply(buffers, exchanged.status, exchanged.headers)
