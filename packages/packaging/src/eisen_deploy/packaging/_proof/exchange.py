"""What a proof and its clean process say to each other, as JSON."""

from __future__ import annotations

from typing import TypedDict


class Allowed(TypedDict):
    """What the process may see of this machine.

    ``roots`` are the folders of the packages and modules that it may import, by dotted name;
    ``distributions`` the canonical names of those whose metadata it may read, in the folders
    ``sites``; ``folders`` those whose files it may open.
    """

    roots: dict[str, str]
    distributions: list[str]
    sites: list[str]
    folders: list[str]


class Task(Allowed):
    """What the process is to do.

    ``parts`` says of each file that will be unpickled what it is, by its path. It writes the
    outcome to the file ``report``. If it ``answers``, it does so only where the archive does not
    load; else it says a line, and answers what arrives on its standard input until that ends.
    """

    folder: str
    parts: dict[str, str]
    gpu_id: int | None
    report: str
    answers: bool


class Head(TypedDict):
    """The line before the body of a request, or of a reply, which has ``size`` bytes.

    ``status`` is that of a reply.
    """

    status: int
    headers: dict[str, str]
    size: int


class Link(TypedDict):
    """An error, or one of its causes: the module, the key or the file that was not there."""

    type: str
    module: str | None
    key: str | None
    file: str | None


class Failure(TypedDict):
    """Why the archive did not load; ``chain`` is the error and its causes."""

    type: str
    text: str
    differences: list[list[str]]
    chain: list[Link]
    traceback: str


class Outcome(TypedDict):
    """What the process found.

    ``part`` is what was unpickled last. ``hidden`` are files of this machine that were hidden from
    it; ``missing`` are modules and ``variables`` environment variables that were looked for in
    vain, each with the module that did so. ``states`` are the globals of the archive's own
    modules, if it failed.
    """

    error: Failure | None
    part: str
    hidden: list[str]
    missing: dict[str, str]
    variables: dict[str, str]
    imported: list[str]
    states: dict[str, dict[str, str]]
