"""torch, eager, channels last: fp32 or bf16. The network is spandrel's or upstream's as well as ours: plain modules."""

import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

artifact, picture, threads, precision = sys.argv[1:5]
torch.set_num_threads(int(threads))


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, 1, 1)


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        for index in range(1, 6):
            setattr(self, f"conv{index}", conv(64 + 32 * (index - 1), 32 if index < 5 else 64))

    def forward(self, x):
        features = [x]
        for index in range(1, 5):
            grown = getattr(self, f"conv{index}")(torch.cat(features, 1))
            features.append(functional.leaky_relu(grown, 0.2, inplace=True))
        return self.conv5(torch.cat(features, 1)) * 0.2 + x


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = Dense(), Dense(), Dense()

    def forward(self, x):
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class Network(nn.Module):
    def __init__(self, blocks=23):
        super().__init__()
        self.conv_first, self.body, self.conv_body = (
            conv(3, 64),
            nn.Sequential(*(Block() for _ in range(blocks))),
            conv(64, 64),
        )
        self.conv_up1, self.conv_up2, self.conv_hr, self.conv_last = (
            conv(64, 64),
            conv(64, 64),
            conv(64, 64),
            conv(64, 3),
        )

    def forward(self, x):
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for up in (self.conv_up1, self.conv_up2):
            x = functional.leaky_relu(up(functional.interpolate(x, scale_factor=2)), 0.2, inplace=True)
        return self.conv_last(functional.leaky_relu(self.conv_hr(x), 0.2, inplace=True))


weights = torch.load(artifact, weights_only=True)
network = Network()
network.load_state_dict(weights.get("params_ema", weights))
dtype = torch.bfloat16 if precision == "bf16" else torch.float32
network = network.eval().to(dtype=dtype, memory_format=torch.channels_last)
tile = np.load(picture)


@torch.inference_mode()
def upscale():
    x = torch.from_numpy(tile).permute(0, 3, 1, 2).to(dtype)  # a view of an (N, H, W, 3) array is channels last
    return network(x).permute(0, 2, 3, 1).float().contiguous().numpy()


for _ in sys.stdin:
    start = time.perf_counter()
    upscale()
    print(time.perf_counter() - start, flush=True)
