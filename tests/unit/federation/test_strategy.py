from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_federation as synthetic
from flwr.app import Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.spec import FixedSteps, FractionCohort, Sgd, Strategy, Training
from fedcredit.federation.client import Lender
from fedcredit.federation.gate import QuorumError
from fedcredit.federation.protocol import EVALUATE, TRAIN, read_model_request
from fedcredit.federation.runtimes import inline
from fedcredit.federation.runtimes.inline import InlineGrid
from fedcredit.federation.server import FederationResult, RoundRecord
from fedcredit.model.torch_network import predict_pd
from fedcredit.training.contract import LocalOutcome, LocalSettings

FEDAVG = Strategy(server_optimiser=Sgd(), averaging_decay=0.0, quorum=0.5)
Change = Callable[[list[Message]], Iterable[Message]]
Meddle = Callable[..., list[Message]]


def lenders_of(folder: Path, **options: object) -> dict[str, Lender]:
    prepared = synthetic.prepare(synthetic.small_experiment(**options))
    return synthetic.lenders(prepared, ledgers=synthetic.open_ledgers(prepared, folder=folder))


def shift_by_position(lenders: dict[str, Lender]) -> dict[str, Lender]:
    """Give every lender a trainer that adds its position: 1, 2, 3, 4."""

    def trainer(step: int) -> Callable[..., LocalOutcome]:
        def local_round(
            network: object, parameters: NDArray[np.float32], *_: object, settings: LocalSettings, **__: object
        ) -> LocalOutcome:
            return LocalOutcome(parameters=parameters + np.float32(step), num_noise_draws=settings.num_steps)

        return local_round

    return {
        name: replace(lender, trainer=trainer(position)) for position, (name, lender) in enumerate(lenders.items(), 1)
    }


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Meddle:
    """Change replies between lenders and server, and keep the requests."""

    def install(change: Change = lambda replies: replies, *, message_type: str = TRAIN) -> list[Message]:
        requests: list[Message] = []
        deliver = InlineGrid.send_and_receive

        def send_and_receive(
            self: InlineGrid, messages: Iterable[Message], *, timeout: float | None = None
        ) -> Iterable[Message]:
            listed = list(messages)
            requests.extend(listed)
            replies = deliver(self, listed, timeout=timeout)
            return change(replies) if listed and listed[0].metadata.message_type == message_type else replies

        monkeypatch.setattr(InlineGrid, "send_and_receive", send_and_receive)
        return requests

    return install


def run(folder: Path, **options: object) -> FederationResult:
    return synthetic.run(synthetic.small_experiment(**options), lenders_of(folder, **options))


def test_two_runs_give_the_same_bits(tmp_path: Path) -> None:
    first, second = run(tmp_path / "1"), run(tmp_path / "2")
    assert first.parameters.tobytes() == second.parameters.tobytes()
    assert first.last_iterate.tobytes() == second.last_iterate.tobytes()


@pytest.mark.parametrize("order", [lambda replies: replies[::-1], lambda replies: replies[2:] + replies[:2]])
def test_the_order_of_replies_does_not_move_a_bit(tmp_path: Path, meddle: Meddle, order: Change) -> None:
    expected = run(tmp_path / "1")
    meddle(order)
    assert run(tmp_path / "2").parameters.tobytes() == expected.parameters.tobytes()


def test_the_order_of_nodes_does_not_move_a_bit(tmp_path: Path) -> None:
    expected = run(tmp_path / "1")
    backwards = dict(reversed(lenders_of(tmp_path / "2").items()))
    result = synthetic.run(synthetic.small_experiment(), backwards)
    assert result.parameters.tobytes() == expected.parameters.tobytes()


def test_the_mean_weighs_by_the_contract_table(tmp_path: Path) -> None:
    result = synthetic.run(
        synthetic.small_experiment(private=False, rounds=1, strategy=FEDAVG),
        shift_by_position(lenders_of(tmp_path, private=False)),
    )
    prepared = synthetic.prepare(synthetic.small_experiment())
    sizes = np.array(list(synthetic.SIZES.values()))
    expected = float(np.sum(sizes * [1, 2, 3, 4]) / sizes.sum())
    assert np.allclose(result.parameters - prepared.initial, expected, atol=1e-6)


def test_a_missing_lender_is_recorded_and_the_public_weights_of_the_others_are_renormalised(
    tmp_path: Path, meddle: Meddle
) -> None:
    meddle(lambda replies: replies[1:])
    result = synthetic.run(
        synthetic.small_experiment(private=False, rounds=1, strategy=FEDAVG),
        shift_by_position(lenders_of(tmp_path, private=False)),
    )
    assert result.rounds[0].quarantined == {"anchor bank": "no reply before the deadline"}
    assert len(result.rounds[0].cohort) == 4
    sizes = np.array(list(synthetic.SIZES.values()))[1:]
    expected = float(np.sum(sizes * [2, 3, 4]) / sizes.sum())
    start = synthetic.prepare(synthetic.small_experiment()).initial
    assert np.allclose(result.parameters - start, expected, atol=1e-6)


def test_below_the_quorum_the_run_ends_in_one_clear_message(tmp_path: Path, meddle: Meddle) -> None:
    meddle(lambda replies: replies[2:])
    with pytest.raises(QuorumError, match="round 1 has 2 good replies of 4 and needs 3"):
        run(tmp_path)


def test_an_update_beyond_the_bound_is_left_out_under_privacy_only(tmp_path: Path) -> None:
    for private in (True, False):
        lenders = shift_by_position(lenders_of(tmp_path / str(private), private=private))

        def far(network: object, parameters: NDArray[np.float32], *_: object, **__: object) -> LocalOutcome:
            return LocalOutcome(parameters=parameters + np.float32(1e6), num_noise_draws=2)

        lenders["delta bank"] = replace(lenders["delta bank"], trainer=far)
        result = synthetic.run(synthetic.small_experiment(private=private, rounds=1), lenders)
        assert ("delta bank" in result.rounds[0].quarantined) is private


def test_the_iterate_is_sent_and_the_average_is_evaluated_and_released(tmp_path: Path, meddle: Meddle) -> None:
    requests = meddle()
    lenders = lenders_of(tmp_path)
    result = synthetic.run(synthetic.small_experiment(), lenders)
    count = len(result.parameters)
    trained = [
        read_model_request(m.content, num_parameters=count) for m in requests if m.metadata.message_type == TRAIN
    ]
    evaluated = [
        read_model_request(m.content, num_parameters=count) for m in requests if m.metadata.message_type == EVALUATE
    ]
    assert [request.server_round for request in trained] == [r for r in range(1, 5) for _ in range(4)]
    assert sorted({request.server_round for request in evaluated}) == [2, 4]
    assert np.array_equal(evaluated[-1].parameters, result.parameters)
    assert not np.array_equal(result.parameters, result.last_iterate)
    last = result.rounds[-1].evaluation
    assert last is not None
    lender = lenders["delta bank"]
    expected = predict_pd(lender.network, result.parameters, lender.institution.validation.features).mean()
    assert last.institutions["delta bank"].mean_pd == pytest.approx(float(expected))
    assert last.overall.num_loans == 120
    assert last.overall.auc is not None


@pytest.mark.parametrize(("rounds", "evaluated"), [(1, [1]), (3, [2, 3]), (4, [2, 4])])
def test_every_second_round_and_the_last_are_evaluated(tmp_path: Path, rounds: int, evaluated: list[int]) -> None:
    result = run(tmp_path, rounds=rounds)
    assert [record.server_round for record in result.rounds] == list(range(1, rounds + 1))
    assert [record.server_round for record in result.rounds if record.evaluation is not None] == evaluated


def test_a_lender_without_an_evaluation_is_named_and_the_round_goes_on(tmp_path: Path, meddle: Meddle) -> None:
    meddle(lambda replies: replies[:-1], message_type=EVALUATE)
    result = run(tmp_path)
    last = result.rounds[-1].evaluation
    assert last is not None
    assert last.missing == {"delta bank": "no reply before the deadline"}
    assert list(last.institutions) == ["anchor bank", "borough union", "coast lender"]
    assert last.overall.num_loans == 90


def test_without_any_evaluation_there_are_no_figures(tmp_path: Path, meddle: Meddle) -> None:
    meddle(lambda replies: [], message_type=EVALUATE)
    last = run(tmp_path).rounds[-1].evaluation
    assert last is not None
    assert last.overall.auc is None
    assert last.overall.num_loans == 0
    assert len(last.missing) == 4


def test_each_round_is_told_as_it_closes(tmp_path: Path) -> None:
    told: list[RoundRecord] = []
    result = synthetic.run(synthetic.small_experiment(), lenders_of(tmp_path), told.append)
    assert tuple(told) == result.rounds
    assert all(record.train_seconds > 0 and record.update_norm > 0 for record in told)


def test_a_fraction_of_the_lenders_is_asked_and_alone_charged(tmp_path: Path) -> None:
    strategy = Strategy(cohort=FractionCohort(fraction=0.5), quorum=1.0)
    lenders = lenders_of(tmp_path, strategy=strategy, rounds=6)
    result = synthetic.run(synthetic.small_experiment(strategy=strategy, rounds=6), lenders)
    assert all(len(record.cohort) == 3 for record in result.rounds)
    for name, lender in lenders.items():
        rounds = sum(name in record.cohort for record in result.rounds)
        assert lender.ledger is not None
        assert sum(event.num_steps for event in lender.ledger.events()) == 2 * rounds


def test_initial_parameters_of_another_length_are_refused(tmp_path: Path) -> None:
    from fedcredit.federation.server import federate

    prepared = synthetic.prepare(synthetic.small_experiment())
    with pytest.raises(InputError, match="initial has shape"):
        inline.run_inline(
            lenders_of(tmp_path),
            lambda grid: federate(
                grid,
                experiment=prepared.experiment,
                fingerprint=prepared.fingerprint,
                contracts=prepared.contracts,
                network=prepared.network,
                initial=prepared.initial[1:],
                noise_multiplier={},
            ),
        )


def test_resplitting_loans_between_lenders_changes_nothing_without_noise(tmp_path: Path) -> None:
    """Rate 1, no noise, one step: the aggregate is the pooled gradient however the loans are dealt out."""
    training = Training(num_rounds=3, local=FixedSteps(num_steps=1, sampling_probability=1.0))
    experiment = synthetic.small_experiment(private=False, training=training, strategy=FEDAVG)
    prepared = synthetic.prepare(experiment)
    lenders = synthetic.lenders(prepared, ledgers={})
    loans = [lender.institution.train for lender in lenders.values()]
    features = np.concatenate([part.features for part in loans])
    default = np.concatenate([part.default for part in loans])
    order = np.random.Generator(np.random.PCG64(8)).permutation(len(default))
    dealt, first = {}, 0
    for name, lender in lenders.items():
        rows = order[first : first + synthetic.SIZES[name]]
        first += synthetic.SIZES[name]
        train = replace(lender.institution.train, features=features[rows], default=default[rows])
        dealt[name] = replace(lender, institution=replace(lender.institution, train=train))
    one, other = synthetic.run(experiment, lenders), synthetic.run(experiment, dealt)
    assert np.abs(one.last_iterate - other.last_iterate).max() < 1e-6


def test_stock_sampling_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.serverapp.strategy import fedavg

    def never(grid: Grid, *_: object) -> None:
        pytest.fail("Flower's sample_nodes was called")

    monkeypatch.setattr(fedavg, "sample_nodes", never)
    run(tmp_path, rounds=1)
