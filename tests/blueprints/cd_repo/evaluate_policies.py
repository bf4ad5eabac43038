"""Ask Kyverno's CEL policies about objects: `python evaluate_policies.py < question.json`.

The question is {"policies": […], "objects": […], "signed": {…}}, the answer a list of {policy, object, message} with
the first validation that an object fails. An expression that cannot be evaluated is an error, as in Kyverno.
What Kyverno adds to CEL are three functions about signatures; here `signed` says of each image by whom it is signed and
with which payloads, since no registry can be asked. The Python of .tools runs it, which has cel-expr-python.
"""

import json
import sys
from fnmatch import fnmatchcase
from typing import Any

# It is in .tools alone, where mypy does not look.
from cel_expr_python import cel  # type: ignore[import-not-found]
from cel_expr_python.ext import ext_optional  # type: ignore[import-not-found]

Object = dict[str, Any]
DYN = cel.Type.DYN
NAMES = ("object", "variables", "images", "attestors", "attestations")
KINDS_OF_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def environment(signed: Object) -> Any:
    """Return where expressions are compiled: the names and functions that Kyverno gives them."""

    def by_pipeline(image: str, attestors: list[Object]) -> int:
        signer = {"issuer": "", "subject": "", **signed.get(image, {})}
        if keys := [attestor["cosign"]["key"]["data"] for attestor in attestors if "key" in attestor["cosign"]]:
            return keys.count(signer.get("key"))
        identities = [one for attestor in attestors for one in attestor["cosign"]["keyless"]["identities"]]
        return sum(all(signer[key] == value for key, value in identity.items()) for identity in identities)

    def attested(image: str, attestation: Object, attestors: list[Object]) -> int:
        found = attestation["intoto"]["type"] in signed.get(image, {}).get("payloads", {})
        return by_pipeline(image, attestors) if found else 0

    def payload(image: str, attestation: Object) -> Any:
        return signed[image]["payloads"][attestation["intoto"]["type"]]

    functions = {
        "verifyImageSignatures": (by_pipeline, cel.Type.INT, [cel.Type.STRING, cel.Type.LIST]),
        "verifyAttestationSignatures": (attested, cel.Type.INT, [cel.Type.STRING, cel.Type.MAP, cel.Type.LIST]),
        "extractPayload": (payload, DYN, [cel.Type.STRING, cel.Type.MAP]),
    }
    declared = [
        cel.FunctionDecl(
            name,
            [cel.Overload(id=name, return_type=returned, parameters=parameters, is_member=False, impl=function)],
        )
        for name, (function, returned, parameters) in functions.items()
    ]
    extensions = [ext_optional.ExtOptional()]
    return cel.NewEnv(variables=dict.fromkeys(NAMES, DYN), functions=declared, extensions=extensions)


def objection(env: Any, policy: Object, item: Object) -> str | None:
    """Return the message of the first validation that an object fails, if any."""
    spec = policy["spec"]
    data: Object = {"object": item, "variables": {}, "images": {}, "attestors": {}, "attestations": {}}

    def evaluate(expression: str) -> Any:
        value = env.compile(expression).eval(data=data)
        if value.type() == cel.Type.ERROR:
            raise ValueError(f"{policy['metadata']['name']}, {item['metadata']['name']}: {value.value()}: {expression}")
        return value.plain_value()

    for condition in spec.get("matchConditions", []):
        if evaluate(condition["expression"]) is not True:
            return None
    for variable in spec.get("variables", []):
        data["variables"][variable["name"]] = evaluate(variable["expression"])
    if policy["kind"] == "ImageValidatingPolicy":
        globs = [reference["glob"] for reference in spec["matchImageReferences"]]
        data["images"] = {
            kind: [
                container["image"]
                for container in item["spec"].get(kind, [])
                if any(fnmatchcase(container["image"], glob) for glob in globs)
            ]
            for kind in KINDS_OF_CONTAINERS
        }
        data["attestors"] = {one["name"]: one for one in spec["attestors"]}
        data["attestations"] = {one["name"]: one for one in spec["attestations"]}
    for validation in spec["validations"]:
        if evaluate(validation["expression"]) is not True:
            # Like Kyverno: what comes after may need what has been verified before.
            return str(validation["message"])
    return None


def main() -> None:
    question = json.load(sys.stdin)
    env = environment(question.get("signed", {}))
    answer = [
        {"policy": policy["metadata"]["name"], "object": item["metadata"]["name"], "message": message}
        for policy in question["policies"]
        for item in question["objects"]
        if (message := objection(env, policy, item)) is not None
    ]
    json.dump(answer, sys.stdout)


main()
