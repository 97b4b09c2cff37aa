"""TorchScript, channels last, fp32."""

import sys
import time

import numpy as np
import torch

artifact, picture, threads, precision = sys.argv[1:5]
assert precision == "fp32"
torch.set_num_threads(int(threads))
network = torch.jit.load(artifact).eval().to(memory_format=torch.channels_last)
tile = np.load(picture)


@torch.inference_mode()
def upscale():
    return network(torch.from_numpy(tile).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous().numpy()


for _ in sys.stdin:
    start = time.perf_counter()
    upscale()
    print(time.perf_counter() - start, flush=True)
