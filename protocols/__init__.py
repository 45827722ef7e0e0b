"""What a run shall do: screening protocols, cassettes, presets."""
