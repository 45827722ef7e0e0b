from pathlib import Path

from epicycle.orchestrator.flow import FLOW, Phase, mermaid

ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def test_every_phase_is_reached_and_leads_home():
    assert set(FLOW) == set(Phase)
    reached, edge = {Phase.INVENTORY}, [Phase.INVENTORY]
    while edge:
        for after in FLOW[edge.pop()] - reached:
            reached.add(after)
            edge.append(after)
    assert reached == set(Phase)
    home = {Phase.FINISHED}
    while grown := {phase for phase in FLOW if FLOW[phase] & home} - home:
        home |= grown
    assert home == set(Phase)


def test_the_diagram_in_the_docs_is_drawn_from_the_table():
    text = ARCHITECTURE.read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid()}\n```" in text
