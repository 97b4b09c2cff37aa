"""Choose the environment variables of processes that run runtimes.

Libraries read their switches from the environment: oneDNN computes fp32 convolutions in bf16 where
``ONEDNN_DEFAULT_FPMATH_MODE`` says so, libgomp starts one thread where ``OMP_THREAD_LIMIT`` is 1. What is on no list
here reaches no runtime unless it was asked for by name.
"""

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache

from esrbench.errors import UsageError

OWN_PREFIX = "ESRBENCH_"

KEPT_VARIABLE = "ESRBENCH_KEPT_VARIABLES"
"""Names, separated by commas, that :func:`withdraw_steering` leaves alone; set in children to what was asked for."""

STATED = {"ORT_DISABLE_TELEMETRY": "1"}
"""Set in every child. A telemetry client starts within ONNX Runtime 1.31 otherwise, also while it is measured, and
leaves a file ``.ses`` in the folder for temporary files."""

TEMP_VARIABLES = ("TMPDIR", "TEMP", "TMP")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Every pool that reads its size from the environment gets the run's thread budget."""

PLAIN = frozenset(
    """
    PATH HOME USER LOGNAME SHELL TERM LANG LANGUAGE TZ TMPDIR TEMP TMP DISPLAY WAYLAND_DISPLAY XAUTHORITY VIRTUAL_ENV
    CONDA_PREFIX CONDA_DEFAULT_ENV PYTHONPYCACHEPREFIX PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONIOENCODING
    PYTHONUTF8 NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES ROCM_PATH SSL_CERT_FILE SSL_CERT_DIR
    REQUESTS_CA_BUNDLE CURL_CA_BUNDLE HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy
    no_proxy __CF_USER_TEXT_ENCODING SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERNAME USERDOMAIN USERPROFILE
    HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) COMMONPROGRAMFILES
    ALLUSERSPROFILE PUBLIC OS NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER PROCESSOR_LEVEL
    PROCESSOR_REVISION
    """.split()  # noqa: SIM905  (as a list it is a page long)
)
"""What a program needs to find its files, its user and its terminal; none of it changes what a runtime computes."""

PLAIN_PREFIXES = ("LC_", "XDG_", OWN_PREFIX)

NEEDED = frozenset(
    """
    LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH NIX_LD NIX_LD_LIBRARY_PATH PYTHONPATH PYTHONHOME
    CUDA_HOME CUDA_PATH CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
    ZE_AFFINITY_MASK ONEAPI_DEVICE_SELECTOR OCL_ICD_VENDORS VK_ICD_FILENAMES VK_DRIVER_FILES VK_ADD_DRIVER_FILES
    DRI_PRIME CC CXX CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH INCLUDE LIB LIBPATH SDKROOT
    """.split()  # noqa: SIM905  (as a list it is a page long)
)
"""Without these some libraries, devices or compilers are not found; they choose what is measured, so that their values
are recorded."""

STEERING_PREFIXES = tuple(
    """
    OMP_ GOMP_ KMP_ LIBOMP MKL_ MKLDNN_ DNNL_ ONEDNN_ OPENBLAS_ GOTO_ BLIS_ VECLIB_ NUMEXPR_ TBB_ ORT_ ONNXRUNTIME_ OV_
    OPENVINO_ NCNN_ TORCH PYTORCH_ ATEN_ C10_ TRITON_ XNNPACK_ CUDA_ CUDNN_ CUBLAS_ NCCL_ TENSORRT_ NVIDIA_ TF32_ HIP_
    HSA_ MIOPEN_ MALLOC_ MIMALLOC_ JEMALLOC_ TCMALLOC_ GLIBC_TUNABLES LD_ DYLD_ MESA_ LP_ GALLIUM_ LIBGL_ VK_ RADV_ ANV_
    PYTHON NPY_ OPENCV_
    """.split()  # noqa: SIM905  (as a list it is a page long)
)
"""Of what is dropped, the names that are known to change speed, threads or arithmetic; the user is told of them."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def child_environment(threads: int, temp: str, asked: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables of a child process.

    They are the allowed ones, those ``asked`` for, and the thread budget. What libraries write to the system's folder
    for temporary files goes to ``temp``.
    """
    allowed = {name: value for name, value in os.environ.items() if _passes(name)}
    wanted = dict(asked or {})
    set_here = dict.fromkeys(THREAD_VARIABLES, str(threads)) | dict.fromkeys(TEMP_VARIABLES, temp)
    return allowed | STATED | wanted | set_here | {KEPT_VARIABLE: ",".join(wanted)}


def recorded() -> dict[str, str]:
    """Return the variables that choose libraries, devices and compilers."""
    return {name: _readable(os.environ[name]) for name in sorted(NEEDED) if name in os.environ}


def dropped() -> tuple[str, ...]:
    """Return the names of steering variables that reach no child."""
    return tuple(sorted(_readable(name) for name in os.environ if _steers(name)))


@cache
def withdraw_steering() -> None:
    """Remove steering variables from ``os.environ``, once in a process.

    Thread counts stay, and what :data:`KEPT_VARIABLE` names. What a library has read already stays as it read it. Later
    calls do nothing: what a session sets for its own library is not the user's.
    """
    kept = {*THREAD_VARIABLES, *os.environ.get(KEPT_VARIABLE, "").split(",")}
    for name in [name for name in os.environ if _steers(name) and name not in kept]:
        del os.environ[name]
    for name, value in STATED.items():
        os.environ.setdefault(name, value)


def parsed(texts: Iterable[str]) -> dict[str, str]:
    """Return ``NAME=VALUE`` texts as a mapping.

    Raises:
        UsageError: no such form, a name twice, or one that :func:`check_asked` refuses.
    """
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals:
            raise UsageError(f"--env {name!r} was given; write it as NAME=VALUE")
    names = [name for name, _, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"--env was given twice for {', '.join(sorted(twice))}; give each name once")
    asked = {name: value for name, _, value in pairs}
    check_asked(asked)
    return asked


def check_asked(asked: Mapping[str, str]) -> None:
    """Refuse variables that a run may not set.

    Raises:
        UsageError: name the variable and what to do instead.
    """
    for name, value in asked.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise UsageError(f"the environment variable {name!r} cannot be set: a name has letters, digits and _ only")
        if name in THREAD_VARIABLES:
            raise UsageError(f"{name} is set to the thread budget in every launch; give --threads instead")
        if name.startswith(OWN_PREFIX):
            raise UsageError(f"{name} belongs to esrbench itself; set it where esrbench is started")


def _passes(name: str) -> bool:
    return name in PLAIN or name in NEEDED or name.startswith(PLAIN_PREFIXES)


def _steers(name: str) -> bool:
    return not _passes(name) and name not in STATED and name.startswith(STEERING_PREFIXES)


def _readable(text: str) -> str:
    """Return ``text`` with bytes that are no UTF-8 escaped."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
