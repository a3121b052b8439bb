"""Trained folders of nnU-Net v2 as the arguments of packing.

``reading`` makes a model of a folder by nnU-Net's own code; ``arguments`` describes its inputs and
its mask by what ``dataset.json`` says, and makes up a request.
"""
