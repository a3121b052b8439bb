"""NIfTI: ``.nii`` and ``.nii.gz``, by nibabel."""
