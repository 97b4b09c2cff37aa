"""What torch's caching allocator took is told where nobody else can tell."""

import torch

from esrbench_runners.torch_session import TorchSession


def on(device):
    session = TorchSession.__new__(TorchSession)
    session._device = device
    return session


def test_torch_tells_the_peak_that_it_reserved_on_its_own_device(monkeypatch):
    reserved = {torch.device("cuda", 0): 1, torch.device("cuda", 1): 640}
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", reserved.__getitem__)
    assert on(torch.device("cuda", 1)).device_memory_bytes() == 640


def test_a_session_on_the_cpu_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 640)
    assert on(torch.device("cpu")).device_memory_bytes() is None
