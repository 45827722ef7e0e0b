"""Putting a choice together: who was taken, in what order, and a reason for everyone."""

from collections.abc import Callable, Mapping, Sequence

from .qualifying import Qualified
from .records import Choice, Offer, SessionView

Ordering = Callable[[Sequence[Offer]], list[tuple[Offer, str]]]
"""Orders offers, best first, and says of each in a few words what speaks for it."""


def fill(view: SessionView, qualified: Qualified, order: Ordering) -> tuple[list[tuple[Offer, str]], dict[int, str]]:
    """Take as many as wanted, able ones first, spare ones to fill up; wanting all takes spare ones only in their place.

    Returns
    -------
    tuple
        The taken with their reasons, and reasons for those that qualified and were left.
    """
    ranked = order(qualified.able)
    if not ranked or len(qualified.able) < view.want:
        ranked += [(offer, f"{words}; {qualified.doubts[offer.id]}") for offer, words in _spare(qualified, order)]
    taken = ranked[: view.want] if view.want else ranked
    reasons = {offer.id: f"left: {view.want} others came first ({words})" for offer, words in ranked[len(taken) :]}
    for offer in qualified.spare:
        reasons.setdefault(offer.id, f"left: {qualified.doubts[offer.id]}, and there are better ones")
    return taken, reasons


def _spare(qualified: Qualified, order: Ordering) -> list[tuple[Offer, str]]:
    """Order the spare ones, those with the lesser doubt first (they come so from the filter)."""
    kinds = list(dict.fromkeys(offer.category for offer in qualified.spare))
    return [ranked for kind in kinds for ranked in order([o for o in qualified.spare if o.category == kind])]


def answer(
    view: SessionView,
    taken: Sequence[tuple[Offer, str]],
    left: Mapping[int, str],
    scores: Mapping[int, float],
    how: str,
) -> Choice:
    """Make the choice of ``taken`` with what speaks for each and ``left`` with reasons; ``how`` says it in short."""
    chosen = tuple(offer.id for offer, _ in taken)
    reasons = {**left, **{offer.id: f"taken: {words}" for offer, words in taken}}
    ids = [offer.id for offer in view.offers]
    count = f"{len(chosen)} of {len(ids)} {view.question}"
    summary = f"{count}: {how}" if ids else f"no {view.question} were offered"
    return Choice(
        chosen=chosen,
        scores={offer_id: float(scores.get(offer_id, 0.0)) for offer_id in sorted(ids)},
        reasons={offer_id: reasons[offer_id] for offer_id in sorted(ids)},
        summary=summary,
    )
