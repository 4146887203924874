"""Muon (Jordan et al. 2024): momentum whose matrix is replaced by its nearest orthogonal one.

Learns from the same tokens about as much as AdamW does from half again as many. Matrices of
one shape are orthogonalized in one batch: the model is small, so calls cost more than arithmetic.
"""

from collections import defaultdict

import torch


def orthogonalize(g: torch.Tensor, precision: torch.dtype, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz: all singular values of the matrices g[i] towards 1."""
    tall = g.shape[-2] > g.shape[-1]
    x = g.mT if tall else g
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(precision)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0, precision=torch.float32):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))
        self.precision = precision  # of the orthogonalization; bfloat16 is enough

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for p in group["params"]:
                by_shape[p.shape].append(p)
            for (rows, cols), params in by_shape.items():
                for p in params:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                nesterov = [p.grad.lerp(self.state[p]["momentum"], group["momentum"]) for p in params]
                update = orthogonalize(torch.stack(nesterov), self.precision)
                scale = group["lr"] * max(1.0, rows / cols) ** 0.5
                for p, u in zip(params, update):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(u, alpha=scale)
