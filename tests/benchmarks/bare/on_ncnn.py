"""ncnn on the CPU: fp32, or weights and activations in bf16. The artifact is the .param; the .bin lies beside it."""

import sys
import time

import ncnn
import numpy as np

artifact, picture, threads, precision = sys.argv[1:5]
net = ncnn.Net()
net.opt.num_threads = int(threads)
net.opt.use_vulkan_compute = False
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
net.opt.use_bf16_packed = False
net.opt.use_bf16_storage = precision == "bf16"
assert net.load_param(artifact) == 0
assert net.load_model(artifact.removesuffix(".param") + ".bin") == 0
given, wanted = net.input_names()[0], net.output_names()[0]
tile = np.load(picture)


def upscale():
    planes = np.ascontiguousarray(tile[0].transpose(2, 0, 1))
    extractor = net.create_extractor()
    extractor.input(given, ncnn.Mat(planes).clone())
    code, output = extractor.extract(wanted)
    assert code == 0
    return np.ascontiguousarray(np.array(output).transpose(1, 2, 0))[np.newaxis]


for _ in sys.stdin:
    start = time.perf_counter()
    upscale()
    print(time.perf_counter() - start, flush=True)
