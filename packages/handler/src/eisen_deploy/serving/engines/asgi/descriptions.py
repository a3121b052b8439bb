"""What a model declares, as the Open Inference Protocol and as OpenAPI describe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from eisen_deploy.serving.runtime._shared.model.metadata import Field, Metadata
from eisen_deploy.serving.runtime._shared.wire.datatypes import DATATYPE_OF_NUMPY
from eisen_deploy.serving.runtime.messages import Reply

from .addresses import Kind
from .replies import json_reply

_DATATYPES = {"int": "INT64", "float": "FP64", "bool": "BOOL"}
_JSON_TYPES = {"str": "string", "list": "array", "int": "integer", "float": "number"}
_JSON_TYPES |= {"bool": "boolean", "ndarray": "array"}
_ERRORS = {
    400: "The body is malformed.",
    401: "The token is missing or wrong.",
    404: "There is no such model or version.",
    413: "The request or its reply is too large.",
    415: "Bodies of this type are not read.",
    422: "The request goes against the metadata.",
    500: "The model or a transform failed.",
    503: "Nothing was executed; the request can be sent again.",
    504: "The model took too long.",
    507: "The request does not fit into memory.",
}


#: What the server is called in its metadata.
SERVER = "eisen-serve"


def describe_server(libraries: Sequence[str]) -> dict[str, object]:
    """Return the protocol's metadata of the server, and beside them the versions of libraries."""
    return {
        "name": SERVER,
        "version": version("eisen-deploy-handler"),
        "extensions": ["binary_tensor_data"],
        "libraries": {name: _find_version(name) for name in libraries},
    }


def describe_health(kind: Kind, ready: bool, model: str | None) -> Reply:
    """Answer an address that asks whether the server, or a model, is there."""
    if kind is Kind.LIVE:
        return json_reply({"live": True})
    status = 200 if ready else 503
    if kind is Kind.PING:
        return json_reply({"status": "Healthy" if ready else "Unhealthy"}, status)
    said = {"ready": ready} if kind is Kind.READY else {"name": model, "ready": ready}
    return json_reply(said, status)


def _find_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe_model(name: str, model_version: str, metadata: Metadata) -> dict[str, object]:
    """Return the protocol's metadata of a model.

    An array that declares no element type is given as ``FP32``: numbers of any type are taken.
    Values that are not arrays travel as ``BYTES`` or as one number.
    """
    return {
        "name": name,
        "versions": [model_version],
        "platform": "pytorch",
        "inputs": [_describe_field(field) for field in metadata.inputs or ()],
        "outputs": [_describe_field(field) for field in metadata.outputs or ()],
    }


def describe_api(
    name: str, model_version: str, metadata: Metadata, *, url_part: str | None = None
) -> dict[str, object]:
    """Return a description of the prediction address in the form of OpenAPI 3.1.

    :param url_part: how the address names the model; by default by its name alone.
    """
    answers: dict[str, object] = {
        "200": {
            "description": "The outputs.",
            "content": _content(metadata.outputs or ()),
        }
    }
    answers |= {
        str(status): {
            "description": text,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, text in _ERRORS.items()
    }
    operation = {
        "summary": f"Predict with {name} {model_version}; an empty body asks for the metadata.",
        "operationId": "predict" if url_part is None else f"predict {url_part}",
        "requestBody": {"content": _content(metadata.inputs or ())},
        "responses": answers,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": model_version},
        "paths": {f"/predictions/{url_part or name}": {"post": operation}},
        "components": {"schemas": {"Error": _ERROR}},
    }


def merge_apis(apis: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return one description of several models' addresses."""
    server = describe_server(())
    paths: dict[str, object] = {}
    for api in apis:
        found = api["paths"]
        assert isinstance(found, dict)  # noqa: S101 - by describe_api
        paths |= found
    info = {"title": server["name"], "version": server["version"]}
    return {**apis[0], "info": info, "paths": paths}


_ERROR: dict[str, object] = {
    "type": "object",
    "required": ["code", "type", "message", "problems"],
    "properties": {
        "code": {"type": "integer"},
        "type": {"type": "string"},
        "message": {"type": "string"},
        "error": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "string"}},
    },
}


def _describe_field(field: Field) -> dict[str, object]:
    kind = "json" if field.type is None else field.type.kind
    if kind != "ndarray" or field.type is None:
        return {"name": field.name, "datatype": _DATATYPES.get(kind, "BYTES"), "shape": [1]}
    dtype, shape = field.type.dtype, list(field.shape or (-1,))
    if dtype is None:
        return {"name": field.name, "datatype": "FP32", "shape": shape}
    if dtype.kind == "c":  # as its real and its imaginary part, on a last axis
        return {"name": field.name, "datatype": f"FP{dtype.itemsize * 4}", "shape": [*shape, 2]}
    datatype = DATATYPE_OF_NUMPY[dtype.kind, dtype.itemsize]
    return {"name": field.name, "datatype": datatype, "shape": shape}


def _content(fields: Sequence[Field]) -> dict[str, object]:
    properties = {field.name: _schema(field) for field in fields}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "application/json": {"schema": schema},
        "application/octet-stream": {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": "the Open Inference Protocol with binary tensors; the header "
                "Inference-Header-Content-Length gives the size of its JSON part",
            }
        },
    }


def _schema(field: Field) -> dict[str, object]:
    kind = None if field.type is None else field.type.kind
    schema: dict[str, object] = {} if kind is None else {"description": str(field.type)}
    if kind in _JSON_TYPES:
        schema["type"] = _JSON_TYPES[kind]
    if field.shape is not None:
        schema["description"] = f"{field.type}, shape {list(field.shape)} (-1: any size)"
    return schema
