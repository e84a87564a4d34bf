"""Instances of single images in the format of COCO: one JSON file for a folder of images.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; the format is
described at https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from skimage.draw import polygon2mask

from napari_vos.errors import FramesError
from napari_vos.frames import FrameStack
from napari_vos.io.folder import FolderArray

if TYPE_CHECKING:
    from numpy.typing import NDArray


class CocoInstance(NamedTuple):
    """An instance, or a crowd: a region with instances that aren't told apart.

    Attributes
    ----------
    mask
        (Y, X) bool.
    kind
        Its category, as an index into those of the file.
    is_crowd
        Whether it is a crowd.
    """

    mask: NDArray[np.bool_]
    kind: int
    is_crowd: bool


@dataclass(frozen=True, eq=False)
class CocoImage:
    """An image and what is on it.

    Attributes
    ----------
    path
        The image's file.
    shape
        (Y, X).
    annotations
        As they stand in the file.
    kinds
        The index of each category, by its id.
    """

    path: Path
    shape: tuple[int, int]
    annotations: tuple[dict[str, Any], ...]
    kinds: dict[int, int]

    def frames(self) -> FrameStack:
        """Open the image as a stack of one frame.

        Raises
        ------
        FramesError
            If it can't be read, or isn't as large as the JSON file says.
        """
        if not self.path.is_file():
            raise FramesError(
                f"There is no image '{self.path}', which the annotations name. Keep the JSON "
                "file in the folder of its images."
            )
        pages = FolderArray([self.path])
        stack = FrameStack(pages, axes=pages.axes, name=str(self.path), path=self.path)
        if stack.shape != self.shape:
            raise FramesError(
                f"'{self.path}' has {stack.shape} pixels; its annotations are for {self.shape}."
            )
        return stack

    def instances(self) -> list[CocoInstance]:
        """Return what is on the image; what has no pixel is left out.

        Raises
        ------
        FramesError
            If a mask can't be understood.
        """
        found = [
            CocoInstance(
                _mask(annotation["segmentation"], self.shape, self.path),
                self.kinds[annotation["category_id"]],
                bool(annotation.get("iscrowd", 0)),
            )
            for annotation in self.annotations
        ]
        return [instance for instance in found if instance.mask.any()]


@dataclass(frozen=True, eq=False)
class CocoDataset:
    """What a file tells.

    Attributes
    ----------
    categories
        Their names, in the order of their ids.
    images
        In the order of the file.
    """

    categories: tuple[str, ...]
    images: tuple[CocoImage, ...]


def open_coco(path: str | PathLike[str]) -> CocoDataset:
    """Open a JSON file of instances; names of images are relative to its folder.

    Masks are polygons or run lengths that aren't compressed.

    Raises
    ------
    FramesError
        If it can't be read or lacks what it should have.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
        categories = sorted(content["categories"], key=lambda each: int(each["id"]))
        kinds = {int(each["id"]): kind for kind, each in enumerate(categories)}
        by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            if annotation["category_id"] not in kinds or "segmentation" not in annotation:
                raise KeyError(f"category or segmentation of annotation {annotation.get('id')}")
            by_image[annotation["image_id"]].append(annotation)
        images = tuple(
            CocoImage(
                path.parent / image["file_name"],
                (int(image["height"]), int(image["width"])),
                tuple(by_image[image["id"]]),
                kinds,
            )
            for image in content["images"]
        )
        return CocoDataset(tuple(str(each["name"]) for each in categories), images)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FramesError(
            f"Can't read '{path}' as annotations in the format of COCO ({error!r}); expected "
            "'images', 'categories', and 'annotations' that name images and categories that are "
            "there."
        ) from error


def _mask(segmentation: Any, shape: tuple[int, int], path: Path) -> NDArray[np.bool_]:
    try:
        if isinstance(segmentation, dict):
            return _from_runs(segmentation["counts"], shape)
        mask = np.zeros(shape, bool)
        for corners in segmentation:
            mask |= _from_polygon(corners, shape)
        return mask
    except (ValueError, KeyError, TypeError) as error:
        raise FramesError(
            f"A mask of '{path.name}' can't be understood ({error}); expected polygons "
            "[[x, y, x, y, …]], or run lengths as numbers, not compressed."
        ) from error


def _from_polygon(corners: list[float], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie inside; COCO counts from the image's corner."""
    columns_rows = np.asarray(corners, float).reshape(-1, 2)
    corners_at = columns_rows[:, ::-1] - 0.5
    mask: NDArray[np.bool_] = polygon2mask(shape, corners_at)  # type: ignore[no-untyped-call]
    return mask


def _from_runs(counts: list[int] | str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of lengths of runs, column by column, the first one outside."""
    if isinstance(counts, str):
        raise ValueError("its run lengths are compressed")
    runs = np.asarray(counts, int)
    if runs.sum() != shape[0] * shape[1]:
        raise ValueError(f"its runs have {runs.sum()} pixels, the image {shape[0] * shape[1]}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(shape, order="F")
