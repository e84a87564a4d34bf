import pytest
import torch

from napari_vos.engines.windows import (
    CONTEXT,
    SMALLEST_SIDE,
    crop_windows,
    paste_windows,
    standardize,
    window_side,
)


def picture(size: int = 64) -> torch.Tensor:
    return torch.randn(1, 2, size, size, generator=torch.Generator().manual_seed(0))


def test_a_window_has_context_but_a_smallest_side() -> None:
    sides = window_side(torch.tensor([1.0, 100.0]))
    assert sides.tolist() == pytest.approx([SMALLEST_SIDE, 100 * CONTEXT])


@pytest.mark.parametrize("side", [17.0, 32.0, 150.0])
def test_a_crop_of_a_constant_is_constant(side: float) -> None:
    planes = torch.full((1, 1, 40, 40), 3.5)
    crop = crop_windows(
        planes, torch.tensor([[20.3, 19.1]]), torch.tensor([side]), size=32, outside="border"
    )
    torch.testing.assert_close(crop, torch.full((1, 1, 32, 32), 3.5))


def test_at_identity_scale_a_crop_is_the_pixels() -> None:
    planes = picture()
    # 16 pixels from 10 to 25: their middle lies between 17 and 18.
    crop = crop_windows(planes, torch.tensor([[17.5, 27.5]]), torch.tensor([16.0]), size=16)
    torch.testing.assert_close(crop, planes[:, :, 10:26, 20:36], atol=1e-4, rtol=1e-4)


def test_outside_is_zero_or_the_border() -> None:
    planes = torch.full((1, 1, 32, 32), 2.0)
    where = torch.tensor([[-40.0, 15.5]]), torch.tensor([32.0])
    assert not crop_windows(planes, *where, size=32).any()
    assert torch.allclose(crop_windows(planes, *where, size=32, outside="border"), planes)


@pytest.mark.parametrize("side", [24.0, 40.0])
def test_a_pasted_crop_is_the_picture(side: float) -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    planes = (0.3 * rows + 0.7 * columns)[None, None]
    where = torch.tensor([[31.2, 33.7]]), torch.tensor([side])
    pasted = paste_windows(crop_windows(planes, *where, size=48), *where, (64, 64))
    half = int(side / 2) - 2
    inside = slice(32 - half, 31 + half), slice(34 - half, 33 + half)
    torch.testing.assert_close(pasted[0, 0][inside], planes[0, 0][inside], atol=0.05, rtol=0)


def test_nothing_is_pasted_outside_the_window() -> None:
    where = torch.tensor([[20.0, 20.0]]), torch.tensor([8.0])
    pasted = paste_windows(torch.ones(1, 1, 16, 16), *where, (40, 40))[0, 0]
    expected = torch.zeros(40, 40)
    expected[16:25, 16:25] = 1
    torch.testing.assert_close(pasted, expected)


def test_a_coarse_window_averages() -> None:
    checkers = (torch.arange(128)[:, None] + torch.arange(128)) % 2
    planes = checkers[None, None].float()
    crop = crop_windows(planes, torch.tensor([[63.5, 63.5]]), torch.tensor([128.0]), size=32)
    torch.testing.assert_close(crop, torch.full((1, 1, 32, 32), 0.5))


def test_standardized_windows_have_mean_0_and_deviation_1() -> None:
    windows = standardize(5 + 3 * picture())[:, :-1]
    torch.testing.assert_close(windows.mean(dim=(2, 3)), torch.zeros(1, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(windows.std(dim=(2, 3)), torch.ones(1, 2), atol=1e-2, rtol=0)


def test_standardized_windows_do_not_depend_on_gain_and_offset() -> None:
    windows = picture()
    torch.testing.assert_close(
        standardize(7 * windows + 2), standardize(windows), atol=2e-3, rtol=0
    )


def test_a_flat_window_becomes_zero() -> None:
    assert not standardize(torch.full((1, 1, 8, 8), 4.0)).any()


def test_outliers_are_clipped() -> None:
    windows = torch.zeros(1, 1, 32, 32)
    windows[0, 0, 3, 3] = 1e6
    assert standardize(windows)[:, :-1].max() == 6


def test_dim_parts_show_beside_bright_ones() -> None:
    noise = torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    windows = noise.clone()
    windows[:, :, 10:20, 10:20] += 8
    windows[:, :, 30:34, 30:34] += 1000
    linear, relative = (part[0, 0] for part in standardize(windows).chunk(2, dim=1))
    dim, background = (slice(10, 20), slice(10, 20)), (slice(0, 8), slice(0, 48))
    assert linear[dim].mean() - linear[background].mean() < 0.1
    assert relative[dim].mean() - relative[background].mean() > 0.3
