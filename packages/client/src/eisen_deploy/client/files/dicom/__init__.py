"""DICOM: images to arrays by pydicom, masks to segmentations by highdicom."""
