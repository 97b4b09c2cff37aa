"""Arithmetic and traffic from the spec, against what torch's operations really read and write; bounds from both."""

import pytest
import torch
from recorded import workload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from esrbench import model, roofline
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec, parameter_count
from esrbench.record import Attainable
from esrbench.roofline import Bound, Intensity
from esrbench.target import Precision, Target

X4PLUS = RRDBNetSpec(blocks=23)
SIDE = 16
FP32 = Precision.FP32


class Traffic(TorchDispatchMode):
    """Counts what every operation reads and writes: tensors as they are, without a convolution's parameters."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        read = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        has_weights = any(name in str(func) for name in ("conv", "prelu"))
        self.values += sum(value.numel() for value in [*(read[:1] if has_weights else read), result])
        return result


def roof(gflops_s=1000.0, gbytes_s=50.0, device="cpu", precision=FP32):
    return Attainable(device=device, precision=precision, gflops_s=gflops_s, gbytes_s=gbytes_s, how="scripted")


@pytest.mark.parametrize(
    "spec",
    [
        RRDBNetSpec(blocks=2, features=8, growth=4),
        RRDBNetSpec(blocks=1, features=8, growth=4, scale=2),
        RRDBNetSpec(blocks=1, features=8, growth=4, scale=8, doublings=3),
        SRVGGNetSpec(convs=3, features=8),
        SRVGGNetSpec(convs=3, features=8, scale=2, reduced_from=4),
    ],
)
def test_unfused_traffic_is_what_the_operations_of_the_network_read_and_write(spec):
    network, picture = model.build(spec), torch.zeros(1, 3, SIDE, SIDE)
    with torch.inference_mode(), Traffic() as traffic:
        network(picture)
    assert roofline.unfused_values_per_input_px(spec) == pytest.approx(traffic.values / SIDE**2, rel=1e-12)


def test_x4plus_does_36_mflop_a_pixel_and_moves_127_kb_in_half_precision_where_it_is_fused():
    assert roofline.pass_flop(X4PLUS, workload(side=48)) / 48**2 == pytest.approx(35.85e6, rel=1e-3)
    assert 2 * roofline.fused_values_per_input_px(X4PLUS) == pytest.approx(126.6e3, rel=1e-3)
    dense = [conv for conv in X4PLUS.convolutions() if conv.name.startswith("body.")]
    assert 2 * sum(conv.before + conv.after for conv in dense) == 2 * 69 * 832


def test_the_work_of_a_pass_counts_every_window_halo_included():
    plan = workload(tile=48, side=100)  # nine windows of 48² px for a picture of 100²
    assert roofline.pass_flop(X4PLUS, plan) == 2 * X4PLUS.macs_per_input_px() * 9 * 48 * 48


def test_a_narrower_type_and_a_larger_batch_do_more_arithmetic_a_byte():
    one, many = workload(tile=64), workload(tile=64, batch=8)
    single, half = (roofline.intensity(X4PLUS, one, precision) for precision in (FP32, Precision.BF16))
    assert (half.fused, half.unfused) == pytest.approx((2 * single.fused, 2 * single.unfused))
    assert roofline.intensity(X4PLUS, many, FP32).fused > single.fused
    weights = parameter_count(X4PLUS.parameter_shapes()) / 64**2
    moved = roofline.fused_values_per_input_px(X4PLUS) + weights
    assert single.fused == pytest.approx(2 * X4PLUS.macs_per_input_px() / (4 * moved))


@pytest.mark.parametrize(
    ("fused", "unfused", "bound"),
    [(90, 20, Bound.COMPUTE), (90, 19.9, Bound.FUSION), (20, 5, Bound.FUSION), (19.9, 5, Bound.MEMORY)],
)
def test_compute_bounds_above_the_ridge_whatever_is_fused_and_memory_below_it(fused, unfused, bound):
    assert roofline.ridge(roof()) == 20
    assert roofline.bound_by(Intensity(fused=fused, unfused=unfused), roof()) is bound


def test_without_both_roofs_nothing_is_said():
    known = Intensity(fused=90, unfused=20)
    assert roofline.bound_by(known, roof(gbytes_s=None)) is None
    assert roofline.bound_by(known, roof(gflops_s=None)) is None


def test_a_roof_is_of_a_device_and_a_precision():
    roofs = (roof(1, device="cuda"), roof(2, device="cuda1"), roof(3, device="cuda1", precision=Precision.FP16))
    assert roofline.attainable_of(Target("torch@cuda1:fp16"), roofs) is roofs[2]
    assert roofline.attainable_of(Target("torch@cpu:fp32"), roofs) is None
