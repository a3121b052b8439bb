"""A complete Serve config for archives, each line with what it is for.

``serve run``, ``serve deploy`` and KubeRay (``serveConfigV2``) read it.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from eisen_deploy.serving.engines.environment.allocator import ALLOCATOR, Variable
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.served_archives import ServedArchive

from .local.engine import make_http_options

_TEMPLATE = """\
# Ray Serve with the archives below. A running Ray takes it by "serve deploy serve.yaml"; "serve run
# serve.yaml" starts a Ray of one node; KubeRay has it as serveConfigV2 of a RayService.
#
# Every node needs: python -m pip install "eisen-deploy-handler[ray]" torch
# and, before "ray start", these variables:
#   RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=eisen_deploy.serving.ray:middlewares
#     what Ray's proxy answers itself becomes a typed error
#   EISEN_MAX_BODY={max_body}
#     the proxy takes no larger body; without it, it reads all that a client sends
#   RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH with a file
#     without a token, whoever reaches a port of Ray or of a replica can run code
#   RAY_USAGE_STATS_ENABLED=0
#     Ray sends nothing to its makers
#   RAY_worker_niceness=0
#     models get the processor like any other process; with Ray's 15, after every other one
{variables}

# Where HTTP is answered: EveryNode that has a replica, or HeadOnly.
proxy_location: EveryNode

http_options:
  # 0.0.0.0 is every address of a node: then clients need a token, and TLS a certificate or a proxy.
  host: {host}
  port: {port}
  # Above twice the largest response timeout, because a request may wait for its turn as long as it
  # may take. This ends requests for which no replica runs.
  request_timeout_s: {request_timeout_s}
  # Longer than a load balancer keeps a connection.
  keep_alive_timeout_s: {keep_alive_timeout_s}
{tls}

# Of the proxies and the controller; each application has its own below.
logging_config:
  log_level: INFO
  enable_access_log: false

applications:
  - name: eisen-deploy
    # With / the addresses are those of every other engine.
    route_prefix: /
    import_path: eisen_deploy.serving.ray:build
    logging_config:
      log_level: INFO
      # A line for each request costs time; true writes it.
      enable_access_log: false
    args:
      # Paths that every node has, or https://, s3://, gs:// and others that fsspec reads. One
      # with another digest is refused: change the digest together with the file.
      archives:
{archives}
      # The largest request and the largest reply: bytes, or such as 512MiB.
      max_body: {max_body}
      # Seconds for an answer, where the archive does not say it.
      response_timeout: {response_timeout}
      # A file, on every node, with the token that clients have to send.
      {token}
      # Requests that may wait for each model; one more is answered with 503.
      queue: 100
      # Replicas of each archive; without it as the archive says (workers), or 1.
      {replicas}
      # Cores for each replica, and torch's threads; without it as the archive says (threads), or 1.
      # cpus: 1
      # GPUs for each replica, or a part of one.
      {gpus}
      # In place of replicas: their number follows the load.
      # autoscaling:
      #   min_replicas: 1
      #   max_replicas: 4
      #   target_ongoing_requests: 2
      #   upscale_delay_s: 30
      #   downscale_delay_s: 600
      # A folder for archives on each node; without it one below the temporary folder.
      # cache: /var/cache/eisen-deploy
"""


#: A file that every node has, with the token.
TOKEN = "/etc/eisen-deploy/token"  # noqa: S105 - a path


def render(
    archives: Sequence[ServedArchive], options: Options, gpus: int, *, token_file: str = TOKEN
) -> str:
    """Return the text of a Serve config.

    :param archives: at the paths that every node has.
    :param gpus: of this machine: with any, each replica gets one.
    :param token_file: where every node has the token, if clients have to send one.
    """
    timeouts = [each.serving.response_timeout or options.response_timeout for each in archives]
    http = make_http_options(options, max(timeouts))
    return _TEMPLATE.format(
        variables="\n".join(map(_explain_variable, ALLOCATOR)),
        host=json.dumps(options.host),
        port=options.port,
        request_timeout_s=http["request_timeout_s"],
        keep_alive_timeout_s=http["keep_alive_timeout_s"],
        tls=_render_tls(options),
        archives="\n".join(map(_render_archive, archives)),
        max_body=options.max_body,
        response_timeout=options.response_timeout,
        token=_line(options.token_auth, f"token_file: {json.dumps(token_file)}"),
        replicas=_line(options.workers is not None, f"replicas: {options.workers or 1}"),
        gpus=_line(gpus > 0, "gpus: 1"),
    )


def _render_archive(archive: ServedArchive) -> str:
    lines = [
        f"# {archive.name} {archive.version}",
        f"- url: {json.dumps(str(archive.path.absolute()))}",
        f"  digest: {archive.digest}",
    ]
    return textwrap.indent("\n".join(lines), " " * 8)


def _render_tls(options: Options) -> str:
    given = options.tls_cert is not None
    cert, key = options.tls_cert or "/etc/eisen-deploy/cert.pem", options.tls_key
    lines = [
        "# TLS by the proxies themselves: files that every node has, the key not encrypted.",
        _line(given, f"ssl_certfile: {json.dumps(str(cert))}"),
        _line(given, f"ssl_keyfile: {json.dumps(str(key or '/etc/eisen-deploy/key.pem'))}"),
    ]
    return textwrap.indent("\n".join(lines), "  ")


def _line(holds: bool, line: str) -> str:
    """Return a line, as a comment where it is only an example."""
    return line if holds else f"# {line}"


def _explain_variable(variable: Variable) -> str:
    return f"#   {variable.name}={variable.value}\n#     {variable.reason}"
