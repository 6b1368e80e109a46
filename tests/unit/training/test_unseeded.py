"""Whose clipped gradient sum a deployed round takes."""

from __future__ import annotations

import pytest

from fedcredit.training import compiled, reference, unseeded, vectorised


@pytest.mark.parametrize(("why_not", "taken"), [(None, compiled), ("numba cannot compile here", vectorised)])
def test_a_deployed_round_takes_the_trainers_own_sum_and_the_vectorised_one_where_nothing_compiles(
    monkeypatch: pytest.MonkeyPatch, why_not: str | None, taken: object
) -> None:
    monkeypatch.setattr(unseeded, "why_not_compiled", lambda: why_not)
    assert unseeded._gradient_sum("compiled") is taken.clipped_gradient_sum  # type: ignore[attr-defined]
    assert unseeded._gradient_sum("vectorised") is vectorised.clipped_gradient_sum
    assert unseeded._gradient_sum("reference") is reference.clipped_gradient_sum
