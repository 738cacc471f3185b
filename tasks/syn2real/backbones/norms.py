"""Norms of a pretrained backbone: kept as they were, or half of them replaced.

    statistics that stay          ASG (Chen and others, ICML 2020), released code: eval mode while training
    affine weights that stay      CSG (Chen and others, ICLR 2021), its dense version
    IBN-Net-a                     Pan, Luo, Shi and Tang, ECCV 2018: in the first norm of a block half of the channels
                                  are normed by image, which takes out appearance, half by batch, which keeps content

b batch, c channels, h w pixels
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


def freeze_statistics(net: nn.Module) -> None:
    """Batch norms norm by their running statistics and leave them alone. To be called after each `net.train()`."""
    for part in net.modules():
        if isinstance(part, BATCH_NORMS):
            part.eval()


def freeze_affine(net: nn.Module) -> None:
    """Weights and biases of norms get no gradient."""
    for part in net.modules():
        if isinstance(part, (*BATCH_NORMS, nn.InstanceNorm2d)):
            part.requires_grad_(False)


class InstanceBatchNorm(nn.Module):
    """The first half of the channels is normed image by image, the rest by batch statistics.

    Its parts are named as in the published weights, which thus load unchanged.
    """

    def __init__(self, channels: int, eps: float, momentum: float | None) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(channels // 2, eps=eps, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2, eps=eps, momentum=momentum)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        by_image, by_batch = maps.split([self.IN.num_features, self.BN.num_features], dim=1)
        return torch.cat([self.IN(by_image), self.BN(by_batch)], dim=1)


def instance_batch_norm(norm: nn.BatchNorm2d) -> InstanceBatchNorm:
    """With the weights, biases and statistics of a batch norm; the statistics of its first half are dropped."""
    mixed = InstanceBatchNorm(norm.num_features, norm.eps, norm.momentum).to(norm.weight.device)
    half = mixed.IN.num_features
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(mixed.IN, name).copy_(getattr(norm, name)[:half])
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(mixed.BN, name).copy_(getattr(norm, name)[half:])
        if mixed.BN.num_batches_tracked is not None and norm.num_batches_tracked is not None:
            mixed.BN.num_batches_tracked.copy_(norm.num_batches_tracked)
    return mixed
