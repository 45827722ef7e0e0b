"""``recorded-order``: what a recorded session chose, in its order; the yardstick for other policies on it."""

from collections.abc import Mapping
from typing import Any

from numpy.random import Generator

from .answering import answer
from .grids import rank_grids
from .options import PolicyOptions, read_options
from .qualifying import feature, qualify
from .records import Choice, SessionView


class RecordedOrderOptions(PolicyOptions):
    """It has none."""


class RecordedOrder:
    """Takes squares and holes by their feature ``order``, which the finders of a recording give; of grids the best."""

    name = "recorded-order"
    version = "1"

    def choose(self, view: SessionView, rng: Generator) -> Choice:
        """Choose the first recorded; what has no place in the order is left. ``rng`` is not used."""
        if view.question == "grids":
            return rank_grids(view)
        qualified = qualify(view)
        order = {offer.id: place for offer in view.offers if (place := feature(offer, "order")) is not None}
        ranked = [offer for offer in (*qualified.able, *qualified.spare) if offer.id in order]
        ranked.sort(key=lambda offer: (order[offer.id], offer.number, offer.id))
        taken = ranked[: view.want] if view.want else ranked
        left = {offer.id: "left: it has no place in the recorded order" for offer in view.offers}
        left |= {offer.id: f"left: {view.want} were recorded before it" for offer in ranked[len(taken) :]}
        return answer(
            view,
            [(offer, f"number {order[offer.id]:.0f} of the recording") for offer in taken],
            {**left, **qualified.refused},
            {offer_id: 1 / (1 + max(place, 0.0)) for offer_id, place in order.items()},
            "in recorded order",
        )


def recorded_order(options: Mapping[str, Any]) -> RecordedOrder:
    """Make the policy; raises BadInput for any option."""
    read_options(RecordedOrderOptions, options, RecordedOrder.name)
    return RecordedOrder()
