"""From the files of a folder to the images of its one series, and what lies beside them."""
