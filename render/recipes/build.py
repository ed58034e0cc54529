"""The open recipes by name: a recipe from a config's values, and a config's values from a recipe."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from render.recipes.base import RecipeError
from render.recipes.open_recipe import OpenRecipe
from render.recipes.pit import Pit
from render.recipes.pit_reid import PitReid

Recipe = Pit | PitReid
RECIPES: dict[str, type[Pit] | type[PitReid]] = {"pit": Pit, "pit_reid": PitReid}


def make_recipe(fields: Mapping[str, Any]) -> Recipe:
    """Make the recipe of a config's values: `recipe` (its name) and its fields, those of a topic nested.

    Raises:
        RecipeError: An unknown recipe or field, or an impossible value. The message names the key.
    """
    values = dict(fields)
    name = values.pop("recipe", None)
    if name not in RECIPES:
        raise RecipeError(f"recipe is {name!r}; expected one of {', '.join(RECIPES)}.")
    recipe = RECIPES[name]
    types = {field.name: field.type for field in dataclasses.fields(recipe)}
    _check_known(name, values, types)
    for key, value in values.items():
        topic = types[key]
        if isinstance(topic, type) and dataclasses.is_dataclass(topic):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{name}: {key} must be a group of keys, found {value!r}.")
            _check_known(f"{name}: {key}", value, [field.name for field in dataclasses.fields(topic)])
            try:
                values[key] = topic(**value)
            except ValueError as error:
                raise RecipeError(f"{name}: {error}") from None
    return recipe(**values)


def topics(recipe: OpenRecipe) -> dict[str, Any]:
    """Return the topics of a recipe, nested, and its folders: what a config holds besides sizes."""
    fields = dataclasses.asdict(recipe)
    shared = {field.name for field in dataclasses.fields(OpenRecipe)} - {"seed"}
    return {name: value for name, value in fields.items() if name in shared or isinstance(value, dict)}


def _check_known(name: str, fields: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise RecipeError(f"{name} has no {', '.join(unknown)}; there are: {', '.join(sorted(known))}.")
