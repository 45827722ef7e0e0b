"""The plug-ins of one night, made once from the protocol."""

from dataclasses import dataclass, field

from ..policies.records import Policy
from ..protocols.screening import PluginChoice
from . import plugins


@dataclass(slots=True)
class Plugged:
    """Policies by their choice; finders are made where they run, in the workers."""

    _policies: dict[str, Policy] = field(default_factory=dict)

    def policy(self, choice: PluginChoice) -> Policy:
        """Give the policy that the protocol names, with its options."""
        key = choice.model_dump_json()
        if key not in self._policies:
            self._policies[key] = plugins.load("epicycle.policies", choice.use)(choice.options())
        return self._policies[key]
