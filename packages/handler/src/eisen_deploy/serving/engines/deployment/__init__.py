"""The files with which others run archives: an image, Kubernetes manifests, a systemd unit.

::

    plan        verified archives and options -> everything that the files say
    names       what Kubernetes and KServe accept as names and addresses
    quoting     values -> text that each file's format reads as just these values
    rendering   templates and a plan -> files
"""
