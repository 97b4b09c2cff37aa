"""Find the network among everything that a trainer saves.

A checkpoint is dictionaries in dictionaries. A network is where its first layers are, under whatever keys and prefix:

    BasicSR       params, params_ema                                        Real-ESRGAN's own
    mmagic        state_dict: generator.*, generator_ema.*, discriminator.*, step_counter
    Lightning     state_dict: net_g.*, loss.vgg.*; callbacks, optimizer_states
    AveragedModel n_averaged, module.*
    torch.compile _orig_mod., anywhere in a name

The average of the weights over the training is preferred: it is what the official files are run with.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from esrbench.checkpoints import foreign
from esrbench.checkpoints.contents import KNOWN
from esrbench.errors import CheckpointError

DEEPEST = 4  # dictionaries in one another
MOST = 64  # networks in a dictionary; each is looked for among all of its names

_WRAPPING = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that torch.nn.DataParallel, torch.compile, FSDP and its activation checkpointing put in."""

_FIRST_LAYER = re.compile(
    r"(?P<prefix>(?:[^.]+\.)*?)"
    r"(conv_first|body\.0|body\.0\.rdb1\.conv1|RRDB_trunk\.0\.RDB1\.conv1|model\.1\.sub\.0\.RDB1\.conv1\.0)\.weight"
)
_AVERAGED = re.compile(
    r"(?<![A-Za-z])(?i:ema|swa|avg|averaged?|shadow|polyak)(?![a-z])"
    r"|(?<=[A-Za-z])(EMA|SWA|Ema|Swa|Avg|Averaged?|Shadow)(?![a-z])"  # modelEma, netGEMA
)
_NOT_AVERAGED = re.compile(r"(?<![a-z])(non?|not|without|before|raw)[ ._-]?(ema|swa|av)", re.IGNORECASE)
_OTHER = re.compile(r"(^|[._ -])(net_?d|d|disc\w*|critic|loss\w*|vgg\w*|percep\w*|optim\w*|exp_avg\w*)($|[._ -])", re.I)
_USUAL = ("params", "model_state_dict", "state_dict", "model", "net", "generator", "net_g", "netG", "g")
"""Of several networks that are not averaged, the last key or prefix of the one that is meant."""


class Network(NamedTuple):
    """Hold one network's parameters and their place in the checkpoint."""

    place: tuple[str, ...]  # keys of dictionaries, then parts of the names' prefix
    averaged: bool
    tensors: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name the network for people."""
        return ".".join(self.place) or "its parameters"


def find(loaded: object) -> tuple[Network, list[Network]]:
    """Return the network to use, and the others found.

    Raises:
        CheckpointError: nothing is a dictionary, dictionaries are nested too deep, or several networks are as likely.
    """
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"holds a {type(loaded).__name__}, not a state dict")
    found = [network for keys, inner in _dictionaries(loaded) for network in _networks(keys, inner)]
    if not found:
        return _fallback(loaded), []
    likely = [network for network in found if not _is_other(network)] or found
    averaged = [network for network in likely if network.averaged]
    ranked = sorted(averaged or likely, key=_rank)
    if len(ranked) > 1 and _rank(ranked[0]) == _rank(ranked[1]):
        names = " and ".join(network.name for network in ranked[:4])
        raise CheckpointError(f"holds several networks, {names}; save the one that is meant by itself")
    return ranked[0], [network for network in found if network is not ranked[0]]


def _is_other(network: Network) -> bool:
    return bool(_OTHER.search(network.name) or foreign.recognise(network.tensors))


def plain(name: str) -> str:
    """Remove the names of wrapping modules from a parameter's name."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPING)


def _dictionaries(loaded: Mapping[Any, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Yield every dictionary once, the outer ones first."""
    level: list[tuple[tuple[str, ...], Mapping[Any, Any]]] = [((), loaded)]
    seen = {id(loaded)}
    for _ in range(DEEPEST):
        yield from level
        deeper = []
        for keys, outer in level:
            for key, inner in outer.items():
                if isinstance(key, str) and isinstance(inner, Mapping) and id(inner) not in seen:
                    seen.add(id(inner))
                    deeper.append(((*keys, key), inner))
        level = deeper


def _networks(keys: tuple[str, ...], inner: Mapping[Any, Any]) -> Iterator[Network]:
    names = {plain(name) for name, value in inner.items() if isinstance(name, str) and hasattr(value, "shape")}
    matches = filter(None, map(_FIRST_LAYER.fullmatch, names))
    prefixes = {match["prefix"] for match in matches if not _is_numbered(match["prefix"])}
    if len(prefixes) > MOST:
        raise CheckpointError(
            f"holds {len(prefixes):,} networks, more than {MOST}; save the one that is meant by itself"
        )
    for prefix in sorted(prefixes):
        place = (*keys, *prefix.split(".")[:-1])
        averaged = "n_averaged" in inner or any(map(_is_averaged, place))
        yield Network(place, averaged, _under(prefix, inner, prefixes - {prefix}))


def _is_averaged(key: str) -> bool:
    return bool(_AVERAGED.search(key)) and not _NOT_AVERAGED.search(key)


def _is_numbered(prefix: str) -> bool:
    """Tell whether a prefix holds a number.

    ``body.0.body.0.weight`` is a block of EDSR, whose ``body.0`` is no first layer.
    """
    return any(part.isdigit() for part in prefix.split("."))


def _under(prefix: str, inner: Mapping[Any, Any], others: Iterable[str]) -> dict[str, Any]:
    """Collect the parameters under ``prefix``, without counters and settings.

    Those under a longer prefix of ``others`` belong to that network.

    Raises:
        CheckpointError: two of its names are one without what wraps their modules.
    """
    longer = tuple(other for other in others if other.startswith(prefix))
    tensors: dict[str, Any] = {}
    for full, value in inner.items():
        name = plain(full) if isinstance(full, str) else full
        if isinstance(name, str):
            if not name.startswith(prefix) or (longer and name.startswith(longer)):
                continue
            name = name.removeprefix(prefix)
        if _is_beside(name, value):
            continue
        if name in tensors:
            raise CheckpointError(f"is damaged: two of its tensors are {name[:80]}")
        tensors[name] = value
    return tensors


def _is_beside(name: object, value: Any) -> bool:
    """Tell whether a value is a counter, setting or dictionary."""
    if hasattr(value, "shape"):
        return len(value.shape) == 0
    return not (isinstance(name, str) and name.endswith((".weight", ".bias")))


def _fallback(loaded: Mapping[Any, Any]) -> Network:
    """Return the first dictionary with tensors, for a precise error."""
    for keys, inner in _dictionaries(loaded):
        if any(hasattr(value, "shape") for value in inner.values()):
            return Network(keys, False, _under("", inner, ()))
        if len(keys) == DEEPEST - 1 and any(isinstance(value, Mapping) for value in inner.values()):
            raise CheckpointError(f"holds a state dict wrapped more than {DEEPEST - 1} times; save it by itself")
    held = ", ".join(str(key)[:40] for key in list(loaded)[:6])
    raise CheckpointError(f"holds no tensors of a network, but {held or 'nothing'}; {KNOWN}")


def _rank(network: Network) -> int:
    last = network.place[-1] if network.place else ""
    return _USUAL.index(last) if last in _USUAL else len(_USUAL)
