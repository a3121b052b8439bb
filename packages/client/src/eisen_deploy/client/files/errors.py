"""What can be wrong with a file.

::

    FileError
    ├── MissingExtra        a library that reads or writes it is not installed
    ├── UnreadableFile      it is not there, or is damaged
    ├── UnsupportedFile     it is sound, and of a sort that is not read or written here
    ├── UnwritableFile      it is there already, or cannot be written
    └── GeometryMismatch    what is to be written does not lie on the grid of the input
"""


class FileError(Exception):
    """Base of the errors of files.

    Its message does not name the file or folder that was given: the caller knows which one.
    """


class MissingExtra(FileError):
    """A library that reads or writes the file is not installed."""


class UnreadableFile(FileError):
    """There is no such file, or it is not what its name says, or it is damaged."""


class UnsupportedFile(FileError):
    """The file is sound, and of a sort that is not read or written here."""


class UnwritableFile(FileError):
    """The file exists already, or its folder cannot be written to."""


class GeometryMismatch(FileError):
    """An array cannot have the geometry that it should be given."""
