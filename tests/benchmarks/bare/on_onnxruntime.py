"""ONNX Runtime on the CPU, fp32."""

import sys
import time

import numpy as np
import onnxruntime

artifact, picture, threads, precision = sys.argv[1:5]
assert precision == "fp32"
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = int(threads)
settings.log_severity_level = 3
session = onnxruntime.InferenceSession(artifact, settings, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
tile = np.load(picture)


def upscale():
    planes = session.run(None, {name: np.ascontiguousarray(tile.transpose(0, 3, 1, 2))})[0]
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


for _ in sys.stdin:
    start = time.perf_counter()
    upscale()
    print(time.perf_counter() - start, flush=True)
