"""Bugs outside the trainers: streams, ledger, statement, protocol, preprocessing. Each is everybody's at once."""

# ruff: noqa: E501 (lines of the source, as they stand)
from __future__ import annotations

from mutants.mutant import at, mutant

_SEEDS = "seeds.py"
_BOOK = "privacy/accounting/book.py"
_LEDGER = "privacy/accounting/ledger.py"
_STATEMENT = "privacy/accounting/statement.py"
_CLIENT = "federation/client.py"
_LEDGER_TESTS = "tests/unit/privacy/accounting/test_ledger.py::"
_STATEMENT_TESTS = "tests/unit/privacy/accounting/test_statement.py::"
_PLAN_TESTS = "tests/unit/privacy/test_plan.py::"
_CLIENT_TESTS = "tests/unit/federation/test_client.py::"

OUTSIDE_TRAINERS = (
    mutant(
        "noise shared by the arms of a sweep",
        at(_SEEDS, '_named("private", fingerprint, str(seed),', '_named("private", "", str(seed),'),
        outside="tests/unit/experiment/test_fingerprint.py::test_arms_of_a_sweep_with_one_seed_share_no_noise_stream",
    ),
    mutant(
        "noise shared by the lenders",
        at(_SEEDS, "str(seed), institution, purpose)", 'str(seed), "", purpose)'),
        outside="tests/contracts/test_trainers.py::test_another_name_draws_another_round[vectorised-institution]",
    ),
    mutant(
        "noise drawn from the sampler's stream",
        at(_SEEDS, "str(seed), institution, purpose)", 'str(seed), institution, "")'),
        outside="tests/statistical/test_noise.py::test_sampling_and_noise_of_a_lender_share_no_word",
    ),
    mutant(
        "ledger begun anew each round",
        at(
            _LEDGER,
            "        if not path.exists():",
            "        path.unlink(missing_ok=True)\n        if not path.exists():",
        ),
        outside=_LEDGER_TESTS + "test_epsilon_composes_over_rounds_and_over_closing_and_reopening",
    ),
    mutant(
        "commit without intent let through",
        at(
            _LEDGER,
            '            raise NoiseDrawsError(f"release {release.name!r} of round {release.server_round} was never intended")',
            "            return",
        ),
        outside=_LEDGER_TESTS + "test_commit_without_intent_raises",
    ),
    mutant(
        "intent written after the gradient",
        at(_CLIENT, "    release = _intend(lender, request)\n    outcome", "    outcome"),
        at(
            _CLIENT,
            "    if release is not None and lender.ledger is not None:",
            "    release = _intend(lender, request)\n    if release is not None and lender.ledger is not None:",
        ),
        outside=_CLIENT_TESTS + "test_the_release_is_on_disk_before_the_first_gradient",
    ),
    mutant(
        "loans of a borrower clipped to the whole norm each",
        at(
            "experiment/prepare.py",
            "clipping_norm=plan.clipping_norm / num_loans if",
            "clipping_norm=plan.clipping_norm if",
        ),
        outside=_PLAN_TESTS + "test_loans_of_a_sampled_borrower_share_the_norm_and_the_noise_stays",
    ),
    mutant(
        "several loans of a borrower priced as one",
        at("privacy/plan.py", "                privacy.samples_in_unit,\n", "                1,\n"),
        outside=_PLAN_TESTS + "test_loans_sampled_one_by_one_are_priced_for_as_many_as_a_borrower_has",
    ),
    mutant(
        "one loan of a borrower beyond the cap",
        at("data/borrowers.py", "rank >= cap.max_loans", "rank > cap.max_loans"),
        outside="tests/unit/data/test_borrowers.py::test_each_borrower_keeps_as_many_loans_as_allowed_side_by_side",
    ),
    mutant(
        "noise draws beyond the intent not charged",
        at(_BOOK, "elif entry.num_noise_draws is not None and", "elif False and entry.num_noise_draws is not None and"),
        outside=_LEDGER_TESTS + "test_commit_with_the_wrong_number_of_noise_draws_raises_and_charges_what_was_drawn",
    ),
    mutant(
        "crash forgiven: only committed releases charged",
        at(
            _BOOK,
            '        if entry.kind == "intent":\n            yield event',
            '        if entry.kind == "commit":\n            yield event',
        ),
        outside=_LEDGER_TESTS + "test_intent_without_commit_is_charged_in_full_and_its_replay_is_free",
    ),
    mutant(
        "another release of the same round free",
        at(
            _LEDGER,
            "        if release in self._book.free:\n            return",
            "        if any(release.server_round == free.server_round for free in self._book.free):\n            return",
        ),
        outside=_LEDGER_TESTS + "test_anything_but_an_identical_release_is_charged",
    ),
    mutant(
        "epsilon of one round stated for the run",
        at(
            "privacy/accounting/events.py",
            "steps[one_step(event)] += event.num_steps",
            "steps[one_step(event)] = event.num_steps",
        ),
        outside=_LEDGER_TESTS + "test_epsilon_composes_over_rounds_and_over_closing_and_reopening",
    ),
    mutant(
        "borrower at two lenders priced as the worse of them",
        at(
            _STATEMENT,
            "merge(itertools.chain.from_iterable(choice)) for choice",
            "max(choice, key=lambda events: quick_epsilon(events, delta=delta).value) for choice",
        ),
        outside=_STATEMENT_TESTS + "test_equal_lenders_at_one_two_and_three",
    ),
    mutant(
        "delta spent once at each lender",
        at(
            _STATEMENT,
            "overlap={count: epsilon(events, delta=delta) for",
            "overlap={count: epsilon(events, delta=count * delta) for",
        ),
        outside=_STATEMENT_TESTS + "test_equal_lenders_at_one_two_and_three",
    ),
    mutant(
        "epsilon rounded down in print",
        at("privacy/accounting/statement_wording.py", "math.ceil(value * 1000.0 - 1e-9)", "math.floor(value * 1000.0)"),
        outside=_STATEMENT_TESTS + "test_told_figures_are_rounded_up",
    ),
    mutant(
        "calibration settles above the target",
        at("privacy/accounting/calibration.py", "if -tolerance <= gap <= 0.0:", "if -tolerance <= gap <= tolerance:"),
        outside="tests/unit/privacy/accounting/test_calibration.py::test_search_never_gives_too_little_noise",
    ),
    mutant(
        "server's noise forgets the largest weight",
        at(
            "federation/central.py",
            "self._server.clipping_norm * self._largest_weight",
            "self._server.clipping_norm / 10",
        ),
        outside="tests/unit/federation/test_central.py::test_the_noise_is_sigma_c_times_the_largest_weight",
    ),
    mutant(
        "server's mean renormalised by who answers",
        at("federation/central.py", "total / self._chance)", "total / (self._chance * max(1, len(replies))))"),
        outside="tests/unit/federation/test_central.py::test_one_institution_moves_the_mean_by_no_more_than_its_bound_whatever_it_sends",
    ),
    mutant(
        "lenders of a secure sum share the deviation and not the variance",
        at("privacy/secure_sum.py", "1.0 / math.sqrt(num_lenders) if", "1.0 / num_lenders if"),
        outside="tests/unit/privacy/test_secure_sum.py::test_the_sum_carries_the_noise_of_one_mechanism",
    ),
    mutant(
        "loans read for ranges before they are charged",
        at(
            "experiment/charged_ranges.py",
            "            ledger.intend(entry)\n        yield\n        for ledger in opened.values():\n",
            "        yield\n        for ledger in opened.values():\n            ledger.intend(entry)\n",
        ),
        outside="tests/unit/experiment/test_charged.py::"
        "test_a_crash_while_loans_are_read_for_ranges_is_charged_to_every_lender",
    ),
    mutant(
        "restart of a deployed run free",
        at(
            "privacy/accounting/run_ledger.py",
            "        self._intents[release] = self.dataset",
            "        if release in self.dataset._book.free:\n            return\n"
            "        self._intents[release] = self.dataset",
        ),
        outside="tests/unit/privacy/accounting/test_dataset_ledger.py::"
        "test_a_restarted_run_pays_again_for_the_release_it_died_in",
    ),
    mutant(
        "charged releases left out of a plan",
        at("experiment/charged_plan.py", "{FEDERATION: (event,), **charged}", "{FEDERATION: (event,)}"),
        outside="tests/unit/experiment/test_outlook.py::test_a_plan_prices_what_is_charged_of_held_out_loans_too",
    ),
    mutant(
        "cap looks at what was spent and not at what is asked for",
        at(
            "privacy/accounting/ledger.py",
            "[*self._book.events(release.name), release.event]",
            "self._book.events(release.name)",
        ),
        outside="tests/unit/privacy/test_cap.py::test_a_ledger_refuses_the_release_that_passes_the_cap_and_charges_nothing_for_it",
    ),
    mutant(
        "every lender gets the federation's target",
        at("privacy/budgets.py", "privacy.budgets.get(institution, privacy.target_epsilon)", "privacy.target_epsilon"),
        outside="tests/unit/privacy/test_budgets.py::test_every_lender_gets_its_own_target_from_the_safe_side",
    ),
    mutant(
        "plan of one round priced for the run",
        at("privacy/plan.py", "c.local_steps * num_rounds, target_of", "c.local_steps, target_of"),
        outside="tests/unit/privacy/test_plan.py::test_rounds_add_up_to_the_run",
    ),
    mutant(
        "delta of one loan or more allowed",
        at("privacy/plan.py", "if delta * largest.num_loans >= 1.0:", "if delta >= 1.0:"),
        outside="tests/unit/privacy/test_plan.py::test_delta_that_permits_giving_a_loan_away_is_refused",
    ),
    mutant(
        "encoder centred on the rows",
        at("data/encoding.py", "(raw - feature.centre) * feature.scale", "(raw - raw.mean()) * feature.scale"),
        outside="tests/unit/data/test_encoding.py::"
        "test_encoding_without_a_loan_is_the_encoding_without_its_row_to_the_bit",
    ),
    mutant(
        "missing cells filled with the rows' median",
        at(
            "data/encoding.py",
            "np.where(np.isnan(values), float(column.impute), values)",
            "np.where(np.isnan(values), np.median(np.nan_to_num(values)), values)",
        ),
        outside="tests/unit/data/test_encoding.py::"
        "test_encoding_without_a_loan_is_the_encoding_without_its_row_to_the_bit",
    ),
    mutant(
        "reply leaves with a field more",
        at(
            "federation/protocol.py",
            "    if found != allowed or len(content)",
            "    if not found >= allowed or len(content)",
        ),
        outside="tests/unit/federation/test_protocol.py::test_one_more_key_in_any_record_of_a_reply_is_refused",
    ),
    mutant(
        "reply not checked on its way out",
        at(_CLIENT, "        check_reply(content, message_type=message.metadata.message_type, mode=lender.mode)\n", ""),
        outside=_CLIENT_TESTS + "test_a_handler_that_adds_a_key_sends_nothing",
    ),
    mutant(
        "text of an exception sent to the server",
        at(_CLIENT, "reason=log_id), reply_to", "reason=str(error)), reply_to"),
        outside=_CLIENT_TESTS + "test_an_exception_leaves_as_a_code_and_a_log_entry",
    ),
)
