import torch

from napari_vos.engines.bank import Memory, MemoryBank


def memory(number: int) -> Memory:
    return Memory(torch.full((2, 3), float(number)), torch.full((4, 3), float(-number)))


def numbers(bank: MemoryBank, object_id: int) -> list[float]:
    key, value = bank.read(object_id)
    assert torch.equal(value[:1], -key[:1])
    assert key.shape[0] == 2
    assert value.shape[0] == 4
    return key[0, ::3].tolist()


def test_certain_memories_stay_and_the_oldest_kept_ones_go() -> None:
    bank = MemoryBank(capacity=2)
    for number in (10, 11, 12):
        bank.keep(7, memory(number))
    for number in (1, 2, 3):
        bank.add_certain(7, memory(number))
    assert numbers(bank, 7) == [1, 2, 3, 11, 12]
    assert bank.size(7) == 5


def test_nothing_is_kept_without_capacity() -> None:
    bank = MemoryBank(capacity=0)
    bank.add_certain(1, memory(1))
    bank.keep(1, memory(2))
    assert numbers(bank, 1) == [1]


def test_objects_are_remembered_and_forgotten_by_themselves() -> None:
    bank = MemoryBank(capacity=2)
    for object_id in (1, 2):
        bank.add_certain(object_id, memory(object_id))
        bank.keep(object_id, memory(10 * object_id))
    bank.forget(1)
    assert bank.size(1) == 0
    assert numbers(bank, 2) == [2, 20]
