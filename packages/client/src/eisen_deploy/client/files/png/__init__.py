"""PNG: pictures, (rows, columns) or (channels, rows, columns), by Pillow."""
