"""Load a spec: read the file, check it, and name every fault at once."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from generator.checks import Draft, check, nearest
from generator.document import Document, Path_, parse_document, read_document
from generator.errors import Problem, SpecError
from generator.models import Defaults, Environment, Features, Model, Platform, Service, Spec, Team, default_environments
from generator.names import MEANINGS

# What pydantic puts into the place of an error beside the keys of the document.
MARKS = {"[key]", "[switch]", "[address]"}

_Part = TypeVar("_Part", bound=Model)


def load_spec(file: Path) -> Spec:
    """Read and check the spec in `file`.

    Raises:
        InputError: The file cannot be read.
        SpecError: The spec has faults; all of them are in the error.
    """
    return spec_from(read_document(file))


def parse_spec(file: Path, text: str) -> Spec:
    """Check the text of a spec; `file` is only named in messages.

    Raises:
        SpecError: As `load_spec`.
    """
    return spec_from(parse_document(file, text))


def spec_from(document: Document) -> Spec:
    """Check a document that was read.

    Raises:
        SpecError: As `load_spec`.
    """
    data = document.data
    problems = list(document.problems)
    spec: Spec | None = None
    if not isinstance(data, dict):
        raise SpecError(document.file, [document.problem((), f"found {_shown(data)}; a spec is a mapping of keys")])
    try:
        spec = Spec.model_validate(data)
    except ValidationError as error:
        problems += [_problem(document, details) for details in error.errors(include_url=False)]
    draft = _draft(data)
    problems += [document.problem(fault.path, fault.message, at_key=fault.at_key) for fault in check(draft)]
    if problems or spec is None:
        raise SpecError(document.file, problems)
    return spec


def _draft(data: dict[str, Any]) -> Draft:
    """Return the parts of a spec that are well-formed by themselves."""
    environments = _parts(Environment, data.get("environments"))
    environment_names = _names(data.get("environments"))
    if "environments" not in data:
        environments = dict(enumerate(default_environments()))
        environment_names = [environment.name for environment in environments.values()]
    return Draft(
        platform=_part(Platform, data.get("platform")),
        features=_part(Features, data.get("features", {})) or Features(),
        environments=environments,
        teams=_parts(Team, data.get("teams")),
        defaults=_part(Defaults, data.get("defaults", {})) or Defaults(),
        services=_parts(Service, data.get("services")),
        environment_names=environment_names,
        team_names=_names(data.get("teams")),
        service_names=_names(data.get("services")),
    )


def _parts(model: type[_Part], data: Any) -> dict[int, _Part]:
    """Return the items of a list; one without a usable name or language goes on under a stand-in."""
    if not isinstance(data, list):
        return {}
    parts = {
        index: _part(model, item, {"name": f"unnamed-{index}", "language": "python"}) for index, item in enumerate(data)
    }
    return {index: part for index, part in parts.items() if part is not None}


def _part(model: type[_Part], data: Any, stand_ins: Mapping[str, str] = MappingProxyType({})) -> _Part | None:
    """Return `data` as a model without what is faulty in it, or None where that is required."""
    while isinstance(data, dict):
        try:
            return model.model_validate(data)
        except ValidationError as error:
            faults = [
                details["loc"][:-1] if details["type"] == "missing" and len(details["loc"]) > 1 else details["loc"]
                for details in error.errors()
            ]
        before = data
        for location in faults:
            data = _without(data, tuple(part for part in location if part != "[key]"))
        for key in {str(location[0]) for location in faults if len(location) == 1}:
            field = model.model_fields.get(key)
            if field is not None and field.is_required():
                if key not in stand_ins:
                    return None
                data = data | {key: stand_ins[key]}
        if data == before:
            return None
    return None


def _without(data: Any, path: Path_) -> Any:
    """Return `data` without the key at `path`; of a list, the whole list goes, so that no other item moves."""
    head, *rest = path
    if isinstance(data, list):
        return data
    copy = dict(data)
    if rest and any(isinstance(part, str) for part in rest) and head in copy and not isinstance(copy[head], list):
        copy[head] = _without(copy[head], tuple(rest))
    else:
        copy.pop(head, None)
    return copy


def _names(data: Any) -> list[str]:
    if not isinstance(data, list):
        return []
    return [item["name"] for item in data if isinstance(item, dict) and isinstance(item.get("name"), str)]


def _problem(document: Document, details: Any) -> Problem:
    """Put one finding of pydantic into words."""
    location: Path_ = tuple(part for part in details["loc"] if part not in MARKS)
    found, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "missing":
            *parent, key = location
            keys = ", ".join(f"`{name}`" for name in _required(tuple(parent)))
            return document.problem(location, f"`{key}` is missing; required here: {keys}")
        case "extra_forbidden":
            *parent, key = location
            known = _keys(tuple(parent))
            return document.problem(location, f"unknown key `{key}`{nearest(str(key), known)}", at_key=True)
        case "literal_error":
            allowed = [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
            message = f"found {_shown(found)}; allowed: {', '.join(allowed)}"
            if isinstance(found, str) and (hint := nearest(found, allowed)).startswith("; did"):
                message += hint
        case "string_type":
            message = f"found {_shown(found)}; this is text"
            if isinstance(found, (int, float)):
                message = f"found {_shown(found)}; this is text: quote it"
        case "string_pattern_mismatch":
            message = f"found {_shown(found)}; allowed: {MEANINGS[context['pattern']]}"
        case "string_too_long":
            message = f"has {len(found)} characters; at most {context['max_length']} are allowed"
        case "string_unicode":
            message = "holds half a surrogate pair, which is no character; remove it"
        case "int_type" | "int_from_float":
            hint = ": remove the quotes" if isinstance(found, str) and found.strip().isdigit() else ""
            message = f"found {_shown(found)}; this is a whole number{hint}"
        case "greater_than_equal" | "less_than_equal":
            bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            message = f"found {_shown(found)}; allowed: {bound}"
        case "bool_type":
            message = f"found {_shown(found)}; this is true or false"
        case "model_type" | "dict_type" | "model_attributes_type":
            message = f"found {_shown(found)}; this is a mapping of keys"
            if found is None:
                return document.problem(location, "nothing stands here; give it keys or remove it", at_key=True)
        case "list_type":
            message = f"found {_shown(found)}; this is a list"
            if found is None:
                return document.problem(location, "nothing stands here; list something or remove it", at_key=True)
        case "too_short":
            message = f"the list is empty; at least {context['min_length']} is needed"
        case _:
            message = f"found {_shown(found)}; {details['msg']}"
    return document.problem(location, message, at_key=details["loc"][-1:] == ("[key]",))


def _shown(value: Any) -> str:
    """Return a value as the user wrote it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}` (true or false)"
    if isinstance(value, (int, float)):
        return f"`{value}` (a number)"
    if isinstance(value, str):
        return f"{value!r}" if len(value) <= 60 else f"{value[:60]!r}…"
    return "a list" if isinstance(value, list) else "a mapping"


def _keys(path: Path_) -> list[str]:
    model = _model_at(path)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _required(path: Path_) -> list[str]:
    model = _model_at(path)
    return [f.alias or name for name, f in model.model_fields.items() if f.is_required()] if model else []


def _model_at(path: Path_) -> type[BaseModel] | None:
    """Return the model of the mapping at `path`."""
    annotation: Any = Spec
    for part in path:
        model = _model_in(annotation)
        if isinstance(part, str) and model is not None:
            annotation = next((f.annotation for name, f in model.model_fields.items() if part in (f.alias, name)), None)
        else:
            # An index of a list, or a name in a mapping of names: the type of the items.
            annotation = next((arg for arg in typing.get_args(annotation) if _model_in(arg)), None)
    return _model_in(annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (list, dict):
        return None
    return next((model for arg in typing.get_args(annotation) if (model := _model_in(arg))), None)
