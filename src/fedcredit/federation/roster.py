"""Who is there: every node is asked its name once, before round 1, and must match the contract table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedcredit.data.contract import ContractTable
from fedcredit.errors import InputError
from fedcredit.federation.gate import Sent, admit
from fedcredit.federation.protocol import ROSTER, RosterReply, RosterRequest, read_roster_reply, write_roster_request

_POLL_SECONDS = 0.05


class RosterError(InputError):
    """The lenders that answer are not those of the contract table."""


def call_roster(grid: Grid, contracts: ContractTable, *, fingerprint: str, deadline_seconds: float) -> dict[str, int]:
    """Ask every node who it is.

    Args:
        grid: the runtime's grid.
        contracts: the contract table.
        fingerprint: the experiment's fingerprint.
        deadline_seconds: how long nodes may take to appear, and again to answer.

    Returns:
        Node id by institution, sorted by institution; node ids serve transport only.

    Raises:
        RosterError: if a lender is missing, unknown, there twice, or under another contract.
        TransportError: if the runtime itself reports an error.
    """
    nodes = _await_nodes(grid, len(contracts.institutions), deadline_seconds)
    content = write_roster_request(RosterRequest(fingerprint=fingerprint))
    messages = [Message(RecordDict(dict(content)), node, ROSTER) for node in nodes]
    replies = list(grid.send_and_receive(messages, timeout=deadline_seconds))
    places = {node: f"node {position + 1}" for position, node in enumerate(nodes)}
    sent = {
        message.metadata.message_id: Sent(institution=places[node], node_id=node)
        for message, node in zip(messages, nodes, strict=True)
    }
    admission = admit(replies, sent, lambda _, reply: read_roster_reply(reply))
    if admission.quarantined:
        reasons = "; ".join(f"{place}: {reason}" for place, reason in admission.quarantined.items())
        raise RosterError(f"{len(admission.quarantined)} of {len(nodes)} nodes gave no roster reply ({reasons})")
    node_of_place = {place: node for node, place in places.items()}
    answers = [(node_of_place[place], reply) for place, reply in admission.accepted.items()]
    return _match(answers, contracts)


def _match(answers: Sequence[tuple[int, RosterReply]], contracts: ContractTable) -> dict[str, int]:
    names = sorted(reply.institution for _, reply in answers)
    problems = [f"{name} is there {names.count(name)} times" for name in sorted(set(names)) if names.count(name) > 1]
    problems += [f"{name} is not in the contract table" for name in sorted(set(names) - set(contracts.institutions))]
    problems += [f"{name} is missing" for name in sorted(set(contracts.institutions) - set(names))]
    digest = contracts.digest()
    problems += [
        f"{reply.institution} holds another contract table"
        for _, reply in sorted(answers, key=lambda answer: answer[1].institution)
        if reply.contract_digest != digest
    ]
    if problems:
        raise RosterError(
            f"the roster does not match the contract table of {len(contracts.institutions)} lenders: "
            f"{'; '.join(problems)}. Start every lender once, from the same experiment file and table"
        )
    found: Mapping[str, int] = {reply.institution: node for node, reply in answers}
    return {name: found[name] for name in sorted(found)}


def _await_nodes(grid: Grid, needed: int, deadline_seconds: float) -> list[int]:
    """Wait for as many nodes as there are lenders; a runtime may register them while we ask."""
    end = time.monotonic() + deadline_seconds
    while len(nodes := list(grid.get_node_ids())) < needed:
        if time.monotonic() > end:
            raise RosterError(
                f"{len(nodes)} of {needed} lenders appeared within {deadline_seconds:g} s "
                "(strategy.deadline_seconds); start the others, or allow more time"
            )
        time.sleep(_POLL_SECONDS)
    return nodes
