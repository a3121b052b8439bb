"""NIfTI-1 and -2: ``.nii`` and ``.nii.gz``. Headers are taken as they stand; nibabel writes."""
