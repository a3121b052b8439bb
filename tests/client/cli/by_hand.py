"""Readers and writers of headers that share nothing with what they check: structs and the formulas
of the standards.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

#: Fields of a NIfTI-1 header (nifti1.h): offset and form.
NIFTI1 = {
    "sizeof_hdr": (0, "i"),
    "dim_info": (39, "B"),
    "dim": (40, "8h"),
    "intent_code": (68, "h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "B"),
    "cal_max": (124, "f"),
    "toffset": (136, "f"),
    "descrip": (148, "80s"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern": (256, "3f"),
    "qoffset": (268, "3f"),
    "srow": (280, "12f"),
    "magic": (344, "4s"),
}
#: Likewise of NIfTI-2 (nifti2.h).
NIFTI2 = {
    "sizeof_hdr": (0, "i"),
    "magic": (4, "8s"),
    "datatype": (12, "h"),
    "bitpix": (14, "h"),
    "dim": (16, "8q"),
    "pixdim": (104, "8d"),
    "vox_offset": (168, "q"),
    "scl_slope": (176, "d"),
    "scl_inter": (184, "d"),
    "cal_max": (192, "d"),
    "toffset": (216, "d"),
    "descrip": (240, "80s"),
    "qform_code": (344, "i"),
    "sform_code": (348, "i"),
    "quatern": (352, "3d"),
    "qoffset": (376, "3d"),
    "srow": (400, "12d"),
    "xyzt_units": (500, "i"),
    "intent_code": (504, "i"),
    "dim_info": (524, "B"),
}
PLACE = ("qform_code", "sform_code", "quatern", "qoffset", "srow", "xyzt_units", "dim_info")


def nifti(voxels: np.ndarray, order: str = "<", version: int = 1, **changes) -> bytes:
    """Return a NIfTI file of bytes, with fields as they are given, by default 1 mm and no place."""
    fields, size = (NIFTI1, 348) if version == 1 else (NIFTI2, 540)
    values = {
        "sizeof_hdr": size,
        "dim": [voxels.ndim, *voxels.shape, *[1] * (7 - voxels.ndim)],
        "datatype": 2,
        "bitpix": 8,
        "pixdim": [1] * 8,
        "vox_offset": size + 4,
        "scl_slope": 1,
        "magic": b"n+1\0" if version == 1 else b"n+2\0\r\n\x1a\n",
        **changes,
    }
    head = bytearray(size + 4)
    for name, value in values.items():
        at, form = fields[name]
        parts = np.ravel(value).tolist() if not isinstance(value, bytes) else [value]
        struct.pack_into(order + form, head, at, *parts)
    return bytes(head) + voxels.astype("u1").tobytes(order="F")


def read_nifti(path: Path) -> tuple[dict, np.ndarray]:
    """Return the fields of a file's header, and its voxels without scaling."""
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    order = "<" if raw[:4] in (b"\x5c\1\0\0", b"\x1c\2\0\0") else ">"
    fields = (
        NIFTI1 if 348 in struct.unpack("<i", raw[:4]) + struct.unpack(">i", raw[:4]) else NIFTI2
    )
    header = {}
    for name, (at, form) in fields.items():
        found = struct.unpack_from(order + form, raw, at)
        header[name] = found[0] if len(found) == 1 else np.array(found)
    shape = header["dim"][1 : header["dim"][0] + 1]
    dtype = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2"}
    kind = np.dtype(order + dtype[header["datatype"]])
    voxels = np.frombuffer(raw, kind, math.prod(map(int, shape)), int(header["vox_offset"]))
    return header, voxels.reshape(shape, order="F")


def placements(header: dict) -> dict[str, np.ndarray]:
    """Return the affines of a header by the methods of nifti1.h, as its numbers stand."""
    size, affines = np.array(header["pixdim"][1:4], float), {}
    if header["sform_code"] > 0:
        affines["method 3"] = np.vstack([np.reshape(header["srow"], (3, 4)), [0, 0, 0, 1]])
    if header["qform_code"] > 0:
        b, c, d = header["quatern"]
        rest = 1 - b * b - c * c - d * d
        if rest < 1e-7:  # as nifti1_io.c has it: 24 bits say no more
            b, c, d = header["quatern"] / np.linalg.norm(header["quatern"])
        a = math.sqrt(rest) if rest >= 1e-7 else 0
        turn = [
            [a * a + b * b - c * c - d * d, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
            [2 * b * c + 2 * a * d, a * a + c * c - b * b - d * d, 2 * c * d - 2 * a * b],
            [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a * a + d * d - c * c - b * b],
        ]
        qfac = -1 if header["pixdim"][0] < 0 else 1
        affine = np.eye(4)
        affine[:3, :3] = np.array(turn) @ np.diag(size * [1, 1, qfac])
        affine[:3, 3] = header["qoffset"]
        affines["method 2"] = affine
    return affines or {"method 1": np.diag([*size, 1])}


def quaternion(turn: np.ndarray) -> list[float]:
    """Return b, c, d of a rotation, by eigenvectors (Bar-Itzhack, 2000)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = turn
    lower = [
        [xx - yy - zz, 0, 0, 0],
        [xy + yx, yy - xx - zz, 0, 0],
        [xz + zx, yz + zy, zz - xx - yy, 0],
        [zy - yz, xz - zx, yx - xy, xx + yy + zz],
    ]
    values, vectors = np.linalg.eigh(np.array(lower), UPLO="L")
    b, c, d, a = vectors[:, np.argmax(values)]
    return [float(x) * (-1 if a < 0 else 1) for x in (b, c, d)]


def dicom_places(image, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return where pixels of an image lie, in RAS+ (PS3.3, C.7.6.2.1.1, with its LPS turned)."""
    x, y = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, image.PixelSpacing)
    places = np.array(image.ImagePositionPatient, float)[:, None]
    places = places + np.outer(x * between_columns, columns) + np.outer(y * between_rows, rows)
    return places * [[-1], [-1], [1]]
