"""One event taken in: what every function of the pool is given first."""

from __future__ import annotations

from scattergather.wire.messages.page import FromPool, ToWorker
from scattergather.workers.pool import actions
from scattergather.workers.pool.crew import Crew
from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import PoolWorker


class Turn:
    """The moment ``now`` of an event, the ``crew`` that it meets, and what is ``asked`` for so far.

    What is asked for is carried out in this order. A pool has one turn and begins it anew with each
    event: an object more for each would cost more than is saved by passing one value, not three.
    """

    __slots__ = ("asked", "crew", "now")

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.now = 0.0
        self.asked: list[actions.Action] = []

    def ask(self, action: actions.Action) -> None:
        """This action is to be carried out behind those that were asked for before."""
        self.asked.append(action)

    def report(
        self, tenant: Tenant, message: FromPool, body: bytes = b"", *, patient: bool = False
    ) -> None:
        """The tenant's controller is to get this message; a ``patient`` one may wait for others."""
        self.asked.append(
            actions.Report(tenant=tenant.number, message=message, body=body, patient=patient)
        )

    def tell(self, worker: PoolWorker, message: ToWorker, body: bytes = b"") -> None:
        """The worker is to get this message."""
        self.asked.append(actions.Tell(worker=worker.number, message=message, body=body))

    def end_session(self, tenant: Tenant, error: Exception) -> None:
        """This tenant is forgotten, and its session ends; all others go on.

        Whatever goes wrong for the sake of a tenant ends here. If it went up, it would end whatever
        else is done in this turn, for others.
        """
        if self.crew.remove_tenant(tenant.number) is not None:
            self.asked.append(actions.EndSession(tenant=tenant.number, error=error))
