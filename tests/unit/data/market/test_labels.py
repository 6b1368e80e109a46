from __future__ import annotations

import numpy as np
import pytest

from fedcredit.config import compose
from fedcredit.data.market import portfolio
from fedcredit.data.market.labels import labelled
from fedcredit.data.market.simulate import simulate
from fedcredit.data.market.snapshots import application_snapshot
from fedcredit.errors import InputError
from fedcredit.experiment import spec
from fedcredit.experiment.fingerprint import fingerprint

SMALL = spec.MarketPortfolio(num_borrowers=20_000, view="application")


def test_labels_are_nested_in_what_they_say() -> None:
    market = simulate(portfolio.market_settings(SMALL))
    snapshot = application_snapshot(market)
    within = labelled(market, snapshot, "default_12m")
    at_once = labelled(market, snapshot, "first_payment_default")
    ring = labelled(market, snapshot, "ring")
    assert within is snapshot
    assert not np.any(at_once.default > within.default)
    assert 0 < at_once.default.sum() < within.default.sum()
    assert np.array_equal(ring.default == 1, snapshot.truth.ring >= 0)
    members = ring.default == 1
    # .9 of a ring's accounts miss the first payment and roll on; the others of a ring mostly later.
    assert 0.6 < at_once.default[members].mean() <= 1.0
    assert at_once.default[~members].mean() < 0.01
    opened = market.accounts.opened[snapshot.account]
    early = market.history.default_month[snapshot.account] < opened + 4
    assert not np.any(early & (within.default == 1))


def test_keys_are_known_of_accounts_and_shared_within_rings() -> None:
    market = simulate(portfolio.market_settings(SMALL))
    truth = application_snapshot(market).truth
    assert (truth.address >= 0).all()
    assert (truth.device >= -1).all()
    assert (truth.device >= 0).any()
    for ring in np.unique(truth.ring[truth.ring >= 0])[:5]:
        assert len(np.unique(truth.address[truth.ring == ring])) == 1


def test_the_schema_says_what_the_label_is() -> None:
    assert "12 months" in portfolio.market_schema("application").default.horizon
    assert "4 months" in portfolio.market_schema("application", "first_payment_default").default.horizon
    assert "fraud ring" in portfolio.market_schema("application", "ring").default.horizon


def test_labels_of_first_months_need_the_application_view_and_have_no_oracle() -> None:
    with pytest.raises(InputError, match=r"set portfolio\.view=application"):
        compose(None, ["portfolio.label=ring"])
    with pytest.raises(InputError, match="leave oracle out"):
        compose(None, ["portfolio.label=ring", "portfolio.view=application", "evaluation.references=[oracle]"])


def test_the_default_label_leaves_fingerprints_alone() -> None:
    plain = compose(None, [])
    assert isinstance(plain.portfolio, spec.MarketPortfolio)
    assert "label" not in plain.portfolio.model_dump()
    told = compose(None, ["portfolio.label=default_12m"])
    assert fingerprint(plain, data_checksum="x") == fingerprint(told, data_checksum="x")
