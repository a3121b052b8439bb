"""What is shown, a module each; by the name that the command line has for it."""

from __future__ import annotations

from . import autoscaling, damage, head, kills, rollout
from .scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    "kills": kills.SCENARIO,
    "rollout": rollout.SCENARIO,
    "autoscaling": autoscaling.SCENARIO,
    "damage": damage.SCENARIO,
    "head": head.SCENARIO,
}
