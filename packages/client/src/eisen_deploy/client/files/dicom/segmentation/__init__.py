"""DICOM segmentations (SEG, PS3.3 A.51), by highdicom.

A label map of whole numbers becomes one segment for each number but 0, and channels become one
segment each, which may overlap. The patient, the study and the positions are those of the series
that the array belongs to, so it takes a DICOM input.
"""
