"""The package's random streams, compiled: the words of `fedcredit.seeds`, its normals, and Poisson batches.

Words are the same to the bit, batches are those of `fedcredit.privacy.sampling`, and normals those of `fedcredit.seeds`
to single precision: 2e-6 at most, of a standard deviation of one.
"""

from __future__ import annotations

import math

import numpy as np

from fedcredit.training.compiled.compilation import exact, reassociated

_F = np.float32
_HALF, _ONE, _TWO = _F(0.5), _F(1.0), _F(2.0)
_LN2, _TURN, _PER_WORD = _F(math.log(2.0)), _F(2.0 * math.pi / 2.0**32), _F(2.0**-32)
_MANTISSA, _SQRT_HALF_BITS, _TO_ONE = 0x007FFFFF, 0x3F3504F3, 0x3F800000 - 0x3F3504F3
_M0, _M1, _W0, _W1 = map(np.uint64, (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85))
_LOW, _SHIFT, _UP, _DOWN = map(np.uint64, (0xFFFFFFFF, 32, 5, 6))


@reassociated
def philox(stream, server_round, step, first, words):
    """Fill ``[4, blocks]`` with Philox4x32-10 blocks from ``first`` on, as `fedcredit.seeds.words` lays them out."""
    word0, word1, word2, word3 = words[0], words[1], words[2], words[3]
    for block in range(words.shape[1]):
        c0, c1, c2, c3 = np.uint64(first + block), np.uint64(step), np.uint64(server_round), stream[2]
        k0, k1 = stream[0], stream[1]
        for _ in range(10):
            p0, p1 = _M0 * c0, _M1 * c2
            c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _LOW
            k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
        word0[block], word1[block], word2[block], word3[block] = c0, c1, c2, c3


@exact
def _radius(word):
    """Compute sqrt(-2 ln((word + 1) / 2^32)), also close to one, where the distance from one is what counts."""
    bits = np.int32(np.float32(np.float32(word) + _ONE).view(np.int32) + np.int32(_TO_ONE))
    power = (bits >> np.int32(23)) - np.int32(127 + 32)
    mantissa = np.int32((bits & np.int32(_MANTISSA)) + np.int32(_SQRT_HALF_BITS)).view(np.float32)
    rest = -(np.float32(np.uint32(~word)) * _PER_WORD) if power == 0 else mantissa - _ONE
    s = rest / (_TWO + rest)
    s2 = s * s
    series = _TWO * s * (((((s2 / _F(9.0) + _F(1.0 / 7.0)) * s2 + _F(0.2)) * s2 + _F(1.0 / 3.0)) * s2) + _ONE)
    return np.sqrt(-_TWO * (np.float32(power) * _LN2 + series))


@exact
def _cosine_and_sine(word):
    """Compute cosine and sine of 2 pi word / 2^32 by Taylor's series on an eighth of a turn."""
    quarter = (word + np.uint32(0x20000000)) >> np.uint32(30)
    t = np.float32(np.int32(np.uint32(word - (quarter << np.uint32(30))))) * _TURN
    t2 = t * t
    sine = t * ((((t2 * _F(1 / 362880) - _F(1 / 5040)) * t2 + _F(1 / 120)) * t2 - _F(1 / 6)) * t2 + _ONE)
    cosine = (((t2 * _F(1 / 40320) - _F(1 / 720)) * t2 + _F(1 / 24)) * t2 - _HALF) * t2 + _ONE
    odd = (quarter & np.uint32(1)) == np.uint32(1)
    x, y = (sine, cosine) if odd else (cosine, sine)
    x = -x if ((quarter + np.uint32(1)) & np.uint32(2)) != np.uint32(0) else x
    return x, (-y if (quarter & np.uint32(2)) != np.uint32(0) else y)


@exact
def normals(words, out):
    """Turn words ``[4, blocks]`` into standard normals, ``[4 blocks]``, as `fedcredit.seeds.normals` does."""
    word0, word1, word2, word3 = words[0], words[1], words[2], words[3]
    for block in range(words.shape[1]):
        radius = _radius(word0[block])
        x, y = _cosine_and_sine(word1[block])
        out[4 * block], out[4 * block + 1] = radius * x, radius * y
        radius = _radius(word2[block])
        x, y = _cosine_and_sine(word3[block])
        out[4 * block + 2], out[4 * block + 3] = radius * x, radius * y


@exact
def gather(borrowers, size, starts, loans):
    """Put the loans of sampled borrowers side by side, as `fedcredit.privacy.sampling.loans_of` does; count them."""
    found = 0
    for place in range(size):
        for loan in range(starts[borrowers[place]], starts[borrowers[place] + 1]):
            loans[found] = loan
            found += 1
    return found


@exact
def sample(stream, server_round, step, probability, words, loans):
    """Draw a Poisson batch by geometric gaps, as `fedcredit.privacy.sampling.poisson_indices` does; return its size."""
    num_loans = len(loans)
    if probability == 1.0:
        for loan in range(num_loans):
            loans[loan] = loan
        return num_loans
    size, place, first, scale = 0, -1, 0, math.log1p(-probability)
    while True:
        philox(stream, server_round, step, first, words)
        for block in range(words.shape[1]):
            for half in range(0, 4, 2):
                high, low = np.uint64(words[half, block]) >> _UP, np.uint64(words[half + 1, block]) >> _DOWN
                uniform = (np.float64(high) * 67108864.0 + np.float64(low)) / 9007199254740992.0
                gap = math.log1p(-uniform) / scale
                place += 1 + (num_loans if gap > num_loans else int(gap))
                if place >= num_loans:
                    return size
                loans[size] = place
                size += 1
        first += words.shape[1]
