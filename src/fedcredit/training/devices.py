"""What the vectorised trainer needs on a GPU: the device itself, loans that lie there, and noise drawn there.

The noise is that of `fedcredit.seeds`, worked out on the device in 64-bit integers and float64, so a lender draws
the same numbers there to 1e-13. Sums of a GPU have other bits than those of a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from fedcredit.errors import InputError
from fedcredit.seeds import Stream

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
_BLOCKS_AT_ONCE = 2**18


def find_device(name: str) -> torch.device:
    """Find a device that tensors can live on.

    Args:
        name: ``"cpu"`` or ``"cuda"``.

    Returns:
        The device.

    Raises:
        InputError: if it is a GPU and there is none that torch can use.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "trainer.device is 'cuda', but torch finds no GPU here "
            f"(torch {torch.__version__}); install a CUDA build of torch on a machine with a GPU, "
            "or set trainer.device=cpu"
        )
    return torch.device(name)


def normals_on_device(
    stream: Stream, *, count: int, server_round: int, num_steps: int, device: torch.device
) -> Iterator[torch.Tensor]:
    """Give what `fedcredit.seeds.normals` gives at steps 0, 1, ..., to 1e-13, worked out on a device.

    Args:
        stream: the stream.
        count: how many at each step, at least 0.
        server_round: 0 to 2**32 - 1.
        num_steps: how many steps, at most 2**32.
        device: where.

    Yields:
        Normals, ``[count]``, float64.
    """
    num_blocks = -(-count // 4)
    depth = max(1, _BLOCKS_AT_ONCE // max(1, num_blocks))
    for first in range(0, num_steps, depth):
        steps = torch.arange(first, min(first + depth, num_steps), device=device).unsqueeze(1)
        blocks = torch.arange(num_blocks, device=device).unsqueeze(0)
        place, tag = (torch.full((1, 1), word, device=device) for word in (server_round, stream.tag))
        answer = philox_on_device((blocks, steps, place, tag), (stream.key0, stream.key1))
        words = torch.stack(answer, dim=-1).reshape(len(steps), num_blocks, 2, 2)
        radius = torch.sqrt(-2.0 * torch.log((words[..., 0].to(torch.float64) + 1.0) / 4294967296.0))
        angle = words[..., 1].to(torch.float64) * (2.0 * math.pi / 4294967296.0)
        draws = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1)
        yield from draws.flatten(1)[:, :count]


def philox_on_device(counter: tuple[torch.Tensor, ...], key: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """Apply the ten rounds of Philox4x32 to counters.

    A product of two 32-bit words does not fit a signed 64-bit integer; it wraps round, and both its halves are
    right once the sign that the shift drags along is cut off.

    Args:
        counter: four tensors of counter words that broadcast to one shape, int64, each word below 2**32.
        key: the two key words.

    Returns:
        Four tensors of output words of that shape, int64, each word below 2**32.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1 = ((p1 >> 32) & _LOW) ^ c1 ^ k0, p1 & _LOW
        c2, c3 = ((p0 >> 32) & _LOW) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3
