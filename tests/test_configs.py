from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from napari_vos.configs import CompactConfig, MivosConfig
from napari_vos.errors import NapariVosError


def test_every_setting_says_what_it_is():
    for field in fields(CompactConfig):
        assert field.metadata["help"].endswith("."), field.name
        assert "minimum" in field.metadata or "choices" in field.metadata, field.name


def test_limits_belong_to_the_range():
    for field in fields(CompactConfig):
        for limit in ("minimum", "maximum"):
            if limit in field.metadata:
                CompactConfig(**{field.name: field.metadata[limit]})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("memory_every", 0, "at least 1"),
        ("memory_frames", -1, "at least 0"),
        ("batch_size", 0, "at least 1"),
        ("presence", 1.01, "from 0.0 to 1.0"),
        ("quality", -0.01, "from 0.0 to 1.0"),
    ],
)
def test_values_beyond_their_limits(name, value, expected):
    with pytest.raises(NapariVosError, match=f"{name} is {value}; expected {expected}"):
        CompactConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("memory_profile", 4, "from 0 to 3, or auto"),
        ("working_scale", "large", "from 0.25 to 4.0, or auto"),
        ("memory_frames", 0, "at least 1, or None"),
    ],
)
def test_words_beside_numbers(name, value, expected):
    with pytest.raises(NapariVosError, match=f"{name} is {value}; expected {expected}"):
        MivosConfig(**{name: value})


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        CompactConfig().batch_size = 3


def test_choices_are_listed():
    with pytest.raises(NapariVosError, match="fusion is 'other'; expected one of learned, linear"):
        CompactConfig(fusion="other")
