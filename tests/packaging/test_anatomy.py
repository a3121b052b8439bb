"""The codes that an imported bundle's labels get."""

from __future__ import annotations

from pydicom.sr.codedict import codes

from eisen_deploy.packaging._bundles import anatomy


def test_codes_of_organs_are_those_of_dicom():
    for name, value in anatomy._CODES.items():
        code = getattr(codes.SCT, name.title().replace(" ", ""))
        assert (code.meaning.lower(), code.value) == (name, value)
    assert anatomy.find_code("Adrenal_Gland") == "SCT:23451007"
    assert anatomy.find_code("left lung") is None
