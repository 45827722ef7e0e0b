"""Put a question to a policy and write the answer down so that it can be reproduced.

The seed follows from the night's seed and the question; what the policy may see ends at ``seen_upto``, the last event
before the intent was written. Both stand in the step's intent, so a decision made again after a crash is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from sqlalchemy import Row, select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..db.summary import USABLE_SHARE
from ..policies.records import Choice, Limits, Offer, Outcome, Policy, Question, SessionView
from ..protocols.screening import PluginChoice
from .night import Night

Shot = Row[int, bool | None, int, int, int, float, float]
"""An exposure and whether it is usable; its hole, square and grid; where the hole is, µm."""

QUESTION_NUMBER: Mapping[Question, int] = {"grids": 1, "squares": 2, "holes": 3}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a policy.

    Attributes
    ----------
    of_kind, of_id, label
        The row whose parts are chosen among, and how people call it.
    choice
        The policy, with its options, as the protocol names it.
    offers
        What can be chosen.
    want
        How many; 0 is all that qualify.
    limits
        What the protocol asks of every choice on this level.
    barred
        What was ruled out before, by id, with the reason; shown in the decision, never offered.
    """

    question: Question
    of_kind: str
    of_id: int
    label: str
    choice: PluginChoice
    offers: Sequence[Offer]
    want: int
    limits: Limits = field(default_factory=Limits)
    barred: Mapping[int, str] = field(default_factory=dict)


def decide(night: Night, asked: Asked, record: Callable[[Entry, Choice], Choice]) -> None:
    """Ask once, let ``record`` change the rows, and write the decision down with everything offered.

    ``record`` answers the choice as it was carried out, since grouping may leave some of it.
    """
    policy = night.plugged.policy(asked.choice)
    pass_number = night.me.pass_number
    seed_key = (night.me.seed, QUESTION_NUMBER[asked.question], asked.of_id, pass_number)

    def intend(_: Entry) -> dict[str, Any]:
        seed = int(np.random.SeedSequence(seed_key).generate_state(1)[0])
        return {"seen_upto": night.journal.last_event(), "seed": seed}

    def act(intent: Mapping[str, Any]) -> tuple[Choice, Mapping[str, Any]]:
        with night.journal.read() as db:
            outcomes = outcomes_upto(db, intent["seen_upto"])
        view = SessionView(asked.question, tuple(asked.offers), outcomes, asked.want, intent["seen_upto"], asked.limits)
        return policy.choose(view, np.random.default_rng(intent["seed"])), intent

    def write(entry: Entry, result: tuple[Choice, Mapping[str, Any]]) -> None:
        chosen, intent = result
        made = record(entry, chosen)
        entry.say(f"{asked.question}_chosen", f"{asked.label}: {made.summary}", chosen=list(made.chosen))
        entry.decide(_row(night, asked, policy, made, intent, entry))

    key = f"choose {asked.question} of {asked.of_kind} {asked.of_id} pass {pass_number}"
    night.journal.step(key, "choose", act, write, intend=intend, grid_id=night.me.grid_id)


def _row(
    night: Night, asked: Asked, policy: Policy, made: Choice, intent: Mapping[str, Any], entry: Entry
) -> models.Decision:
    return models.Decision(
        session_id=night.me.id,
        question=asked.question,
        of_kind=asked.of_kind,
        of_id=asked.of_id,
        pass_number=night.me.pass_number,
        policy=policy.name,
        policy_version=policy.version,
        options=asked.choice.options(),
        seed=intent["seed"],
        seen_upto=intent["seen_upto"],
        offered=[offer.id for offer in asked.offers],
        chosen=list(made.chosen),
        scores={str(n): float(score) for n, score in made.scores.items()},
        reasons={str(n): why for n, why in {**asked.barred, **made.reasons}.items()},
        summary=made.summary,
        at=entry.at,
    )


def outcomes_upto(db: OrmSession, event_id: int) -> tuple[Outcome, ...]:
    """Give what the exposures of this session have shown, as far as the record had it at that event."""
    judged = db.execute(
        select(models.Event.body).where(models.Event.kind == "exposure_judged", models.Event.id <= event_id)
    ).scalars()
    exposure_ids = [body["exposure_id"] for body in judged]
    rows = db.execute(
        select(
            models.Exposure.id,
            models.Exposure.usable,
            models.Hole.id.label("hole_id"),
            models.Hole.square_id,
            models.Square.grid_id,
            models.Hole.stage_x_um,
            models.Hole.stage_y_um,
        )
        .join(models.Hole, models.Exposure.hole_id == models.Hole.id)
        .join(models.Square, models.Hole.square_id == models.Square.id)
        .where(models.Exposure.id.in_(exposure_ids))
        .order_by(models.Exposure.number)
    ).all()
    measures: dict[int, dict[str, float]] = {}
    known = select(models.Measure.of_id, models.Measure.name, models.Measure.value)
    for exposure_id, name, value in db.execute(known.where(models.Measure.of_kind == "exposure")):
        measures.setdefault(exposure_id, {})[name] = value
    by_hole: dict[int, list[Shot]] = {}
    for shot in rows:
        by_hole.setdefault(shot.hole_id, []).append(shot)
    return tuple(_outcome(taken, measures) for taken in by_hole.values())


def _outcome(taken: Sequence[Shot], measures: Mapping[int, Mapping[str, float]]) -> Outcome:
    """Give what a hole has shown: the mean of its shots, usable if half of those with a verdict are.

    Shots of one hole tell of the same ice, so they count as one outcome, or a policy would take a hole for many. The
    best of them would promise what the others do not keep, and every hole is shot as often.
    """
    hole = taken[0]
    verdicts = [shot.usable for shot in taken if shot.usable is not None]
    shown = [measures.get(shot.id, {}) for shot in taken]
    names = list(dict.fromkeys(name for one in shown for name in one))
    return Outcome(
        hole_id=hole.hole_id,
        square_id=hole.square_id,
        grid_id=hole.grid_id,
        x_um=hole.stage_x_um,
        y_um=hole.stage_y_um,
        usable=sum(verdicts) >= USABLE_SHARE * len(verdicts) if verdicts else None,
        measures={name: fmean(one[name] for one in shown if name in one) for name in names},
    )
