"""Writes optimizer.npz: the released code's warm-up and AMSGrad, run by torch.optim in float64.

Run from the repository's root: /tmp/torchvenv/bin/python -m tests.golden.make_optimizer
"""

import pathlib

import numpy as np
import torch

from tests.golden.optimizer_run import EPOCHS, HALVE_EVERY, STEPS_PER_EPOCH, WARMUP_EPOCHS, WEIGHT_DECAY, gradients
from tests.golden.weights import inputs


def main() -> None:
    """Writes the file beside this script."""
    parameters = [
        torch.nn.Parameter(torch.tensor(inputs("parameter.a", (3, 4)), dtype=torch.float64)),
        torch.nn.Parameter(torch.tensor(inputs("parameter.b", (5,)), dtype=torch.float64)),
    ]
    warmup = torch.optim.Adam(parameters, lr=8e-6, weight_decay=WEIGHT_DECAY)
    warmup_schedule = torch.optim.lr_scheduler.ExponentialLR(warmup, gamma=1.259)
    main_optimizer = torch.optim.Adam(parameters, lr=8e-4, weight_decay=WEIGHT_DECAY, amsgrad=True)
    main_schedule = torch.optim.lr_scheduler.MultiStepLR(
        main_optimizer, milestones=list(range(HALVE_EVERY, EPOCHS, HALVE_EVERY)), gamma=0.5
    )
    rates, changes_a, changes_b, step = [], [], [], 0
    for optimizer, schedule, epochs in (
        (warmup, warmup_schedule, WARMUP_EPOCHS),
        (main_optimizer, main_schedule, EPOCHS),
    ):
        for _ in range(epochs):
            for _ in range(STEPS_PER_EPOCH):
                before = [p.detach().clone() for p in parameters]
                for parameter, gradient in zip(parameters, gradients(step), strict=True):
                    parameter.grad = torch.tensor(gradient, dtype=torch.float64)
                optimizer.step()
                rates.append(optimizer.param_groups[0]["lr"])
                changes_a.append((parameters[0] - before[0]).detach().numpy())
                changes_b.append((parameters[1] - before[1]).detach().numpy())
                step += 1
            schedule.step()
    np.savez_compressed(
        pathlib.Path(__file__).with_name("optimizer.npz"),
        rates=np.asarray(rates, np.float32),
        changes_a=np.asarray(changes_a, np.float32),
        changes_b=np.asarray(changes_b, np.float32),
        final_a=parameters[0].detach().numpy().astype(np.float32),
        final_b=parameters[1].detach().numpy().astype(np.float32),
    )
    print(f"{step} steps, rates {rates[0]:.3g} .. {max(rates):.3g} .. {rates[-1]:.3g}")


if __name__ == "__main__":
    main()
