from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.cli import main
from fedcredit.errors import InputError
from fedcredit.experiment.deployed import KEY_FILE
from fedcredit.experiment.ledger_export import export_csv, export_json
from fedcredit.experiment.ledger_files import ledger_files, read_ledgers, verify_ledgers
from fedcredit.experiment.ledger_heads import kept_heads, with_heads
from fedcredit.experiment.record import RunRecord, write_record
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.chain import GENESIS, seal
from fedcredit.privacy.accounting.dataset_ledger import DatasetLedger
from fedcredit.privacy.accounting.events import GaussianSteps, merge
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release, ledger_path
from fedcredit.privacy.accounting.run_ledger import RunAccount
from fedcredit.privacy.accounting.statement import state

MakeRecord = Callable[..., RunRecord]
LENDERS = ("Harbour Bank", "Lotus Pay", "Northern Credit")
FINGERPRINT = "0123456789abcdef" * 4
STEP = GaussianSteps(sampling_probability=0.25, noise_multiplier=9.0, num_steps=1)
ONE_SHOT = GaussianSteps(sampling_probability=1.0, noise_multiplier=4.0, num_steps=1)
ROUNDS = 8
TAMPERINGS = 200


def spend(ledger: PrivacyLedger) -> None:
    for server_round in range(1, ROUNDS + 1):
        release = Release(name="federation", server_round=server_round, event=STEP, digest=f"{server_round:064x}")
        ledger.intend(release)
        ledger.commit(release, num_noise_draws=1)
    ledger.intend(Release(name="reference.one_shot", server_round=1, event=ONE_SHOT, digest="0" * 64))


@pytest.fixture
def folder(tmp_path: Path, made_up: MakeRecord) -> Path:
    place = tmp_path / "run"
    ledgers = {}
    for name in LENDERS:
        path = ledger_path(place / "ledger", name)
        ledgers[name] = PrivacyLedger.open(path, institution=name, fingerprint=FINGERPRINT, mode="simulated")
        spend(ledgers[name])
    statement = state(
        {name: ledger.events("federation") for name, ledger in ledgers.items()},
        delta=1e-5, unit="loan", relation="zero_out", mode="simulated", covers="updates",
    )  # fmt: skip
    heads = {name: ledger.head for name, ledger in ledgers.items()}
    write_record(
        replace(made_up(lenders=LENDERS), fingerprint=FINGERPRINT, statement=statement.to_json(), ledger_heads=heads),
        place,
    )
    return place


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def bit_flipped(lines: list[bytes], chance: random.Random) -> list[bytes]:
    data = bytearray(b"".join(lines))
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return [bytes(data)]


def swapped(lines: list[bytes], chance: random.Random) -> list[bytes]:
    one, other = sorted(chance.sample(range(len(lines)), 2))
    return [*lines[:one], lines[other], *lines[one + 1 : other], lines[one], *lines[other + 1 :]]


def dropped(lines: list[bytes], chance: random.Random) -> list[bytes]:
    place = chance.randrange(len(lines))
    return [*lines[:place], *lines[place + 1 :]]


def doubled(lines: list[bytes], chance: random.Random) -> list[bytes]:
    place = chance.randrange(len(lines))
    return [*lines[: place + 1], *lines[place:]]


def truncated(lines: list[bytes], chance: random.Random) -> list[bytes]:
    data = b"".join(lines)
    return [data[: chance.randrange(len(data))]]


def cut_at_a_line(lines: list[bytes], chance: random.Random) -> list[bytes]:
    return lines[: chance.randrange(len(lines))]


def edited_body(lines: list[bytes], chance: random.Random) -> tuple[int, dict[str, object]]:
    intents = [place for place, line in enumerate(lines) if b'"kind":"intent"' in line]
    place = chance.choice(intents)
    body = {key: value for key, value in json.loads(lines[place]).items() if key != "digest"}
    key = chance.choice(["noise_multiplier", "sampling_probability", "num_steps", "server_round"])
    return place, {**body, key: body[key] + 1 if key in ("num_steps", "server_round") else body[key] * 0.5}


def digest_of(line: bytes) -> str:
    return str(json.loads(line)["digest"])


def edited(lines: list[bytes], chance: random.Random) -> list[bytes]:
    place, body = edited_body(lines, chance)
    changed = json.dumps({**body, "digest": digest_of(lines[place])}, sort_keys=True, separators=(",", ":")) + "\n"
    return [*lines[:place], changed.encode(), *lines[place + 1 :]]


def edited_and_sealed_again(lines: list[bytes], chance: random.Random) -> list[bytes]:
    place, body = edited_body(lines, chance)
    return [*lines[:place], seal(body, previous=digest_of(lines[place - 1]))[0], *lines[place + 1 :]]


def whole_chain_sealed_again(lines: list[bytes], chance: random.Random) -> list[bytes]:
    place, body = edited_body(lines, chance)
    new, previous = [], GENESIS
    for number, line in enumerate(lines):
        content = body if number == place else {k: v for k, v in json.loads(line).items() if k != "digest"}
        new.append(seal(content, previous=previous)[0])
        previous = digest_of(new[-1])
    return new


def appended(lines: list[bytes], chance: random.Random) -> list[bytes]:
    return [
        *lines,
        seal({"kind": "commit", "intent": len(lines), "num_noise_draws": 1}, previous=digest_of(lines[-1]))[0],
    ]


TAMPER = (
    bit_flipped, swapped, dropped, doubled, truncated, cut_at_a_line, edited, edited_and_sealed_again,
    whole_chain_sealed_again, appended,
)  # fmt: skip


def test_every_one_of_two_hundred_tamperings_is_found_in_its_file_and_at_or_after_its_line(folder: Path) -> None:
    assert all(verdict.is_sound for verdict in verify_ledgers(ledger_files(folder)))
    chance = random.Random(20261125)
    found: Counter[str] = Counter()
    for number in range(TAMPERINGS):
        tamper = TAMPER[number % len(TAMPER)]
        path = ledger_path(folder / "ledger", LENDERS[number % len(LENDERS)])
        sound = path.read_bytes()
        new = b"".join(tamper(lines_of(path), chance))
        assert new != sound
        path.write_bytes(new)
        verdicts = verify_ledgers(ledger_files(folder))
        bad = [verdict for verdict in verdicts if not verdict.is_sound]
        assert [str(path) in verdict.text for verdict in bad] == [True], f"{tamper.__name__} number {number}"
        same = next((i for i, (a, b) in enumerate(zip(sound, new, strict=False)) if a != b), min(len(sound), len(new)))
        first_change = sound[:same].count(b"\n") + 1
        assert bad[0].line is not None
        assert bad[0].line >= min(first_change, new.count(b"\n") + (not new.endswith(b"\n")))
        if tamper in (bit_flipped, edited):
            assert bad[0].line == first_change
        if tamper is edited_and_sealed_again and first_change < sound.count(b"\n"):
            assert bad[0].line == first_change + 1
        found[tamper.__name__] += 1
        path.write_bytes(sound)
    assert set(found.values()) == {TAMPERINGS // len(TAMPER)}


def test_missing_strange_and_exchanged_ledgers_are_found(folder: Path) -> None:
    first, second, third = (ledger_path(folder / "ledger", name) for name in LENDERS)
    kept = first.read_bytes()
    first.unlink()
    assert [v.line for v in verify_ledgers(ledger_files(folder))] == [1, None, None]
    shutil.copy(second, first)
    assert [v.is_sound for v in verify_ledgers(ledger_files(folder))] == [False, True, True]
    first.write_bytes(kept)
    stranger = folder / "ledger" / "stranger.jsonl"
    shutil.copy(third, stranger)
    assert [v.is_sound for v in verify_ledgers(ledger_files(folder))] == [True, True, True, False]


def test_record_that_states_another_epsilon_than_its_ledger_is_found(folder: Path) -> None:
    text = (folder / "record.json").read_text()
    record = json.loads(text)
    record["statement"]["per_lender"][LENDERS[1]]["value"] *= 0.9
    (folder / "record.json").write_text(json.dumps(record))
    verdicts = verify_ledgers(ledger_files(folder))
    assert [verdict.is_sound for verdict in verdicts] == [True, False, True]
    assert "the run's record states" in verdicts[1].text


def test_unfinished_run_must_hold_the_heads_it_told_last(folder: Path) -> None:
    (folder / "record.json").unlink()
    path = ledger_path(folder / "ledger", LENDERS[0])
    ledger = PrivacyLedger.open(path, institution=LENDERS[0], fingerprint=FINGERPRINT, mode="simulated")
    told = json.dumps(with_heads({"server_round": 8}, {LENDERS[0]: ledger}))
    (folder / "rounds.jsonl").write_text(f'{told}\n{{"server_round": 9}}\n{{"server_ro')
    assert kept_heads(folder) == {LENDERS[0]: ledger.head}
    assert [v.is_sound for v in verify_ledgers(ledger_files(folder))] == [True, True, True]
    path.write_bytes(b"".join(lines_of(path)[:-1]))
    assert sum(not v.is_sound for v in verify_ledgers(ledger_files(folder))) == 1
    path.unlink()
    assert sum(not v.is_sound for v in verify_ledgers(ledger_files(folder))) == 1


def test_show_prices_each_release_and_their_sum(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "show", str(folder)]) == 0
    shown = capsys.readouterr().out
    prices = [epsilon(events, delta=1e-5).value for events in ([STEP] * 8, [ONE_SHOT], merge([*[STEP] * 8, ONE_SHOT]))]
    rows = [line.split() for line in shown.splitlines() if line.startswith(LENDERS[0])]
    assert [float(row[-2]) for row in rows] == pytest.approx(prices, abs=1e-3)
    assert all(float(row[-2]) >= price for row, price in zip(rows, prices, strict=True))
    assert [row[2:6] for row in rows] == [
        ["federation", "8", "0", "0"], ["reference.one_shot", "1", "1", "0"], ["all", "of", "them", "9"],
    ]  # fmt: skip
    assert all(text in shown for text in ("delta 1e-05", "unit: loan", "relation: zero_out", "closed_form"))
    assert main(["ledger", "show", str(folder), "--delta", "2"]) == 2


def _deltas(shown: str) -> list[str]:
    return re.findall(r"at delta (\S+);", shown)


def test_a_ledger_is_priced_at_the_delta_its_run_promises_or_the_delta_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ledger_path(folder / "ledger", LENDERS[0])
    assert main(["ledger", "show", str(folder)]) == 0
    assert _deltas(capsys.readouterr().out) == ["1e-05"]
    (folder / "record.json").unlink()
    for place in (folder, path):
        assert main(["ledger", "show", str(place)]) == 2
        assert "name it with --delta" in capsys.readouterr().err
        assert main(["ledger", "show", str(place), "--delta", "0.001"]) == 0
        assert _deltas(capsys.readouterr().out) == ["0.001"]
    (folder / "experiment.yaml").write_text("privacy:\n  target_delta: 3.0e-05\n")
    for place in (folder, path):
        assert main(["ledger", "show", str(place)]) == 0
        assert _deltas(capsys.readouterr().out) == ["3e-05"]


def test_a_shared_ledger_is_priced_at_the_delta_of_its_runs_and_of_several_none_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0123456789abcdef" / "harbour-bank.jsonl"
    (tmp_path / KEY_FILE).write_bytes(bytes(32))
    for number, delta in enumerate((2e-4, 2e-4, 1e-5)):
        with DatasetLedger.open(path, institution=LENDERS[0], dataset="d" * 64, begin=number == 0) as ledger:
            account = RunAccount(ledger, fingerprint=f"{number:064x}", target_delta=delta)
            account.intend(Release(name="federation", server_round=1, event=STEP, digest="0" * 64))
        for place in (path, tmp_path):
            told = main(["ledger", "show", str(place)])
            if number < 2:
                assert told == 0
                assert _deltas(capsys.readouterr().out) == ["0.0002"]
            else:
                assert told == 2
                assert "at delta 1e-05 and 0.0002" in capsys.readouterr().err


def test_verify_exits_with_one_and_the_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", str(folder)]) == 0
    assert capsys.readouterr().out.count("sound: ") == 3
    path = ledger_path(folder / "ledger", LENDERS[2])
    path.write_bytes(path.read_bytes().replace(b'"server_round":3', b'"server_round":7', 1))
    assert main(["ledger", "verify", str(folder)]) == 1
    assert "line 6 was changed" in capsys.readouterr().out
    assert main(["ledger", "verify", str(path)]) == 1
    assert main(["ledger", "show", str(folder)]) == 2
    assert main(["ledger", "export", str(folder)]) == 2
    assert capsys.readouterr().out.count("line 6") == 1


def test_single_file_says_what_it_cannot_show(folder: Path) -> None:
    path = ledger_path(folder / "ledger", LENDERS[0])
    path.write_bytes(b"".join(lines_of(path)[:-2]))
    [verdict] = verify_ledgers(ledger_files(path))
    assert verdict.is_sound
    assert "lines cut off at its end would show only beside the run's own record" in verdict.text


def test_export_holds_every_line_in_both_forms(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledgers = read_ledgers(ledger_files(folder))
    rows = list(csv.DictReader(io.StringIO(export_csv(ledgers))))
    content = json.loads(export_json(ledgers))
    assert len(rows) == 3 * (2 * ROUNDS + 1)
    for name, exported in zip(LENDERS, content["ledgers"], strict=True):
        path = ledger_path(folder / "ledger", name)
        own = [row for row in rows if row["institution"] == name]
        assert [int(row["line"]) for row in own] == list(range(2, 2 * ROUNDS + 3))
        assert [row["kind"] for row in own] == [json.loads(line)["kind"] for line in lines_of(path)[1:]]
        assert exported["head"] == digest_of(lines_of(path)[-1])
        assert sum(event["num_steps"] for event in exported["spent"]) == ROUNDS + 1
        assert [entry["release_digest"] for entry in exported["entries"]] == [row["release_digest"] for row in own]
    assert main(["ledger", "export", str(folder)]) == 0
    assert capsys.readouterr().out == export_csv(ledgers)
    assert main(["ledger", "export", "--json", str(folder)]) == 0
    assert capsys.readouterr().out == export_json(ledgers)


def test_places_without_a_ledger_are_one_clear_message(tmp_path: Path, made_up: MakeRecord) -> None:
    with pytest.raises(InputError, match="there is no ledger in"):
        ledger_files(tmp_path)
    with pytest.raises(InputError, match="there is no ledger in"):
        ledger_files(tmp_path / "nowhere")
    write_record(made_up(epsilon=None), tmp_path)
    with pytest.raises(InputError, match="promises no privacy"):
        ledger_files(tmp_path)
