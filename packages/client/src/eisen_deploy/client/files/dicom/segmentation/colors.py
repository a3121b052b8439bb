"""Colours as DICOM stores them: CIELab in three numbers of 16 bits (PS3.3, C.10.7.1.1)."""

from __future__ import annotations

import numpy as np

from eisen_deploy.client.files.segments import Color

#: From linear sRGB to XYZ, and its white. DICOM's Lab is used with that of a daylight (D65).
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def to_cielab(color: Color) -> list[int]:
    """Return the stored numbers of L*, a* and b* of an sRGB colour.

    :param color: red, green and blue, 0 to 255.
    """
    part = np.array(color, float) / 255
    linear = np.where(part > 0.04045, ((part + 0.055) / 1.055) ** 2.4, part / 12.92)
    xyz = _TO_XYZ @ linear / _WHITE
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * 841 / 108 + 4 / 29)
    lab = np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])
    stored = (lab - [0, -128, -128]) / [100, 255, 255] * 65535
    return [int(number) for number in np.rint(stored).clip(0, 65535)]
