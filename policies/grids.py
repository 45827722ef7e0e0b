"""Which grids have earned more time: by the share of usable exposures and how far their CTF fits reach."""

from .answering import answer
from .qualifying import feature, score_of
from .records import Choice, Offer, SessionView

_FULL_MARK_A = 3.0
"""A median fit this good or better counts in full, a coarser one less. What is usable is for the protocol to say; the
fit orders grids of about the same share."""


def rank_grids(view: SessionView) -> Choice:
    """Take the best grids, those of which nothing is known yet after them; grids that only gave bad images are left."""
    scores = {offer.id: grid_score(offer) for offer in view.offers}
    order = sorted(view.offers, key=lambda offer: (-scores[offer.id], offer.number, offer.id))
    fit = [offer for offer in order if not _useless(offer)]
    taken = fit[: view.want] if view.want else fit
    left = {offer.id: f"left: {view.want} better grids came first ({in_words(offer)})" for offer in fit[len(taken) :]}
    left |= {offer.id: f"left: {in_words(offer)}" for offer in order if _useless(offer)}
    return answer(view, [(offer, in_words(offer)) for offer in taken], left, scores, "the best by usable exposures")


def grid_score(offer: Offer) -> float:
    """Give 0 to 1: the expected share of usable exposures, weighted by their fits.

    The share is Laplace's (usable + 1) / (analysed + 2), its weight 3 Å over the median fit, as the report ranks.
    Without analysed exposures 0; a grid offered without those numbers keeps the score it came with.
    """
    analysed, usable = feature(offer, "analysed"), feature(offer, "usable")
    if analysed is None or usable is None:
        return score_of(offer)
    if analysed <= 0:
        return 0.0
    fit_a = feature(offer, "median_fit_a")
    reach = min(1.0, _FULL_MARK_A / fit_a) if fit_a is not None and fit_a > 0 else 0.5
    return (usable + 1) / (analysed + 2) * reach if usable > 0 else 0.0


def in_words(offer: Offer) -> str:
    """Say what is known of a grid."""
    analysed, usable, fit_a = (feature(offer, name) for name in ("analysed", "usable", "median_fit_a"))
    if analysed is None or usable is None:
        return f"score {score_of(offer):.2f}"
    if analysed <= 0:
        return "nothing of it has been analysed yet"
    if usable <= 0:
        return f"none of its {analysed:.0f} analysed exposures was usable"
    reach = f", median fit {fit_a:.1f} Å" if fit_a is not None else ""
    return f"{usable:.0f} of {analysed:.0f} analysed exposures usable{reach}"


def _useless(offer: Offer) -> bool:
    analysed, usable = feature(offer, "analysed"), feature(offer, "usable")
    return analysed is not None and usable is not None and analysed > 0 and usable <= 0
