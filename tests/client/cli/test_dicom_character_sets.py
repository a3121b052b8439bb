"""Text in DICOM segmentations: patients' names and labels, for each character set of the images."""

from __future__ import annotations

import os

import highdicom
import numpy as np
import pydicom
import pytest

from eisen_deploy.client import files

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom warns of some of these sets

GERMAN, LEBANESE, RUSSIAN = "Müller^Jörg", "قباني^لنزار", "Люксембург^Роза"
KANJI, HANGUL = "Yamada^Tarou=山田^太郎", "Hong^Gildong=洪^吉洞=홍^길동"
KANA = "ﾔﾏﾀﾞ^ﾀﾛｳ"
#: Names with escape sequences, as the standard has them (PS3.5, H.3, I.2 and K.2).
KANJI_BYTES = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
KANA_BYTES = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3"
BOTH_BYTES = KANA_BYTES + b"=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
HANGUL_BYTES = (
    b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
)
CHINESE_BYTES = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"
#: Specific Character Set, a name that the images have in it, and its bytes or their encoding.
SETS = [
    (None, "Doe^Jane", "ascii"),
    ("", "Doe^Jane", "ascii"),
    ("ISO_IR 6", "Doe^Jane", "ascii"),
    ("ISO 2022 IR 6", "Doe^Jane", "ascii"),
    ("ISO_IR 100", GERMAN, "iso8859_1"),
    ("ISO 2022 IR 100", GERMAN, "iso8859_1"),
    ("ISO_IR 101", "Wałęsa^Lech", "iso8859_2"),
    ("ISO 2022 IR 101", "Wałęsa^Lech", "iso8859_2"),
    ("ISO_IR 109", "Ħaż-Żebbuġ^Ġorġ", "iso8859_3"),
    ("ISO_IR 110", "Bērziņš^Jānis", "iso8859_4"),
    ("ISO_IR 126", "Διονυσιος^Ελενη", "iso8859_7"),
    ("ISO 2022 IR 126", "Διονυσιος^Ελενη", "iso8859_7"),
    ("ISO_IR 127", LEBANESE, "iso8859_6"),
    ("ISO_IR 138", "שרון^דבורה", "iso8859_8"),
    ("ISO_IR 144", RUSSIAN, "iso8859_5"),
    ("ISO 2022 IR 144", RUSSIAN, "iso8859_5"),
    ("ISO_IR 148", "Yılmaz^Işık", "iso8859_9"),  # noqa: RUF001 - it is Turkish
    ("ISO_IR 166", "นามสกุล^ชื่อ", "tis_620"),
    ("ISO_IR 203", "Œuvre^Žofia", "iso8859_15"),
    ("ISO_IR 13", KANA, KANA_BYTES),
    ("\\ISO 2022 IR 87", KANJI, KANJI_BYTES),
    ("ISO 2022 IR 87", KANJI, KANJI_BYTES),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", f"{KANA}=山田^太郎", BOTH_BYTES),
    ("\\ISO 2022 IR 87\\ISO 2022 IR 159", f"{KANJI}=丂", KANJI_BYTES + b"=\x1b$(D0!\x1b(B"),
    ("\\ISO 2022 IR 149", HANGUL, HANGUL_BYTES),
    ("ISO 2022 IR 6\\ISO 2022 IR 149", HANGUL, HANGUL_BYTES),
    ("ISO 2022 IR 149", HANGUL, HANGUL_BYTES),
    ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东", CHINESE_BYTES),
    ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东", "gb2312"),
    ("\\ISO 2022 IR 149", HANGUL, "euc_kr"),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", "Jörg=Роза", b"J\xf6rg=\x1b-L\xc0\xde\xd7\xd0"),
    ("GB18030", "Wang^XiaoDong=王^小东", "gb18030"),
    ("GBK", "Wang^XiaoDong=王^小东", "gbk"),
    ("ISO_IR 192", f"{HANGUL}𠮷", "utf-8"),
    ("ISO_IR 192\\ISO 2022 IR 87", KANJI, "utf-8"),
    ("ISO-IR 100", GERMAN, "iso8859_1"),
    ("ISO 2022-IR 100", GERMAN, "iso8859_1"),
    ("latin1", GERMAN, "iso8859_1"),
    ("UTF8", HANGUL, "utf-8"),
    ("no such set", GERMAN, "iso8859_1"),
]
LABELS = {
    "ASCII": "Left lobe of liver, S2/S3",
    "Latin": "Größter Tumor, œdème",
    "Greek": "Ήπαρ και σπλήνας",
    "Cyrillic": "Правая почка, ёж",
    "Japanese": "肝臓の腫瘍・カンゾウ",
    "Korean": "간의 종양",
    "Chinese": "肝脏肿瘤𠮷",
    "Arabic": "ورم في الكبد",
    "Hebrew": "גידול בכבד",
    "Thai": "เนื้องอกในตับ",
}


#: Labels tried with each set: ``CHARACTER_SET_LABELS=10`` tries them all, in half a minute.
COUNT = int(os.environ.get("CHARACTER_SET_LABELS", "1"))


@pytest.fixture
def images(slices, oblique, write_series):
    """Write a small series whose patient has a name in a character set.

    The bytes are put into the files afterwards: pydicom encodes some sets otherwise.
    """

    def write(terms, name, encoding):
        volume, affine = oblique
        made = slices(volume[:4, :4, :3], affine)
        encoded = name.encode(encoding) if isinstance(encoding, str) else encoding
        put = {b"A": (terms or "").encode(), b"B": encoded, b"C": encoded}
        put = {key: value + b" " * (len(value) % 2) for key, value in put.items()}
        for image in made:
            if terms is not None:
                image.SpecificCharacterSet = "A" * len(put[b"A"])
            image.PatientName = "B" * len(put[b"B"])
            image.StudyDescription = "C" * len(put[b"C"])
        folder = write_series(made)
        for path in folder.iterdir():
            whole = path.read_bytes()
            for key, value in put.items():
                assert not value or whole.count(key * len(value)) == (key != b"A" or bool(terms))
                whole = whole.replace(key * len(value), value) if value else whole
            path.write_bytes(whole)
        return files.read(folder)

    return write


def texts_in(path):
    """Return name, label and code meaning as pydicom and highdicom read them."""
    by_pydicom, by_highdicom = pydicom.dcmread(path), highdicom.seg.segread(path)
    found = []
    for read in (by_pydicom, by_highdicom):
        (segment,) = read.SegmentSequence
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        found.append(
            (
                str(read.PatientName),
                read.StudyDescription,
                segment.SegmentLabel,
                kind.CodeMeaning,
                read.SeriesDescription,
            )
        )
    return found


@pytest.mark.quick_cases(8)
@pytest.mark.parametrize("index", range(len(SETS)), ids=[str(terms) for terms, *_ in SETS])
def test_names_and_labels_are_read_back(images, tmp_path, index):
    image, name = images(*SETS[index]), SETS[index][1]
    files.check_grid(tmp_path / "o.dcm", image.grid)
    content = files.Content(np.ones(image.value.shape, bool), 3, image.grid)
    labels = [*LABELS.values()] * 2
    for label in labels[index % len(LABELS) :][:COUNT]:
        segment = files.Segment(1, label, "SCT", "10200004")
        files.save(tmp_path / "o.dcm", content, segments=[segment], description=label)
        expected = (name, name, label, label, label)
        assert texts_in(tmp_path / "o.dcm") == [expected, expected]


def written(images, tmp_path, terms, label):
    image = images(*next(each for each in SETS if each[0] == terms))
    content = files.Content(np.ones(image.value.shape, bool), 3, image.grid)
    files.save(tmp_path / "o.dcm", content, segments=[files.Segment(1, label)])
    return pydicom.dcmread(tmp_path / "o.dcm")


@pytest.mark.parametrize(
    ("terms", "label", "kept"),
    [
        ("ISO_IR 100", "Größe", True),
        ("ISO_IR 144", "Почка", True),
        ("ISO_IR 126", "Ήπαρ", True),
        ("ISO_IR 100", "Почка", False),
        ("ISO 2022 IR 100", "Liver", False),
        ("\\ISO 2022 IR 87", "Liver", False),
        ("GB18030", "Liver", False),
    ],
)
def test_the_set_of_the_images_is_kept_where_it_holds_all(images, tmp_path, terms, label, kept):
    """Old systems compare names byte by byte."""
    expected = terms if kept else "ISO_IR 192"
    assert written(images, tmp_path, terms, label).SpecificCharacterSet == expected


@pytest.mark.parametrize("terms", [None, "", "ISO_IR 6"])
def test_ascii_needs_no_set(images, tmp_path, terms):
    assert "SpecificCharacterSet" not in written(images, tmp_path, terms, "Liver")


def test_codes_of_the_study_in_sets_of_their_own(slices, oblique, write_series, tmp_path):
    volume, affine = oblique
    made = slices(volume[:4, :4, :3], affine)
    for image in made:
        image.SpecificCharacterSet = "ISO_IR 100"
        image.PatientName = GERMAN
        item = pydicom.Dataset()
        item.SpecificCharacterSet = "ISO_IR 144"
        item.CodeValue, item.CodingSchemeDesignator = "1", "99LOCAL"
        item.CodeMeaning = "Печень"
        image.ProcedureCodeSequence = [item]
    image = files.read(write_series(made))
    content = files.Content(np.ones(image.value.shape, bool), 3, image.grid)
    files.save(tmp_path / "o.dcm", content)
    read = pydicom.dcmread(tmp_path / "o.dcm")
    assert read.PatientName == GERMAN
    assert read.ProcedureCodeSequence[0].CodeMeaning == "Печень"
    assert read.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize("terms", [None, "no such set"])
def test_text_in_an_unknown_character_set_is_reported(images, tmp_path, terms):
    (remark,) = files.check_grid(tmp_path / "o.dcm", images(terms, GERMAN, "iso8859_1").grid)
    assert "PatientName may be read wrong" in remark
    assert "ller" not in remark


@pytest.mark.parametrize("terms", [None, "no such set", "ISO_IR 100", r"\ISO 2022 IR 100"])
@pytest.mark.parametrize(
    ("name", "codec"), [("山田^太郎", "iso2022_jp"), ("Yamada=山田", "iso2022_jp_2")]
)
def test_escapes_to_an_undeclared_set_are_reported(images, tmp_path, terms, name, codec):
    """All bytes of such a text are ASCII, and what is left of it without escapes is as well."""
    (remark,) = files.check_grid(tmp_path / "o.dcm", images(terms, name, codec).grid)
    assert "PatientName may be read wrong" in remark


def test_escapes_to_a_declared_set_are_not_reported(images, tmp_path):
    grid = images(r"\ISO 2022 IR 87", "山田^太郎", "iso2022_jp").grid
    assert files.check_grid(tmp_path / "o.dcm", grid) == ()
