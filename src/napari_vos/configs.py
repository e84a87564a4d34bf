"""What can be set on an engine: defaults, limits and help in one place.

Forms, command line and documentation are derived from these.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_vos.errors import NapariVosError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_REFINE_WHOLE_FRAMES = {
    "help": "The scale to propagate at, 'full', 'half' or 'quarter', if borders are to be found "
    "again in the full image at each frame.",
    "choices": ("no", "full", "half", "quarter"),
}


@dataclass(frozen=True)
class CompactConfig:
    """Settings of the compact engine.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    memory_every: int = field(
        default=5, metadata={"help": "Frames between two kept memories.", "minimum": 1}
    )
    memory_frames: int = field(
        default=2, metadata={"help": "Kept memories beside the user's frames.", "minimum": 0}
    )
    batch_size: int = field(
        default=16, metadata={"help": "Objects computed at once.", "minimum": 1}
    )
    presence: float = field(
        default=0.2,
        metadata={
            "help": "An object less likely there than this ends.",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    division: float = field(
        default=0.5,
        metadata={
            "help": "An object that has just shrunk and is less likely than this has ended.",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    quality: float = field(
        default=0.2,
        metadata={
            "help": "An object whose mask is expected to be worse than this (J) ends.",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    fusion: str = field(
        default="learned",
        metadata={
            "help": "How a correction is fused with the masks before it.",
            "choices": ("learned", "linear", "none"),
        },
    )
    refine: str = field(
        default="no",
        metadata={
            "help": "'full' finds borders again in the image, of objects larger than their window.",
            "choices": ("no", "full"),
        },
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)


@dataclass(frozen=True)
class MivosConfig:
    """Settings of MiVOS.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    memory_every: int = field(
        default=5, metadata={"help": "Frames between two kept memories.", "minimum": 1}
    )
    top_k: int = field(
        default=50, metadata={"help": "Memory positions read at each position.", "minimum": 1}
    )
    memory_frames: int | None = field(
        default=None,
        metadata={
            "help": "Kept memories beside the user's frames; None for all, as the authors do.",
            "minimum": 1,
            "others": (None,),
        },
    )
    batch_size: int = field(default=4, metadata={"help": "Objects computed at once.", "minimum": 1})
    working_scale: float | str = field(
        default="auto",
        metadata={
            "help": "How much larger frames are seen; 'auto' enlarges small objects, 1 is as the "
            "authors do.",
            "minimum": 0.25,
            "maximum": 4.0,
            "others": ("auto",),
        },
    )
    memory_profile: int | str = field(
        default="auto",
        metadata={
            "help": "What stays on the device, from 0, images and features of all frames, to 3, "
            "nothing: memories lie in files then.",
            "minimum": 0,
            "maximum": 3,
            "others": ("auto",),
        },
    )
    tile_side: int | None = field(
        default=None,
        metadata={
            "help": "Side of the tiles in which frames are computed, for less memory and the same "
            "labels; None for whole frames.",
            "minimum": 64,
            "others": (None,),
        },
    )
    fusion_weights: str | None = field(
        default=None,
        metadata={"help": "File of the fusion network; without it masks are fused by distance."},
    )
    refine: str = field(default="no", metadata=_REFINE_WHOLE_FRAMES)

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)


@dataclass(frozen=True)
class MastConfig:
    """Settings of MAST.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    radius: int | None = field(
        default=None,
        metadata={
            "help": "How far away features are looked for that resemble one, in features; None "
            "for 12 with the authors' network and 6 with ours.",
            "minimum": 1,
            "others": (None,),
        },
    )
    spacing: int | None = field(
        default=None,
        metadata={
            "help": "Pixels from one feature to the next; None for 4 with the authors' network, "
            "and for what suits the objects with ours.",
            "minimum": 1,
            "maximum": 16,
            "others": (None,),
        },
    )
    last_offset_for_all: bool = field(
        default=False,
        metadata={
            "help": "Read the labels of all old frames where the last one's are, as the "
            "authors' code does."
        },
    )
    cache_megabytes: int = field(
        default=512, metadata={"help": "Memory for features of frames.", "minimum": 0}
    )
    refine: str = field(default="no", metadata=_REFINE_WHOLE_FRAMES)

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)


@dataclass(frozen=True)
class YolactConfig:
    """Settings of YOLACT.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    size: int = field(
        default=550,
        metadata={
            "help": "Side of the square that frames are resized to; published models learned "
            "with 550.",
            "minimum": 256,
        },
    )
    max_instances: int = field(
        default=100, metadata={"help": "Instances of a frame at most.", "minimum": 1}
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)


@dataclass(frozen=True)
class CellsConfig:
    """Settings of the detector of cells.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    diameter: float | None = field(
        default=None,
        metadata={
            "help": "Typical diameter of objects in pixels: frames are scaled so that it becomes "
            "36. None leaves them as they are.",
            "minimum": 4.0,
            "others": (None,),
        },
    )
    max_instances: int = field(
        default=500, metadata={"help": "Instances of a tile at most.", "minimum": 1}
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)


@dataclass(frozen=True)
class InteractionConfig:
    """Settings of the compact engine's interactor.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    local: bool = field(
        default=False, metadata={"help": "Change masks around their strokes alone."}
    )
    object_side: float = field(
        default=160.0,
        metadata={
            "help": "Side in pixels of the largest object to expect, where no other object of the "
            "frame tells. What is found there decides how closely it is looked at again.",
            "minimum": 4.0,
        },
    )
    batch_size: int = field(
        default=16, metadata={"help": "Objects computed at once.", "minimum": 1}
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)


@dataclass(frozen=True)
class MivosInteractionConfig:
    """Settings of MiVOS for making masks of scribbles."""

    local: bool = field(
        default=False, metadata={"help": "Change masks around their strokes alone."}
    )


@dataclass(frozen=True)
class RandomWalkerConfig:
    """Settings of the random walker.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    beta: float = field(
        default=1000.0, metadata={"help": "How much edges hold it back.", "minimum": 0.0}
    )
    reach: float = field(
        default=32.0,
        metadata={"help": "How far a new object may reach beyond its strokes.", "minimum": 1.0},
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)


@dataclass(frozen=True)
class RefinementConfig:
    """Settings of the refiner.

    Raises
    ------
    NapariVosError
        If a value is outside its limits.
    """

    factor: int = field(
        default=4,
        metadata={
            "help": "Pixels of the image per pixel of the masks' scale: a power of two.",
            "minimum": 2,
            "maximum": 8,
        },
    )
    certainty: float = field(
        default=0.65,
        metadata={
            "help": "A pixel changes sides if this is its probability or more.",
            "minimum": 0.5,
            "maximum": 1.0,
        },
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check_limits(self)
        if self.factor.bit_count() != 1:
            raise NapariVosError(f"factor is {self.factor}; expected a power of two, such as 4.")


EngineConfig = CompactConfig | MivosConfig | MastConfig
"""Settings of an engine that propagates."""


def refining(engine: str, config: EngineConfig | None = None) -> EngineConfig:
    """Return an engine's settings with borders found again at each frame.

    The compact engine's from the scale of its windows; others propagate at half scale.

    Parameters
    ----------
    engine
        "compact", "mivos" or "mast".
    config
        Its other settings; None for the default.

    Raises
    ------
    NapariVosError
        If there is no such engine.
    """
    defaults: dict[str, type[EngineConfig]] = {
        "compact": CompactConfig,
        "mivos": MivosConfig,
        "mast": MastConfig,
    }
    if engine not in defaults:
        raise NapariVosError(
            f"There is no engine {engine!r} that refines; expected one of {', '.join(defaults)}."
        )
    return replace(config or defaults[engine](), refine="full" if engine == "compact" else "half")


def check_limits(config: DataclassInstance) -> None:
    """Raise a clear error for the first value outside its limits."""
    for name, declared in config.__dataclass_fields__.items():
        value, others = getattr(config, name), declared.metadata.get("others", ())
        lowest, highest = declared.metadata.get("minimum"), declared.metadata.get("maximum")
        if lowest is not None and value not in others and not _is_within(value, lowest, highest):
            limits = f"at least {lowest}" if highest is None else f"from {lowest} to {highest}"
            named = "".join(f", or {other}" for other in others)
            raise NapariVosError(f"{name} is {value}; expected {limits}{named}.")
        choices = declared.metadata.get("choices")
        if choices is not None and value not in choices:
            raise NapariVosError(f"{name} is {value!r}; expected one of {', '.join(choices)}.")


def _is_within(value: object, lowest: float, highest: float | None) -> bool:
    return isinstance(value, int | float) and lowest <= value <= (
        value if highest is None else highest
    )
