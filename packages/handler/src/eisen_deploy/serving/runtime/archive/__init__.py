"""From the files of an unpacked archive to its model, its transforms and its options."""
