"""Groups of alike offers: sorted by one number and cut into equal shares."""

from collections.abc import Callable, Sequence

from .records import Offer


def equal_shares(offers: Sequence[Offer], value: Callable[[Offer], float], count: int) -> list[list[Offer]]:
    """Cut offers into at most ``count`` groups of about equal number, lowest values first.

    Offers with the same value stay together, so there may be fewer groups; none is empty.
    """
    ordered = sorted(offers, key=lambda offer: (value(offer), offer.id))
    shares: dict[int, list[Offer]] = {}
    share, last = 0, None
    for rank, offer in enumerate(ordered):
        if value(offer) != last:
            share, last = rank * min(count, len(ordered)) // len(ordered), value(offer)
        shares.setdefault(share, []).append(offer)
    return list(shares.values())


def share_in_words(place: int, count: int, names: tuple[str, str, str]) -> str:
    """Name a group by its place: ``names`` are for the lowest, the middle and the highest.

    >>> share_in_words(0, 5, ("smallest", "middle", "largest"))
    'smallest fifth'
    >>> share_in_words(3, 5, ("smallest", "middle", "largest"))
    'second largest fifth'
    """
    part = {1: "whole", 2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth"}.get(count, f"part of {count}")
    if count == 1:
        return "only group"
    if 2 * place == count - 1:
        return f"{names[1]} {part}"
    from_end = min(place, count - 1 - place)
    rank = ("", "second ", "third ")[from_end] if from_end < 3 else f"{from_end + 1}th "
    return f"{rank}{names[0] if 2 * place < count - 1 else names[2]} {part}"
