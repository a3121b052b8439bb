"""From the images of a series to one array of values, and the affine that places it."""
