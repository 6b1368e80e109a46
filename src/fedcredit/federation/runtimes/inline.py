"""The inline runtime: lenders are called in turn, in this process, over a Flower ``Grid`` of our own.

Records are copied on the way to a lender and on the way back, as a real transport does; otherwise
a strategy and its lenders would share objects. A call is not a wait, so no deadline applies here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any, TypeVar, final

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedcredit.federation.client import Lender, make_client_app
from fedcredit.federation.flower_private import INLINE_IDENTITY, identify_process, quieten_flower

Result = TypeVar("Result")
_INSTITUTION = "institution"


def run_inline(lenders: Mapping[str, Lender], serve: Callable[[Grid], Result]) -> Result:
    """Serve a federation whose lenders live in this process.

    Args:
        lenders: lenders by institution.
        serve: the server's side.

    Returns:
        What ``serve`` returns.
    """

    def find(context: Context) -> Lender:
        return lenders[str(context.node_config[_INSTITUTION])]

    return serve(InlineGrid(make_client_app(find), tuple(lenders)))


@final
class InlineGrid(Grid):
    """A grid that hands each message to the lenders' ClientApp at once."""

    def __init__(self, app: ClientApp, institutions: tuple[str, ...]) -> None:
        """Give every institution a node.

        Args:
            app: the lenders' ClientApp.
            institutions: their names.
        """
        identify_process()
        quieten_flower()
        self._app = app
        self._contexts = {
            node_id: Context(INLINE_IDENTITY, node_id, {_INSTITUTION: name}, RecordDict(), {})
            for node_id, name in enumerate(institutions, start=INLINE_IDENTITY + 1)
        }
        self._num_sent = 0
        self._replies: dict[str, Message] = {}

    def get_node_ids(self) -> list[int]:
        """Return the ids of all nodes.

        Returns:
            Node ids.
        """
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Deliver messages and keep the replies.

        Args:
            messages: requests to nodes of this grid.

        Returns:
            The ids of the messages.
        """
        return [self._deliver(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return kept replies, each once.

        Args:
            message_ids: ids that ``push_messages`` returned.

        Returns:
            Their replies.
        """
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Deliver messages and return the replies.

        Args:
            messages: requests to nodes of this grid.
            timeout: not used; nothing is waited for.

        Returns:
            The replies, in the order of the requests.
        """
        return self.pull_messages(self.push_messages(messages))

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Create a request.

        Args:
            content: its content.
            message_type: its type.
            dst_node_id: the node that it goes to.
            group_id: the round.
            ttl: how long it is valid, in seconds.

        Returns:
            The request.
        """
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def set_run(self, run: Any) -> None:  # noqa: ANN401 - Flower's Run is not public
        """Do nothing: there is no Flower run here.

        Args:
            run: not used.
        """

    @property
    def run(self) -> Any:  # noqa: ANN401 - Flower's Run is not public
        """There is no Flower run here.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("the inline grid belongs to no Flower run")

    def _deliver(self, message: Message) -> str:
        self._num_sent += 1
        message_id = f"inline-{self._num_sent}"
        message.metadata.__dict__["_message_id"] = message_id
        received = copy(message)
        received.content = _copied(message.content)
        reply = self._app(received, self._contexts[message.metadata.dst_node_id])
        if reply.has_content():
            reply.content = _copied(reply.content)
        self._replies[message_id] = reply
        return message_id


def _copied(content: RecordDict) -> RecordDict:
    """Copy records and lists; the bytes of arrays cannot change and are shared."""
    copies = content.copy()
    for name, record in content.items():
        twin: Any = record.copy()
        for key, value in record.items():
            if isinstance(value, list):
                twin[key] = list(value)
        copies[name] = twin
    return copies
