"""What can go wrong on the way into an archive.

::

    EisenPackagingError
    ├── InvalidMetadata            the metadata, or what create_metadata makes it of
    ├── InvalidArgument            another argument of EisenServingMAR or of pack
    │   ├── InvalidHandler         handler=
    │   ├── InvalidFiles           additional_files=, code_paths=
    │   ├── InvalidRequirements    requirements=
    │   ├── InvalidSample          sample=, tolerance=
    │   ├── InvalidServingOptions  serving=
    │   └── UnsupportedModel       the model cannot be packed, or not with this handler
    ├── ProofFailed                the sample fails, or gets another reply in a clean process
    ├── NotSerializable            the model or a transform cannot be written to a file
    ├── UnresolvedCode             they need a module that no server would find
    ├── ArchiveExists              the target is there already, and overwrite= was not given
    ├── ArchiveNotWritten          the file system refused: full, read-only, no permission, ...
    └── IncompleteInstallation     a distribution that travels in the archive is not installed

The mistakes in all arguments of one call are one error. Where they are of several of these classes,
it is an InvalidArgument.

Whichever is raised, no archive has appeared and one that was there is as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class EisenPackagingError(Exception):
    """Base of all errors that this distribution raises.

    :param problems: one sentence for each thing that is wrong.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class InvalidMetadata(EisenPackagingError):
    """The metadata, or an argument of ``create_metadata``, cannot be used; lists every problem."""


class InvalidArgument(EisenPackagingError):
    """An argument of ``EisenServingMAR`` or of ``pack`` cannot be used."""


class InvalidHandler(InvalidArgument):
    """The handler is neither a file that can handle requests nor a handler of TorchServe."""


class InvalidFiles(InvalidArgument):
    """Files that were passed cannot travel in the archive; lists every problem."""


class InvalidRequirements(InvalidArgument):
    """Some of ``requirements`` cannot be read (:pep:`508`); lists every problem."""


class InvalidServingOptions(InvalidArgument):
    """Options of ``serving=`` are unknown, of a wrong value, or of no use with the model."""


class InvalidSample(InvalidArgument):
    """The metadata does not allow the sample, or ``tolerance`` is wrong; lists every problem."""


class UnsupportedModel(InvalidArgument):
    """The model has a form that cannot be packed, or that the handler cannot load."""


class NotSerializable(EisenPackagingError):
    """The model or a transform cannot be written to a file.

    :param part: ``"model"``, ``"pre_processing"`` or ``"post_processing"``.
    :param reason: what the serializer said.
    """

    def __init__(self, part: str, reason: str) -> None:
        self.part = part
        super().__init__(f"{part} cannot be serialized: {reason}")


class UnresolvedCode(EisenPackagingError):
    """Model or transforms need modules that no server would find; lists each, with the remedy."""


class ProofFailed(EisenPackagingError):
    """The archive does not do in a clean process what model and transforms do in this one.

    :param differences: each output that is not as expected: its name, what was expected and what
        it got, and the largest difference. Empty where there were no outputs.
    """

    def __init__(
        self, problems: str | Iterable[str], differences: Iterable[Sequence[str]] = ()
    ) -> None:
        self.differences = tuple(tuple(found) for found in differences)
        super().__init__(problems)


class ArchiveExists(EisenPackagingError):
    """There is something at the target path, and ``overwrite=True`` was not given."""


class ArchiveNotWritten(EisenPackagingError):
    """The file system refused to hold the archive; the cause says more."""


class IncompleteInstallation(EisenPackagingError):
    """A distribution that travels inside every archive is not installed here."""
