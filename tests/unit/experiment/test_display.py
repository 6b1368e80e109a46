import io

from rich.console import Console

from fedcredit.experiment.display import RunDisplay


def _drawn(width: int) -> str:
    target = io.StringIO()
    with RunDisplay(enabled=True, console=Console(file=target, width=width, force_terminal=True)) as display:
        display.stage("rounds", 100, 100)
        display.note("rounds", "loss 0.4219  AUC 0.7857  epsilon 1.000")
    return target.getvalue()


def test_round_loss_auc_and_epsilon_fit_a_terminal_of_eighty_columns() -> None:
    drawn = _drawn(80)
    for text in ("rounds", "100/100", "loss 0.4219", "AUC 0.7857", "epsilon 1.000"):
        assert text in drawn


def test_a_display_that_is_switched_off_draws_nothing() -> None:
    target = io.StringIO()
    with RunDisplay(enabled=False, console=Console(file=target)) as display:
        display.stage("rounds", 1, 2)
    assert target.getvalue().strip() == ""
