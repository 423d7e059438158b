"""Who is on this host: tenants and workers, and when the pool wants to be woken."""

from __future__ import annotations

from scattergather.workers.pool.tenant import Tenant
from scattergather.workers.pool.worker import PoolWorker


class Crew:
    """Tenants and workers of one host, each by its number.

    ``slots`` is how many workers run at a time, ``wake_at`` when to tick the pool, or None. With
    ``own`` the one tenant that there is says how many they are.
    """

    def __init__(self, slots: int, *, own: bool = False) -> None:
        self.slots = slots
        self.own = own
        self.tenants: dict[int, Tenant] = {}
        self.workers: dict[int, PoolWorker] = {}
        self.wake_at: float | None = None
        self._count = 0

    def wake(self, at: float) -> None:
        """The pool is ticked at ``at`` at the latest."""
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    def enter_worker(self, tenant: Tenant) -> PoolWorker:
        """A worker that is about to be forked for a tenant has a number and is known here."""
        self._count += 1
        worker = PoolWorker(self._count, tenant.number)
        self.workers[worker.number] = tenant.workers[worker.number] = worker
        return worker

    def remove_tenant(self, number: int) -> Tenant | None:
        """A tenant and its workers are known no more, and nothing of it is handed out."""
        tenant = self.tenants.pop(number, None)
        if tenant is not None:
            for each in tenant.workers:
                del self.workers[each]
            tenant.queue.clear()
            tenant.idle.clear()
            tenant.ahead.clear()
        return tenant
