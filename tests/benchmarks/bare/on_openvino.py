"""OpenVINO on the CPU, latency mode: fp32 or bf16."""

import sys
import time

import numpy as np
import openvino

artifact, picture, threads, precision = sys.argv[1:5]
tile = np.load(picture)
core = openvino.Core()
model = core.read_model(artifact)
model.reshape([1, 3, *tile.shape[1:3]])
hint = {"fp32": "f32", "bf16": "bf16"}[precision]
config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": int(threads), "INFERENCE_PRECISION_HINT": hint}
request = core.compile_model(model, "CPU", config).create_infer_request()


def upscale():
    request.infer([np.ascontiguousarray(tile.transpose(0, 3, 1, 2))], share_inputs=True)
    return np.ascontiguousarray(request.get_output_tensor().data.transpose(0, 2, 3, 1))


for _ in sys.stdin:
    start = time.perf_counter()
    upscale()
    print(time.perf_counter() - start, flush=True)
