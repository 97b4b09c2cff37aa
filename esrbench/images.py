"""Read and write pictures: 8-bit RGB, alpha beside it, grey stays grey; sample photos that need no download."""

import contextlib
import importlib.util
import os
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError, features

from esrbench.errors import ImageError, OutputError, UnknownNameError

Pixels = npt.NDArray[np.uint8]

READABLE = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""Pillow's names of the formats that are read; the others are never tried on a file of unknown origin."""

SAMPLES = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble": "hubble_deep_field.jpg",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}
"""Photos in scikit-image's wheel: name here → file there."""


_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
"""Pillow's names of the pixel kinds that become RGB without a choice to make."""


class Picture(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A picture in memory, upright."""

    rgb: Pixels  # (H, W, 3)
    alpha: Pixels | None = None  # (H, W), 0 is transparent
    grey: bool = False  # it was read from a grey file and is written as one; rgb holds the same value three times
    icc_profile: bytes | None = None  # of the colours in rgb, passed on as it is

    @property
    def height(self) -> int:
        """In pixels."""
        return len(self.rgb)

    @property
    def width(self) -> int:
        """In pixels."""
        return len(self.rgb[0])


class _Form(msgspec.Struct, frozen=True, kw_only=True):
    """How a file format is written."""

    name: str  # Pillow's
    max_side_px: int
    alpha: bool = True
    icc: bool = True
    options: dict[str, object] = {}


# JPEG: no chroma subsampling, or red edges smear over what the network drew. WebP: lossless, as its lossy form always
# subsamples. Pillow reads no alpha from BMP, so none is written. Largest sides: the formats' own fields.
_JPEG = _Form(name="JPEG", max_side_px=65_500, alpha=False, options={"quality": 95, "subsampling": 0})
_TIFF = _Form(name="TIFF", max_side_px=2**31 - 1, options={"compression": "tiff_lzw"})
_FORMS = {
    ".png": _Form(name="PNG", max_side_px=2**31 - 1),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Form(name="WEBP", max_side_px=16_383, options={"lossless": True, "exact": True}),
    ".bmp": _Form(name="BMP", max_side_px=2**31 - 1, alpha=False, icc=False),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}


def read(path: Path) -> Picture:
    """The picture in a file, turned upright by its EXIF orientation, as 8-bit RGB with alpha where it has any.

    Raises:
        ImageError: no file, no picture, a damaged one, more than 8 bits a channel, more than one frame, too large.
    """
    with _opened(path) as file:
        image = _decoded(path, file)
    return _picture(image)


def read_own(path: Path, most_px: int) -> Picture:
    """Read a run's own picture, of up to ``most_px`` pixels."""
    with _opened(path) as file, _up_to(most_px):
        image = _decoded(path, file)
    return _picture(image)


def write(path: Path, picture: Picture) -> None:
    """Write a picture in the format that the suffix names; whole, or not at all. An existing file is replaced.

    Raises:
        ImageError: the format cannot hold this picture, or no format has this suffix.
        OutputError: the place cannot be written to.
    """
    partial = _partial(path)
    form = _form(path, picture.height, picture.width, picture.alpha)
    options = dict(form.options)
    if form.icc and picture.icc_profile:
        options["icc_profile"] = picture.icc_profile
    with _replacing(path, partial) as file:
        _image(picture, form).save(file, form.name, **options)


def check_output(path: Path, height: int, width: int, alpha: Pixels | None) -> None:
    """Refuse now what :func:`write` would refuse after a long computation.

    Raises:
        ImageError: as :func:`write`.
        OutputError: as :func:`write`.
    """
    partial = _partial(path)
    _form(path, height, width, alpha)
    try:
        partial.touch(exist_ok=False)
        partial.unlink()
    except OSError as error:
        raise OutputError(_unwritable(path, error)) from error


def sample(name: str) -> Pixels:
    """A photo that comes with scikit-image, ``(H, W, 3)`` uint8 RGB.

    Raises:
        UnknownNameError: no sample has this name.
        ImageError: it is missing from the installed scikit-image.
    """
    if name not in SAMPLES:
        raise UnknownNameError("sample photo", name, SAMPLES)
    # Found without importing skimage, which the parent of a benchmark has no other use for.
    package = importlib.util.find_spec("skimage")
    folders = (package and package.submodule_search_locations) or []
    for folder in folders:
        path = Path(folder) / "data" / SAMPLES[name]
        if path.is_file():
            return read(path).rgb
    raise ImageError(f"the sample photo {name!r} is not in the installed scikit-image; reinstall it or give a file")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        _check_input(path)
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}; check the path") from error
    with file:
        yield file


def _check_input(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path} is a folder; give one picture")
    if not path.exists():
        raise ImageError(f"there is no picture at {path}; check the path")
    if not path.is_file():
        raise ImageError(f"{path} is not a regular file; give one picture")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); get it again")


def _decoded(path: Path, file: BinaryIO) -> Image.Image:
    """The file's only frame, decoded and upright."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddities in metadata; what matters raises
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(file, formats=READABLE)
            _check_frame(path, image)
            image.load()
            return ImageOps.exif_transpose(image)
        except ImageError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            most = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
            raise ImageError(f"{path} has more than {most:.3g} million pixels; cut it into parts first") from error
        except UnidentifiedImageError as error:
            raise ImageError(f"{path} is not a picture that can be read; known: {', '.join(READABLE)}") from error
        except Exception as error:  # a damaged file makes Pillow raise anything, from OSError to IndexError
            raise ImageError(f"{path} is damaged or cut short: {error}; get it again") from error


@contextlib.contextmanager
def _up_to(pixels: int) -> Iterator[None]:
    """Set Pillow's limit on pixels, a variable of its module."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _check_frame(path: Path, image: ImageFile.ImageFile) -> None:
    """Refuse what would be read in part or rounded: further frames, and more than 8 bits a channel."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # an MPO is a photo whose further frames are previews
        raise ImageError(f"{path} has {frames} frames; give a single picture")
    if _is_deep(image):
        found = "floating-point numbers" if image.mode == "F" else "more than 8 bits"
        raise ImageError(f"{path} has {found} per channel; convert it to 8 bits per channel first")
    if image.mode not in _MODES:
        raise ImageError(f"{path} has colours of the kind {image.mode}; convert it to RGB first")


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Pillow opens 16-bit colour as 8-bit RGB: only the decoder's raw mode, and a PPM's maximum value, tell."""
    if image.mode.startswith(("I", "F")):
        return True
    details = [part for tile in image.tile for part in (tile.args if isinstance(tile.args, tuple) else (tile.args,))]
    if image.format == "PPM":
        return any(isinstance(part, int) and part > 255 for part in details)
    return any(";12" in str(part) or ";16" in str(part) for part in details)


def _picture(image: Image.Image) -> Picture:
    grey = image.mode in {"1", "L", "LA"}
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
    # A CMYK profile describes inks; it says nothing true about the RGB values made from them.
    icc = image.info.get("icc_profile") if image.mode != "CMYK" else None
    return Picture(rgb=np.array(image.convert("RGB")), alpha=alpha, grey=grey, icc_profile=icc or None)


def _image(picture: Picture, form: _Form) -> Image.Image:
    image = Image.fromarray(picture.rgb)
    if picture.grey:
        image = image.convert("L")
    if picture.alpha is not None and form.alpha:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def _form(path: Path, height: int, width: int, alpha: Pixels | None) -> _Form:
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise ImageError(
            f"{path}: no picture format is known by {path.suffix or 'no suffix'!r}; use {', '.join(_FORMS)}"
        )
    if form.name == "WEBP" and not features.check("webp"):
        raise ImageError(f"{path}: this Pillow was built without WebP; use .png")
    if alpha is not None and not form.alpha and alpha.min(initial=255) < 255:
        raise ImageError(f"{path}: the picture has transparency, which {form.name} cannot hold; use .png or .webp")
    if max(height, width) > form.max_side_px:
        raise ImageError(
            f"{path}: {form.name} holds at most {form.max_side_px} pixels a side, the picture has {width}×{height}; "
            "use .png"
        )
    return form


@contextlib.contextmanager
def _replacing(path: Path, partial: Path) -> Iterator[BinaryIO]:
    """A new file at ``partial`` that takes the place of ``path`` once it is whole."""
    try:
        with partial.open("x+b") as file:
            yield file
        partial.replace(path.resolve())
    except OSError as error:
        raise OutputError(_unwritable(path, error)) from error
    finally:
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    """A name beside ``path`` that nothing bears, on the same disk."""
    try:
        path = path.resolve()  # through a link, so that the link stays
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
    except OSError as error:
        raise OutputError(_unwritable(path, error)) from error
    if is_folder:
        raise OutputError(f"{path} is a folder; give a file name such as {path / 'out.png'}")
    if not has_folder:
        raise OutputError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
    return path.parent / f".{path.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}"


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path} cannot be written: {error.strerror or error}; choose another place"
