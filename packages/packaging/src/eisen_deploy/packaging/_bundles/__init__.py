"""Bundles of MONAI as the arguments of packing.

``reading`` makes model and transforms of the bundle's own configuration; ``describing`` makes the
metadata of what the bundle says of its network, ``anatomy`` has codes for its labels; ``sampling``
makes up a request where there is none.
"""
