"""Request and reply bodies of the Open Inference Protocol, with its binary tensor extension.

Source: the protocol's *Inference Request/Response JSON Object* and *Binary Tensor Data*
extension, as served by KServe and Triton. A body is a JSON object, then the raw tensors in the
order in which the JSON lists them, with nothing between them; the JSON part may end in spaces.

This module is the whole of it by one name: :mod:`.messages`, :mod:`.encoding`, :mod:`.decoding`.
"""

from .decoding import (
    MAX_TENSORS,
    decode_parsed_request,
    decode_reply,
    decode_request,
    is_request,
    parse_json_size,
)
from .encoding import encode_reply, encode_request
from .messages import BINARY_TYPE, JSON_TYPE, LENGTH_HEADER, Body, Reply, Request

__all__ = [
    "BINARY_TYPE",
    "JSON_TYPE",
    "LENGTH_HEADER",
    "MAX_TENSORS",
    "Body",
    "Reply",
    "Request",
    "decode_parsed_request",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "is_request",
    "parse_json_size",
]
