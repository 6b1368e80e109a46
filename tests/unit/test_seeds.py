from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
import torch
from scipy import stats

from fedcredit.seeds import (
    Stream,
    normals,
    normals_by_step,
    permutation,
    philox4x32,
    private_stream,
    public_stream,
    uniforms,
    uniforms_of_steps,
    words,
)

STREAM = public_stream(seed=1, purpose="test")
ONES = 0xFFFFFFFF


# Random123 1.14, tests/kat_vectors, lines "philox4x32 10"
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zero", "all ones", "digits of pi"],
)
def test_philox_gives_the_known_answers_of_random123(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    block = np.array(counter, dtype=np.uint64).reshape(4, 1)
    assert tuple(philox4x32(block, key)[:, 0].tolist()) == answer


def test_words_follow_the_documented_counter_layout() -> None:
    stream = Stream(key0=0xA4093822, key1=0x299F31D0, tag=0x03707344)
    got = words(stream, count=4 * 6, server_round=0x13198A2E, step=0x85A308D3)
    for block in (0, 5):
        counter = np.array([block, 0x85A308D3, 0x13198A2E, 0x03707344], dtype=np.uint64).reshape(4, 1)
        assert np.array_equal(got[4 * block : 4 * block + 4], philox4x32(counter, (0xA4093822, 0x299F31D0))[:, 0])


def test_a_name_is_the_hash_of_its_scope() -> None:
    digest = hashlib.sha256(b'["fedcredit/stream/1","private","print","7","bank","federation.noise"]').digest()
    named = private_stream(fingerprint="print", seed=7, institution="bank", purpose="federation.noise")
    assert digest[:12] == b"".join(word.to_bytes(4, "little") for word in (named.key0, named.key1, named.tag))


def test_a_name_with_odd_characters_collides_with_no_other() -> None:
    odd = ("a", "a\0b", "a,b", 'a","b', "ä", "")
    names = {private_stream(fingerprint=x, seed=1, institution=y, purpose=z) for x in odd for y in odd for z in odd}
    assert len(names) == len(odd) ** 3


# Frozen with stream version 1: a change here changes every experiment ever run.
def test_names_and_numbers_of_version_one_are_frozen() -> None:
    assert public_stream(seed=1, purpose="initialisation") == Stream(key0=3985054171, key1=839780355, tag=1378290459)
    assert public_stream(seed=1, purpose="partition") == Stream(key0=3856313409, key1=1740320993, tag=3992286258)
    assert public_stream(seed=2**63 - 1, purpose="split") == Stream(key0=2248221508, key1=2976768475, tag=2196191884)
    scope = {"fingerprint": "f" * 64, "seed": 1, "institution": "bank-00"}
    sampling = private_stream(**scope, purpose="federation.sampling")
    noise = private_stream(**scope, purpose="federation.noise")
    assert sampling == Stream(key0=2610537079, key1=673215754, tag=95357386)
    assert noise == Stream(key0=681349442, key1=740112126, tag=477510604)
    at = {"server_round": 3, "step": 2}
    assert words(noise, count=6, **at).tolist() == [
        0x18E0CFC3, 0x922702DA, 0x30F94C7B, 0x59F10D29, 0xF6542AF1, 0xE71C7E0E,
    ]  # fmt: skip
    assert uniforms(noise, count=2, **at).tolist() == [0.09718035586854634, 0.19130399339895243]
    expected = [-1.94847503184091, -0.930493683365451, -1.0813221585758344]
    assert normals(noise, count=3, **at) == pytest.approx(expected, rel=1e-14)


def test_a_longer_read_starts_with_the_shorter_one() -> None:
    for read in (words, uniforms, normals):
        long = read(STREAM, count=1001, server_round=2, step=3)
        for count in (0, 1, 2, 3, 4, 5, 7, 1000):
            assert np.array_equal(read(STREAM, count=count, server_round=2, step=3), long[:count])


@pytest.mark.parametrize("count", [0, 1, 2, 401])
def test_uniforms_of_many_steps_are_those_of_each_step_to_the_bit(count: int) -> None:
    found = uniforms_of_steps(STREAM, count=count, server_round=3, steps=range(2, 9))
    expected = [uniforms(STREAM, count=count, server_round=3, step=step) for step in range(2, 9)]
    assert np.array_equal(found, expected)


# 6,337 normals: ten steps at once and a rest; 70,000: a step in two pieces
@pytest.mark.parametrize(("count", "num_steps"), [(0, 2), (5, 0), (1, 3), (7, 5), (6337, 23), (70_000, 2)])
def test_normals_by_step_are_those_of_each_step(count: int, num_steps: int) -> None:
    num_seen = 0
    for step, draw in enumerate(normals_by_step(STREAM, count=count, server_round=3, num_steps=num_steps)):
        assert draw == pytest.approx(normals(STREAM, count=count, server_round=3, step=step), rel=0, abs=1e-14)
        num_seen += 1
    assert num_seen == num_steps


def test_reading_neither_uses_nor_moves_a_global_generator() -> None:
    draws = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        draws.append(normals(STREAM, count=100))
        assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    assert np.array_equal(*draws)


@pytest.mark.parametrize("place", [{"server_round": -1}, {"step": -1}, {"server_round": 2**32}, {"step": 2**32}])
def test_a_place_outside_the_counter_is_refused(place: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="allowed is 0 to 4294967295"):
        words(STREAM, count=4, **place)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="count is -1"):
        words(STREAM, count=-1)


def test_the_last_round_and_step_can_be_read() -> None:
    assert len(words(STREAM, count=8, server_round=2**32 - 1, step=2**32 - 1)) == 8


# Each p-value test below rejects a right generator with probability 1e-6; the draws are fixed.
@pytest.mark.statistical
def test_uniforms_are_uniform_on_the_half_open_unit_interval() -> None:
    draws = uniforms(STREAM, count=500_000)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts = np.bincount((draws * 1000).astype(int), minlength=1000)
    assert stats.chisquare(counts).pvalue > 1e-6
    low_bits = (draws * 2.0**53).astype(np.int64) % 1024
    assert stats.chisquare(np.bincount(low_bits, minlength=1024)).pvalue > 1e-6


@pytest.mark.statistical
def test_normals_have_the_moments_and_shape_of_the_standard_normal() -> None:
    draws = normals(STREAM, count=1_000_000)
    size = len(draws)
    # standard errors of the first four moments: 1, sqrt 2, sqrt 15, sqrt 96, over sqrt n; 5 of them is 6e-7
    for power, mean, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs((draws**power).mean() - mean) < 5.0 * np.sqrt(variance / size)
    assert stats.kstest(draws, "norm").pvalue > 1e-6
    assert np.abs(draws).max() <= np.sqrt(2.0 * np.log(2.0**32))
    assert np.isfinite(draws).all()


@pytest.mark.statistical
def test_box_muller_pairs_are_uncorrelated_in_value_and_in_square() -> None:
    pairs = normals(STREAM, count=1_000_000).reshape(-1, 2)
    for power in (1, 2):
        correlation = np.corrcoef(pairs[:, 0] ** power, pairs[:, 1] ** power)[0, 1]
        assert abs(correlation) < 5.0 / np.sqrt(len(pairs))


@pytest.mark.statistical
def test_streams_of_different_names_and_places_are_independent() -> None:
    scope = {"fingerprint": "a", "seed": 1, "institution": "north", "purpose": "federation.noise"}
    streams = [private_stream(**scope)]
    streams += [private_stream(**{**scope, key: other}) for key, other in (
        ("fingerprint", "b"), ("seed", 2), ("institution", "south"), ("purpose", "federation.sampling"),
    )]  # fmt: skip
    reads = [normals(stream, count=50_000, server_round=1) for stream in streams]
    reads += [normals(streams[0], count=50_000, server_round=1, step=1), normals(streams[0], count=50_000)]
    reads.append(normals(public_stream(seed=1, purpose="federation.noise"), count=50_000, server_round=1))
    correlation = np.corrcoef(reads) - np.eye(len(reads))
    assert np.abs(correlation).max() < 5.0 / np.sqrt(50_000)


def test_scopes_that_join_to_the_same_text_do_not_meet() -> None:
    assert private_stream(fingerprint="ab", seed=1, institution="c", purpose="p") != private_stream(
        fingerprint="a", seed=1, institution="bc", purpose="p"
    )
    assert public_stream(seed=1, purpose="x") != public_stream(seed=11, purpose="x")


def test_a_permutation_has_every_place_once() -> None:
    for count in (0, 1, 2, 1000):
        assert np.array_equal(np.sort(permutation(STREAM, count=count)), np.arange(count))
    assert not np.array_equal(permutation(STREAM, count=1000), permutation(STREAM, count=1000, step=1))
