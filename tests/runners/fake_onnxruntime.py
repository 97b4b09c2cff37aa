"""onnxruntime as its Python API shows it, with devices that it does not have: what is asked of it is remembered."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

CPU_REFUSED = (
    "This session contains graph nodes that are assigned to the default CPU EP, "
    "but fallback to CPU EP has been explicitly disabled by the user."
)


class OrtValue:
    """A tensor at an address of its own."""

    def __init__(self, shape, dtype, device, index):
        self.array, self.device, self.index = np.zeros(shape, dtype), device, index
        self.copies = []

    @classmethod
    def ortvalue_from_shape_and_type(cls, shape, element_type, device_type="cpu", device_id=0):
        return cls(shape, element_type, device_type, device_id)

    def update_inplace(self, data):
        assert data.flags.c_contiguous
        assert data.dtype == self.array.dtype
        assert data.shape == self.array.shape
        self.copies.append("in")
        self.array[...] = data

    def numpy(self):
        self.copies.append("out")
        return self.array.copy()


class Binding:
    def __init__(self):
        self.given = self.wanted = None
        self.synchronised = 0

    def bind_ortvalue_input(self, name, value):
        assert name == "input"
        self.given = value

    def bind_ortvalue_output(self, name, value):
        assert name == "output"
        self.wanted = value

    def synchronize_outputs(self):
        self.synchronised += 1


class RunOptions:
    def __init__(self):
        self.entries = {}

    def add_run_config_entry(self, name, value):
        self.entries[name] = value


class SessionOptions:
    def __init__(self):
        self.entries = {}

    def add_session_config_entry(self, name, value):
        self.entries[name] = value


class Session:
    """Enlarges by repeating pixels; a graph, once recorded, reads and writes where it did then."""

    def __init__(self, runtime, path, settings, providers, enable_fallback):
        assert not enable_fallback
        if runtime.refuses:
            raise RuntimeError(runtime.refuses)
        ((self.provider, options),) = providers
        self.runtime, self.settings = runtime, settings
        self.asked = options
        self.options = options | runtime.changes
        self.graphs, self.runs = {}, []
        if "trt_engine_cache_path" in options and runtime.builds:
            engine = Path(options["trt_engine_cache_path"]) / "TensorrtExecutionProvider_graph_sm90.engine"
            if not engine.exists():
                engine.write_bytes(b"engine")
        runtime.sessions.append(self)

    def get_inputs(self):
        return [SimpleNamespace(name="input", type=self.runtime.input_type)]

    def get_outputs(self):
        return [SimpleNamespace(name="output")]

    def get_providers(self):
        return [self.provider, "CPUExecutionProvider"]

    def get_provider_options(self):
        return {self.provider: self.options}

    def get_provider_graph_assignment_info(self):
        nodes = [SimpleNamespace(op_type="Conv", name="conv")]
        found = self.runtime.elsewhere or self.provider
        return [SimpleNamespace(ep_name=found, get_nodes=lambda: nodes)]

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, run_options):
        graph = run_options.entries.get("gpu_graph_id")
        if graph is not None:
            binding = self.graphs.setdefault(graph, binding)
        self.runs.append(graph)
        binding.wanted.array[...] = binding.given.array.repeat(4, axis=2).repeat(4, axis=3)

    def run(self, _outputs, _inputs):
        raise AssertionError("host arrays would be copied at every run")


class FakeOnnxruntime:
    """The module. ``changes``: options that the provider sets otherwise; ``elsewhere``: where nodes really are."""

    OrtValue, RunOptions, SessionOptions = OrtValue, RunOptions, SessionOptions
    ExecutionMode = SimpleNamespace(ORT_SEQUENTIAL=0)
    __version__ = "1.0"
    cuda_version = "13.0"

    def __init__(
        self, *, input_type="tensor(float)", changes=None, elsewhere=None, refuses=None, builds=True, file=__file__
    ):
        self.input_type, self.changes = input_type, changes or {}
        self.elsewhere, self.refuses, self.builds = elsewhere, refuses, builds
        self.__file__ = str(file)
        self.sessions = []

    def preload_dlls(self):
        pass

    def get_available_providers(self):
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, path, settings, providers, enable_fallback):
        return Session(self, path, settings, providers, enable_fallback)
