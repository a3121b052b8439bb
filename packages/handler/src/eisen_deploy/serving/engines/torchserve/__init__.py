"""TorchServe as eisen-serve runs it: started, watched, asked, and ended."""
