"""The reference page of faults, written from their kinds and models.

``python -m epicycle.hardware.simulator.instrument.fault_reference`` prints it; a test compares it with the page in
``docs``.
"""

from .fault_kinds import NATURES
from .faults import Fault, Place, When
from .profile import Frozen

HEAD = """# Faults of the simulated microscope

A night can be told what goes wrong, in the options of the microscope (`faults:`, a list or the name of a YAML file
that holds one) or in the world of its cassette; `faults_per_h` draws faults from the seed besides. What struck is in
the truth (`faults.jsonl` in the memory of the microscope, read by `truth.faults`); the record holds what an operator
would have seen of it.

```yaml
faults:
  - {kind: load-fails, at: {slot: 5}}                               # once, when slot 5 is loaded
  - {kind: call-hangs, at: {call: go_to, number: 40}, how: after}   # the 40th move
  - {kind: valve-closes, at: {after_h: 3.5}, lasts_h: 0.3}
  - {kind: focus-fails, at: {place: {x_um: 120, y_um: -40, within_um: 60, frame: grid, slot: 2}, times: null}}
  - {kind: pump-cycle, at: {per_h: 0.5}, lasts_h: 0.03}
```

A fault that struck before a crash does not strike again after it. The seed decides all that is drawn: the same seed has
the same faults. A process of ours that dies is no fault of the microscope; the tests kill the night at every step.
"""


def reference() -> str:
    """Write the page, Markdown."""
    rows = [
        f"| `{kind}` | {nature.what} | {nature.seen} | {', '.join(f'`{call}`' for call in nature.calls) or 'any'} | "
        f"{'yes' if nature.lasts else ''} | {'yes' if nature.drawn else ''} |"
        for kind, nature in NATURES.items()
    ]
    parts = [
        HEAD,
        "## Kinds\n",
        "| kind | what happens | what is seen of it | calls it strikes | lasts | drawn |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        *_fields("Fields of a fault", Fault),
        *_fields("`at`: when it strikes", When),
        *_fields("`place`: where", Place),
    ]
    return "\n".join(parts)


def _fields(title: str, model: type[Frozen]) -> list[str]:
    rows = [f"| `{name}` | {field.description} |" for name, field in model.model_fields.items()]
    return [f"## {title}\n", "| field | meaning |", "|---|---|", *rows, ""]


if __name__ == "__main__":
    print(reference(), end="")
