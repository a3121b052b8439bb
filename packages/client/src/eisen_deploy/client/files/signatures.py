"""What a file really is, whatever its name: by its first bytes."""

from __future__ import annotations

from pathlib import Path

_SIZE = 1024

#: Offset, bytes there, and what such a file is; the first that fits counts.
_SIGNATURES: tuple[tuple[int, bytes | tuple[bytes, ...], str], ...] = (
    (0, b"\x89PNG", "a PNG file"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "), "a JPEG 2000 image"),
    (0, b"GIF8", "a GIF image"),
    (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftyp", "an HEIF image, or a film"),
    (128, b"DICM", "DICOM"),
    (344, b"n+1\0", "a NIfTI file"),
    (344, b"ni1\0", "the header of a NIfTI file in two parts"),
    (4, b"n+2\0", "a NIfTI file"),
    (4, b"ni2\0", "the header of a NIfTI file in two parts"),
    (0, b"\x93NUMPY", "an .npy file"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"PK\x05\x06", "an empty zip file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (0, b"Rar!", "a RAR file"),
    (257, b"ustar", "a tar file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"NRRD000", "an NRRD file"),
    (0, b"ObjectType = Image", "a MetaImage file"),
    (0, b"%PDF", "a PDF"),
    (0, (b"\xff\xfe", b"\xfe\xff"), "text in UTF-16"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, and not the file itself"),
    (0, b"BM", "a BMP image"),
)
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_PAGES = (b"<!doctype html", b"<html")


def identify(path: Path) -> str | None:
    """Return what a file is, such as ``a JPEG image``; ``None`` if its first bytes do not say."""
    with path.open("rb") as file:
        return identify_bytes(file.read(_SIZE))


def identify_bytes(head: bytes) -> str | None:
    """Return it by the first bytes of a file, or of what was compressed in it."""
    for offset, signature, what in _SIGNATURES:
        if head.startswith(signature, offset):
            return _describe_zip(head) if what == "a zip file" else what
    if head.startswith(_PICKLES):
        return "a pickle of Python objects"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:14].lower().startswith(_PAGES):
        return "a web page (HTML), as sites send it with an error or to log in"
    if head and not head.strip(b"\0"):
        return "nothing but zeros, as an interrupted copy leaves behind"
    return "text" if _is_text(head) else None


def _describe_zip(head: bytes) -> str:
    """Return whether a zip file is one of numpy: the name of its first member shows it."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return "an .npz file" if name.endswith(b".npy") else "a zip file"


def _is_text(head: bytes) -> bool:
    try:
        head[:-4].decode("utf-8")  # the last character may have been cut
    except UnicodeDecodeError as error:
        if error.start < len(head) - 8:
            return False
    return bool(head) and not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
