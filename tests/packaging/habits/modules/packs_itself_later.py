"""A model, and what packs it where it is run as a program or asked to."""

import torch

if __name__ == "__main__":
    pass


class Double(torch.nn.Module):
    def forward(self, x):
        return 2 * x


def pack(folder):
    from eisen_deploy.packaging import EisenServingMAR

    return EisenServingMAR(None, None, {}).pack(Double(), folder)
