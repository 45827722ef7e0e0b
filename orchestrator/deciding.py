"""Put a question to a policy and write the answer down so that it can be reproduced.

The seed follows from the night's seed and the question; what the policy may see ends at ``seen_upto``, the last event
before the intent was written. Both stand in the step's intent, so a decision made again after a crash is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..policies.records import Choice, Limits, Offer, Outcome, Question, SessionView
from ..protocols.screening import PluginChoice
from .night import Night

QUESTION_NUMBER: Mapping[Question, int] = {"grids": 1, "squares": 2, "holes": 3}


def decide(
    night: Night,
    question: Question,
    *,
    of_kind: str,
    of_id: int,
    label: str,
    choice: PluginChoice,
    offers: Sequence[Offer],
    want: int,
    record: Callable[[Entry, Choice], Choice],
    limits: Limits | None = None,
    barred: Mapping[int, str] | None = None,
) -> None:
    """Ask once, let ``record`` change the rows, and record the decision with everything offered.

    Parameters
    ----------
    offers
        What can be chosen.
    want
        How many; 0 is all that qualify.
    record
        Changes the rows; answers the choice as it was carried out (grouping may leave some of it).
    limits
        What the protocol asks of every choice on this level.
    barred
        What was ruled out before, by id, with the reason; shown in the decision, never offered.
    """
    policy = night.plugged.policy(choice)
    pass_number = night.me.pass_number
    seed_key = (night.me.seed, QUESTION_NUMBER[question], of_id, pass_number)

    def intend(_: Entry) -> dict[str, Any]:
        return {
            "seen_upto": night.journal.last_event(),
            "seed": int(np.random.SeedSequence(seed_key).generate_state(1)[0]),
        }

    def act(intent: Mapping[str, Any]) -> tuple[Choice, Mapping[str, Any]]:
        with night.journal.read() as db:
            outcomes = outcomes_upto(db, intent["seen_upto"])
        view = SessionView(question, tuple(offers), outcomes, want, intent["seen_upto"], limits or Limits())
        return policy.choose(view, np.random.default_rng(intent["seed"])), intent

    def write(entry: Entry, result: tuple[Choice, Mapping[str, Any]]) -> None:
        chosen, intent = result
        made = record(entry, chosen)
        reasons = {str(n): why for n, why in {**(barred or {}), **made.reasons}.items()}
        entry.say(f"{question}_chosen", f"{label}: {made.summary}", chosen=list(made.chosen))
        entry.decide(
            models.Decision(
                session_id=night.me.id,
                question=question,
                of_kind=of_kind,
                of_id=of_id,
                pass_number=pass_number,
                policy=policy.name,
                policy_version=policy.version,
                options=choice.options(),
                seed=intent["seed"],
                seen_upto=intent["seen_upto"],
                offered=[offer.id for offer in offers],
                chosen=list(made.chosen),
                scores={str(n): float(score) for n, score in made.scores.items()},
                reasons=reasons,
                summary=made.summary,
                at=entry.at,
            )
        )

    key = f"choose {question} of {of_kind} {of_id} pass {pass_number}"
    night.journal.step(key, "choose", act, write, intend=intend, grid_id=night.me.grid_id)


def outcomes_upto(db: OrmSession, event_id: int) -> tuple[Outcome, ...]:
    """Give what the exposures of this session have shown, as far as the record had it at that event."""
    judged = db.execute(
        select(models.Event.body).where(models.Event.kind == "exposure_judged", models.Event.id <= event_id)
    ).scalars()
    exposure_ids = [body["exposure_id"] for body in judged]
    rows = db.execute(
        select(models.Exposure, models.Hole, models.Square)
        .join(models.Hole, models.Exposure.hole_id == models.Hole.id)
        .join(models.Square, models.Hole.square_id == models.Square.id)
        .where(models.Exposure.id.in_(exposure_ids))
        .order_by(models.Exposure.number)
    ).all()
    measures: dict[int, dict[str, float]] = {}
    for measure in db.scalars(select(models.Measure).where(models.Measure.of_kind == "exposure")):
        measures.setdefault(measure.of_id, {})[measure.name] = measure.value
    return tuple(
        Outcome(
            hole_id=hole.id,
            square_id=square.id,
            grid_id=square.grid_id,
            x_um=hole.stage_x_um,
            y_um=hole.stage_y_um,
            usable=shot.usable,
            measures=measures.get(shot.id, {}),
        )
        for shot, hole, square in rows
    )
