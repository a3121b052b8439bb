"""All DICOM files that pydicom and nibabel ship: the values that pydicom reads, or a reason.

highdicom ships none.
"""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from eisen_deploy.client import files

try:
    from pydicom.pixels import apply_modality_lut
except ImportError:  # before pydicom 3
    from pydicom.pixel_data_handlers import apply_modality_lut

PYDICOM = Path(pydicom.__file__).parent / "data"
NIBABEL = Path(nibabel.__file__).parent

READ = """
    charset_files/chrArab.dcm charset_files/chrFren.dcm charset_files/chrFrenMulti.dcm
    charset_files/chrGerm.dcm charset_files/chrGreek.dcm charset_files/chrH31.dcm
    charset_files/chrH32.dcm charset_files/chrHbrw.dcm charset_files/chrI2.dcm
    charset_files/chrRuss.dcm charset_files/chrX1.dcm charset_files/chrX2.dcm 693_J2KI.dcm
    CT_small.dcm ExplVR_BigEnd.dcm J2K_pixelrep_mismatch.dcm JPEG2000.dcm
    JPEGLSNearLossless_08.dcm JPEGLSNearLossless_16.dcm MR_small.dcm MR_small_RLE.dcm
    MR_small_bigendian.dcm MR_small_expb.dcm MR_small_implicit.dcm MR_small_jp2klossless.dcm
    MR_small_jpeg_ls_lossless.dcm MR_small_padded.dcm SC_jpeg_no_color_transform.dcm
    SC_jpeg_no_color_transform_2.dcm SC_rgb_dcmtk_+eb+cr.dcm SC_rgb_gdcm_KY.dcm
    SC_rgb_jls_lossy_line.dcm SC_rgb_jls_lossy_sample.dcm SC_rgb_jpeg.dcm
    SC_rgb_jpeg_app14_dcmd.dcm SC_rgb_jpeg_dcmd.dcm SC_rgb_rle.dcm SC_rgb_rle_16bit.dcm
    SC_rgb_rle_32bit.dcm SC_rgb_small_odd.dcm SC_rgb_small_odd_big_endian.dcm
    77654033/CR1/6154 77654033/CR2/6247 77654033/CR3/6278 77654033/CT2/17106
    77654033/CT2/17136 77654033/CT2/17166 77654033/CT2/17196 98892001/CT2N/6293
    98892001/CT2N/6924 98892001/CT5N/2062 98892001/CT5N/2392 98892001/CT5N/2693
    98892001/CT5N/3023 98892001/CT5N/3353 98892003/MR1/15820 98892003/MR1/4919
    98892003/MR1/5641 98892003/MR2/15970 98892003/MR2/4950 98892003/MR2/4981 98892003/MR2/5011
    98892003/MR2/6273 98892003/MR2/6605 98892003/MR2/6935 98892003/MR700/4467
    98892003/MR700/4528 98892003/MR700/4558 98892003/MR700/4588 98892003/MR700/4618
    98892003/MR700/4648 98892003/MR700/4678 examples_overlay.dcm examples_rgb_color.dcm
    image_dfl.dcm
"""

REFUSED = {
    "has no pixels": """
        charset_files/chrJapMulti.dcm charset_files/chrJapMultiExplicitIR6.dcm
        charset_files/chrKoreanMulti.dcm
    """,
    "not a complete DICOM object": """
        charset_files/chrSQEncoding.dcm charset_files/chrSQEncoding1.dcm UN_sequence.dcm
        empty_charset_LEI.dcm meta_missing_tsyntax.dcm nested_priv_SQ.dcm
        no_meta_group_length.dcm priv_SQ.dcm
    """,
    "is DICOM, but not an image: Color Palette": """
        palettes/fall.dcm palettes/hotiron.dcm palettes/hotmetalblue.dcm palettes/pet.dcm
        palettes/pet20step.dcm palettes/spring.dcm palettes/summer.dcm palettes/winter.dcm
    """,
    "is DICOM, but not an image: RT Ion Plan": """
        ExplVR_BigEndNoMeta.dcm ExplVR_LitEndNoMeta.dcm
    """,
    "has colours that are not RGB": """
        GDCMJ2K_TextGBR.dcm SC_rgb_dcmtk_+eb+cy+n1.dcm SC_rgb_dcmtk_+eb+cy+n2.dcm
        SC_rgb_dcmtk_+eb+cy+np.dcm SC_rgb_dcmtk_+eb+cy+s2.dcm SC_rgb_dcmtk_+eb+cy+s4.dcm
        SC_rgb_jpeg_dcmtk.dcm SC_rgb_jpeg_lossy_gdcm.dcm SC_rgb_small_odd_jpeg.dcm
        SC_ybr_full_422_uncompressed.dcm examples_jpeg2k.dcm examples_palette.dcm
    """,
    "is compressed as JPEG .* decoder is missing": """
        JPEG-lossy.dcm JPGExtended.dcm JPEG2000-embedded-sequence-delimiter.dcm
        SC_rgb_jpeg_gdcm.dcm
    """,
    "is cut off: 8130 of the 8192 bytes": """
        MR_truncated.dcm
    """,
    "is a multi-frame object": """
        SC_rgb_rle_16bit_2frame.dcm SC_rgb_rle_2frame.dcm SC_rgb_rle_32bit_2frame.dcm
        examples_ybr_color.dcm
    """,
    "is DICOM, but not an image: RT Dose": """
        badVR.dcm rtdose.dcm rtdose_1frame.dcm rtdose_expb.dcm rtdose_expb_1frame.dcm
        rtdose_rle.dcm rtdose_rle_1frame.dcm
    """,
    "is DICOM, but not an image: Media Directory": """
        DICOMDIR DICOMDIR-bigEnd DICOMDIR-empty.dcm DICOMDIR-implicit DICOMDIR-nooffset
        DICOMDIR-nopatient DICOMDIR-reordered TINY_ALPHA/DICOMDIR
    """,
    "is DICOM, but not an image: Segmentation": """
        liver_1frame.dcm liver_expb_1frame.dcm
    """,
    "is not DICOM": """
        no_meta.dcm
    """,
    "is DICOM, but not an image: Basic Text SR": """
        reportsi.dcm reportsi_with_empty_number_tags.dcm
    """,
    "is DICOM, but not an image: RT Plan": """
        rtplan.dcm rtplan_truncated.dcm
    """,
    "is DICOM, but not an image: RT Structure Set": """
        rtstruct.dcm
    """,
    "is DICOM, but not an image: Comprehensive SR": """
        test-SR.dcm
    """,
    "is DICOM, but not an image: 12-lead ECG Waveform": """
        waveform_ecg.dcm
    """,
    "is compressed by gzip": """
        zipMR.gz
    """,
}

#: Where nibabel has its own: below nicom/tests/data and tests/data.
READ_OF_NIBABEL = ["nicom/decimal_rescale.dcm", "nicom/slicethickness_empty_string.dcm"]
REFUSED_OF_NIBABEL = {
    "is compressed by gzip": """
        nicom/philips_mprage.dcm.gz nicom/siemens_dwi_0.dcm.gz nicom/siemens_dwi_1000.dcm.gz
    """,
    "is a Siemens mosaic": """
        nicom/0.dcm nicom/1.dcm nicom/csa_slice_norm.dcm tests/data/0.dcm tests/data/1.dcm
    """,
}

TINY = "TINY_ALPHA/PT000000/ST000000/SE000000/"


def locate(name):
    """Return where a library has a file."""
    if name.startswith(("nicom/", "tests/")):
        return NIBABEL / name.replace("nicom/", "nicom/tests/data/")
    folders = ("test_files", "test_files/dicomdirtests", ".")
    return next((PYDICOM / at / name for at in folders if (PYDICOM / at / name).exists()), None)


def cases(groups):
    return [
        pytest.param(name, reason, id=name)
        for reason, names in groups.items()
        for name in names.split()
    ]


def decoded(image):
    """Return an image's values as pydicom has them; ``None`` if no decoder takes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return apply_modality_lut(image.pixel_array, image)
        except Exception:  # noqa: BLE001 - of decoders
            return None


@pytest.mark.quick_cases(20)
@pytest.mark.parametrize("name", [*READ.split(), *READ_OF_NIBABEL])
def test_an_image_has_the_values_that_pydicom_reads(name):
    path = locate(name)
    if path is None:
        pytest.skip("not in this version")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = pydicom.dcmread(path)
    expected = decoded(image)
    if expected is None:
        assert image.file_meta.TransferSyntaxUID.is_compressed
        with pytest.raises(files.UnsupportedFile, match="decoder is missing"):
            files.read(path)
        return
    found = files.read(path, monochrome1="keep")
    if found.spatial == 3:
        assert found.grid.shape == (image.Columns, image.Rows, 1)
        assert found.value.shape == found.grid.shape
        value = found.value[:, :, 0].T
    else:
        value = np.moveaxis(found.value, 0, 2) if found.value.ndim == 3 else found.value
    np.testing.assert_array_equal(value, expected.astype(value.dtype))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "reason"), cases(REFUSED) + cases(REFUSED_OF_NIBABEL))
def test_what_is_not_read_is_refused_with_the_reason(name, reason):
    path = locate(name)
    if path is None:
        pytest.skip("not in this version")
    if "colours" in reason and decoded(pydicom.dcmread(path)) is None:
        reason += "|decoder is missing"
    with pytest.raises(files.FileError, match=reason):
        files.read(path, monochrome1="keep")


def test_headers_of_images_alone_are_refused():
    """Fifty headers that end before the rows and columns."""
    folder = PYDICOM / "test_files/dicomdirtests" / TINY
    assert len(list(folder.iterdir())) == 50
    for path in folder.iterdir():
        with pytest.raises(files.UnreadableFile, match="not a complete DICOM object"):
            files.read(path)


@pytest.mark.skipif(not pydicom.__version__.startswith("3.0"), reason="has other files")
def test_all_files_are_listed():
    listed = {*READ.split(), *(name for names in REFUSED.values() for name in names.split())}
    listed.add("TINY_ALPHA/README")
    there = {
        str(path.relative_to(PYDICOM)).replace("test_files/", "").replace("dicomdirtests/", "")
        for path in PYDICOM.rglob("*")
        if path.suffix in ("", ".dcm", ".gz") and path.is_file()
    }
    assert {name for name in there if not name.startswith(TINY)} == listed
    refused = [name for names in REFUSED_OF_NIBABEL.values() for name in names.split()]
    listed = {*READ_OF_NIBABEL, *refused}
    assert {locate(name) for name in listed} == set(NIBABEL.rglob("*.dcm*"))
    assert not list(Path(highdicom.__file__).parent.rglob("*.dcm"))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("philips_mprage", "multi-frame object"),
        ("siemens_dwi_0", "Siemens mosaic"),
        ("siemens_dwi_1000", "Siemens mosaic"),
    ],
)
def test_files_that_nibabel_ships_compressed(name, reason, tmp_path):
    packed = NIBABEL / f"nicom/tests/data/{name}.dcm.gz"
    (tmp_path / name).write_bytes(gzip.decompress(packed.read_bytes()))
    with pytest.raises(files.UnsupportedFile, match=reason):
        files.read(tmp_path / name)
