from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fedcredit.errors import InputError
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.chain import GENESIS, BrokenLedgerError, seal
from fedcredit.privacy.accounting.events import Event, GaussianSteps, for_rows, merge
from fedcredit.privacy.accounting.ledger import (
    LEDGER_FOLDER,
    NoiseDrawsError,
    PrivacyLedger,
    Release,
    ledger_path,
    ledgers_in,
    read_ledger,
)

EPOCH = GaussianSteps(sampling_probability=32 / 4000, noise_multiplier=1.0, num_steps=125)


def opened(path: Path, **changes: str) -> PrivacyLedger:
    arguments = {"institution": "First Bank", "fingerprint": "f" * 64, "mode": "simulated", **changes}
    return PrivacyLedger.open(path, **arguments)


def release(server_round: int, *, name: str = "federation", digest: str = "d0", event: Event = EPOCH) -> Release:
    return Release(name=name, server_round=server_round, event=event, digest=digest)


def run(path: Path, rounds: range) -> None:
    with opened(path) as ledger:
        for server_round in rounds:
            ledger.intend(release(server_round))
            ledger.commit(release(server_round), num_noise_draws=EPOCH.num_steps)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "bank.jsonl"


@pytest.mark.parametrize(("rounds", "renyi"), [(1, 1.12), (3, 1.32), (10, 1.86), (100, 5.88)])
def test_epsilon_composes_over_rounds_and_over_closing_and_reopening(path: Path, rounds: int, renyi: float) -> None:
    # An accountant born each round says 1.12 for ever; RDP of Opacus 1.6.0 over all rounds says these.
    middle = rounds // 2
    run(path, range(1, middle + 1))
    run(path, range(middle + 1, rounds + 1))
    events = read_ledger(path).events()
    assert events == (EPOCH.times(rounds),)
    assert quick_epsilon(events, delta=1e-5).value == pytest.approx(renyi, abs=0.02)
    assert epsilon(events, delta=1e-5).value <= quick_epsilon(events, delta=1e-5).value


@pytest.mark.parametrize("intent", [0, 1, 3, 4, -1])
def test_a_commit_of_a_line_that_is_no_intent_is_a_line_that_cannot_be_trusted(path: Path, intent: int) -> None:
    ledger = opened(path)
    ledger.intend(release(1))
    body = {"kind": "commit", "intent": intent, "num_noise_draws": EPOCH.num_steps}
    with path.open("ab") as file:
        file.write(seal(body, previous=ledger.head)[0])
    with pytest.raises(BrokenLedgerError, match="line 3 is not a line of this format"):
        read_ledger(path)


def test_an_event_about_several_loans_of_a_borrower_is_read_back_as_it_was_charged(path: Path) -> None:
    event = for_rows(EPOCH, 3)
    opened(path).intend(release(1, event=event))
    assert read_ledger(path).events() == (event,)


def test_the_settled_head_is_that_of_the_last_line_and_the_folder_lists_every_ledger(tmp_path: Path) -> None:
    paths = [ledger_path(tmp_path / LEDGER_FOLDER, name) for name in ("First Bank", "Second Bank")]
    for path in paths:
        ledger = opened(path, institution="First Bank" if path == paths[0] else "Second Bank")
        ledger.intend(release(1))
        assert ledger.settled_head() == ledger.head == read_ledger(path).head
    assert ledgers_in(tmp_path) == sorted(paths)


def test_resumed_run_leaves_the_same_bytes_as_an_uninterrupted_one(path: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    run(whole, range(1, 6))
    run(path, range(1, 4))
    opened(path).intend(release(4))
    run(path, range(3, 6))
    assert path.read_bytes() == whole.read_bytes()
    assert opened(path).head == opened(whole).head


def test_intent_without_commit_is_charged_in_full_and_its_replay_is_free(path: Path) -> None:
    opened(path).intend(release(1))
    ledger = opened(path)
    assert ledger.events() == (EPOCH,)
    ledger.intend(release(1))
    ledger.commit(release(1), num_noise_draws=EPOCH.num_steps)
    ledger.intend(release(1))
    ledger.commit(release(1), num_noise_draws=EPOCH.num_steps)
    assert ledger.events() == (EPOCH,)
    assert [entry.kind for entry in read_ledger(path).entries] == ["intent", "commit"]


@pytest.mark.parametrize(
    "other",
    [
        release(2),
        release(1, name="reference.alone"),
        release(1, event=GaussianSteps(sampling_probability=32 / 4000, noise_multiplier=1.0, num_steps=124)),
        release(1, event=GaussianSteps(sampling_probability=32 / 4000, noise_multiplier=2.0, num_steps=125)),
    ],
)
def test_anything_but_an_identical_release_is_charged(path: Path, other: Release) -> None:
    ledger = opened(path)
    ledger.intend(release(1))
    ledger.intend(other)
    assert ledger.events() == merge([EPOCH, other.event])


def test_a_round_is_not_answered_again_for_other_inputs_for_the_noise_would_be_the_same(path: Path) -> None:
    ledger = opened(path)
    ledger.intend(release(1))
    ledger.commit(release(1), num_noise_draws=release(1).event.num_steps)
    before = path.read_bytes()
    for again in (ledger, opened(path)):
        with pytest.raises(InputError, match="both answers would carry the same noise"):
            again.intend(release(1, digest="d1"))
    assert path.read_bytes() == before
    ledger.intend(release(1))
    ledger.intend(release(2, digest="d1"))


def test_events_can_be_asked_for_by_name_and_come_in_any_order(path: Path, tmp_path: Path) -> None:
    one_shot = GaussianSteps(sampling_probability=1.0, noise_multiplier=4.0, num_steps=1)
    releases = [release(1), release(2), release(0, name="reference.one_shot", event=one_shot)]
    ledger, backwards = opened(path), opened(tmp_path / "backwards.jsonl")
    for entry in releases:
        ledger.intend(entry)
    for entry in reversed(releases):
        backwards.intend(entry)
    assert ledger.events() == backwards.events() == merge([one_shot, EPOCH, EPOCH])
    assert ledger.events("federation") == read_ledger(path).events("federation") == (EPOCH.times(2),)
    assert ledger.events("reference.one_shot") == (one_shot,)
    with pytest.raises(ValueError, match="'another' is not in the table of releases"):
        ledger.events("another")


@pytest.mark.parametrize(("draws", "charged"), [(0, 125), (124, 125), (126, 126), (250, 250)])
def test_commit_with_the_wrong_number_of_noise_draws_raises_and_charges_what_was_drawn(
    path: Path, draws: int, charged: int
) -> None:
    ledger = opened(path)
    ledger.intend(release(1))
    with pytest.raises(NoiseDrawsError, match=f"drew noise {draws} times; its event has 125 steps"):
        ledger.commit(release(1), num_noise_draws=draws)
    assert [event.num_steps for event in opened(path).events()] == [charged]
    ledger.intend(release(1))
    assert [event.num_steps for event in ledger.events()] == [charged + 125]


def test_wrong_number_of_draws_in_a_replay_is_noticed_too(path: Path) -> None:
    run(path, range(1, 2))
    ledger = opened(path)
    ledger.intend(release(1))
    with pytest.raises(NoiseDrawsError):
        ledger.commit(release(1), num_noise_draws=200)
    assert [event.num_steps for event in ledger.events()] == [200]


def test_commit_without_intent_raises(path: Path) -> None:
    with pytest.raises(NoiseDrawsError, match="never intended"):
        opened(path).commit(release(1), num_noise_draws=EPOCH.num_steps)


def test_release_without_noise_costs_infinity_whatever_was_drawn(path: Path) -> None:
    bare = release(1, event=GaussianSteps(sampling_probability=0.25, noise_multiplier=0.0, num_steps=1))
    ledger = opened(path)
    ledger.intend(bare)
    ledger.commit(bare, num_noise_draws=0)
    assert epsilon(ledger.events(), delta=1e-6).value == float("inf")


def test_release_of_a_name_that_is_not_in_the_table_cannot_be_made_or_read(path: Path) -> None:
    with pytest.raises(ValueError, match="'federaton' is not in the table of releases"):
        release(1, name="federaton")


def test_closed_ledger_allows_no_release(path: Path) -> None:
    ledger = opened(path)
    ledger.close()
    with pytest.raises(ValueError, match="is closed"):
        ledger.intend(release(1))
    assert read_ledger(path).events() == ()


def test_two_processes_of_one_run_may_take_turns(path: Path) -> None:
    first, second = opened(path), opened(path)
    for server_round in range(1, 7):
        turn = first if server_round % 2 else second
        turn.intend(release(server_round))
        turn.commit(release(server_round), num_noise_draws=EPOCH.num_steps)
    assert first.head == second.head == read_ledger(path).head
    assert first.events() == second.events() == (EPOCH.times(6),)


@given(
    st.lists(
        st.tuples(st.sampled_from(["federation", "reference.alone"]), st.integers(1, 4), st.integers(0, 3)), max_size=12
    )
)
def test_running_sums_are_the_sums_over_all_lines(done: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        ledger, other = opened(path), opened(path)
        for name, server_round, surplus in done:
            intended = release(server_round, name=name)
            ledger.intend(intended)
            with contextlib.suppress(NoiseDrawsError):
                ledger.commit(intended, num_noise_draws=EPOCH.num_steps + surplus)
        for kind in (None, "federation", "reference.alone", "reference.pooled"):
            assert ledger.events(kind) == other.events(kind) == read_ledger(path).events(kind)


def test_content_says_whose_ledger_it_is(path: Path) -> None:
    run(path, range(1, 3))
    content = read_ledger(path)
    assert (content.institution, content.unit, content.relation) == ("First Bank", "loan", "zero_out")
    assert (content.mode, content.fingerprint) == ("simulated", "f" * 64)
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[0])["format"] == 1
    assert [(entry.kind, entry.release.server_round) for entry in content.entries] == [
        ("intent", 1), ("commit", 1), ("intent", 2), ("commit", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("institution", "Second Bank"), ("fingerprint", "0" * 64), ("unit", "borrower"), ("relation", "add_or_remove")],
)
def test_ledger_of_another_lender_or_experiment_is_refused(path: Path, key: str, value: str) -> None:
    run(path, range(1, 2))
    before = path.read_bytes()
    with pytest.raises(InputError, match=key):
        opened(path, **{key: value})
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", ["deployed", "", "Simulated"])
def test_modes_that_are_not_built_are_refused_by_name(path: Path, mode: str) -> None:
    with pytest.raises(InputError, match=f"mode is '{mode}'.*mode=simulated"):
        opened(path, mode=mode)
    assert not path.exists()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_change_of_any_byte_is_refused_with_its_line(path: Path, data: st.DataObject) -> None:
    if not path.exists():
        run(path, range(1, 4))
    sound = path.read_bytes()
    position = data.draw(st.integers(0, len(sound) - 1))
    replacement = data.draw(st.integers(0, 255).filter(lambda byte: byte != sound[position]))
    broken = path.parent / "broken.jsonl"
    broken.write_bytes(sound[:position] + bytes([replacement]) + sound[position + 1 :])
    line = sound[:position].count(b"\n") + 1
    with pytest.raises(InputError, match=rf"line {line} .*Restore the file"):
        read_ledger(broken)
    with pytest.raises(InputError, match=rf"line {line} "):
        opened(broken)


@pytest.mark.parametrize("change", ["removed", "swapped", "repeated", "blank"])
@pytest.mark.parametrize("line", [1, 3, 5])
def test_missing_moved_repeated_or_blank_lines_are_refused(path: Path, change: str, line: int) -> None:
    run(path, range(1, 4))
    lines = path.read_bytes().splitlines(keepends=True)
    here = lines[line - 1]
    new = {
        "removed": [*lines[: line - 1], *lines[line:]],
        "swapped": [*lines[: line - 1], lines[line], here, *lines[line + 1 :]],
        "repeated": [*lines[:line], here, *lines[line:]],
        "blank": [*lines[: line - 1], b"\n", *lines[line - 1 :]],
    }[change]
    path.write_bytes(b"".join(new))
    with pytest.raises(InputError, match=f"line {line + (change == 'repeated')} was changed, or lines before"):
        read_ledger(path)


def test_torn_last_line_is_refused_by_readers_and_set_aside_by_the_next_run_at_every_byte(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(path, range(1, 3))
    sound = path.read_bytes()
    start = len(sound) - len(sound.splitlines(keepends=True)[-1])
    for cut in range(start + 1, len(sound)):
        torn = tmp_path / f"{cut}.jsonl"
        torn.write_bytes(sound[:cut])
        with pytest.raises(InputError, match="line 5 is cut off"):
            read_ledger(torn)
        caplog.clear()
        assert opened(torn).events() == (EPOCH.times(2),)
        whole = cut == len(sound) - 1
        assert torn.read_bytes() == (sound if whole else sound[:start])
        kept = list(tmp_path.glob(f"{cut}.jsonl.torn-*"))
        assert [file.read_bytes() for file in kept] == ([] if whole else [sound[start:cut]])
        assert len(caplog.records) == len(kept)
        run(torn, range(1, 3))
        assert torn.read_bytes() == sound


def test_torn_header_is_refused(path: Path) -> None:
    run(path, range(1, 2))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="line 1 is cut off"):
        opened(path)


def test_empty_or_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_ledger(path)
    path.parent.mkdir()
    path.write_bytes(b"")
    with pytest.raises(InputError, match="line 1 is missing"):
        opened(path)


def test_lines_cut_off_at_the_end_show_against_a_head_kept_elsewhere(path: Path) -> None:
    run(path, range(1, 3))
    head = opened(path).head
    run(path, range(3, 4))
    assert PrivacyLedger.open(
        path, institution="First Bank", fingerprint="f" * 64, mode="simulated", head=head
    ).events() == (EPOCH.times(3),)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))
    with pytest.raises(InputError, match="line 4 is not the end of the ledger that the run had written"):
        opened(path, head=head)


def test_file_that_shrinks_while_in_use_is_refused(path: Path) -> None:
    ledger = opened(path)
    ledger.intend(release(1))
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(InputError, match="shrank"):
        ledger.intend(release(2))


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "header"},
        {"kind": "commit", "intent": 1, "num_noise_draws": 1},
        {"kind": "commit", "intent": -1, "num_noise_draws": 1},
        {"kind": "commit", "intent": 99, "num_noise_draws": 1},
        {"kind": "gift", "intent": 2, "num_noise_draws": 125},
        {"kind": "intent", "name": "federation"},
        {"no": "kind"},
    ],
)
def test_sealed_lines_of_another_format_are_refused(path: Path, body: dict[str, object]) -> None:
    ledger = opened(path)
    ledger.intend(release(1))
    with path.open("ab") as file:
        file.write(seal(body, previous=ledger.head)[0])
    with pytest.raises(InputError, match="line 3 is not a line of this format"):
        read_ledger(path)


def test_file_of_another_format_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(seal({"kind": "header", "format": 99}, previous=GENESIS)[0])
    with pytest.raises(InputError, match="line 1 is not a line of this format"):
        read_ledger(path)


def test_two_thousand_lines_are_small_readable_json(path: Path) -> None:
    run(path, range(1, 1001))
    lines = path.read_text().splitlines()
    assert len(lines) == 2001
    assert path.stat().st_size < 600_000
    assert json.loads(lines[1])["num_steps"] == 125
    assert read_ledger(path).events() == (EPOCH.times(1000),)


def test_files_of_lenders_are_readable_and_apart(tmp_path: Path) -> None:
    names = ["First Bank", "first bank", "../../etc", "Sparkasse Zürich / Süd", "x" * 500, ""]
    paths = [ledger_path(tmp_path, name) for name in names]
    assert len(set(paths)) == len(names)
    assert all(path.parent == tmp_path and len(path.name) < 100 for path in paths)
    assert paths[0].name.startswith("first-bank-")


class AnyHistory(RuleBasedStateMachine):
    """Intents, commits, replays, changed inputs, wrong draws and crashes in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "bank.jsonl"
        self.ledger = opened(self.path)
        self.paid: set[Release] = set()
        self.charged: Counter[tuple[float, float]] = Counter()
        self.drawn: Counter[tuple[float, float]] = Counter()
        self.previous = 0

    releases = st.builds(
        lambda server_round, digest, count: release(
            server_round,
            digest=digest,
            event=GaussianSteps(sampling_probability=0.25, noise_multiplier=2.0, num_steps=count),
        ),
        st.integers(1, 3),
        st.just("a"),
        st.sampled_from([1, 5]),
    )

    def key(self, entry: Release) -> tuple[float, float]:
        return entry.event.sampling_probability, entry.event.noise_multiplier

    def charge(self, entry: Release) -> None:
        if entry not in self.paid:
            self.paid.add(entry)
            self.charged[self.key(entry)] += entry.event.num_steps
            self.drawn[self.key(entry)] += entry.event.num_steps

    @rule(entry=releases)
    def intend(self, entry: Release) -> None:
        self.ledger.intend(entry)
        self.charge(entry)

    @rule(entry=releases)
    def ask_again_with_other_inputs(self, entry: Release) -> None:
        self.ledger.intend(entry)
        self.charge(entry)
        with pytest.raises(InputError, match="the same noise"):
            self.ledger.intend(replace(entry, digest="b"))

    @rule(entry=releases)
    def train(self, entry: Release) -> None:
        self.ledger.intend(entry)
        self.charge(entry)
        self.ledger.commit(entry, num_noise_draws=entry.event.num_steps)

    @rule(entry=releases, extra=st.sampled_from([-1, 1, 7]))
    def train_with_wrong_draws(self, entry: Release, extra: int) -> None:
        self.ledger.intend(entry)
        self.charge(entry)
        with pytest.raises(NoiseDrawsError):
            self.ledger.commit(entry, num_noise_draws=entry.event.num_steps + extra)
        self.paid.remove(entry)
        self.charged[self.key(entry)] += max(0, extra)
        self.drawn[self.key(entry)] += extra

    @rule(entry=releases)
    def crash_between_intent_and_commit(self, entry: Release) -> None:
        self.ledger.intend(entry)
        self.charge(entry)
        self.ledger = opened(self.path)

    @rule()
    def close_and_reopen(self) -> None:
        self.ledger.close()
        self.ledger = opened(self.path, head=self.ledger.head)

    @precondition(lambda self: self.previous > 0)
    @rule()
    def tamper(self) -> None:
        copy = self.folder / "copy.jsonl"
        text = self.path.read_text()
        copy.write_text(text.replace('"num_steps":5', '"num_steps":1').replace('"release":"a"', '"release":"b"'))
        if copy.read_text() != text:
            with pytest.raises(InputError, match="line"):
                opened(copy)

    @invariant()
    def spent_is_what_was_charged_and_at_least_what_was_drawn_and_never_falls(self) -> None:
        events = self.ledger.events()
        steps = {(event.sampling_probability, event.noise_multiplier): event.num_steps for event in events}
        assert steps == dict(self.charged)
        assert all(steps[key] >= count for key, count in self.drawn.items())
        assert read_ledger(self.path).events() == events
        assert sum(steps.values()) >= self.previous
        self.previous = sum(steps.values())

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
