# SPDX-License-Identifier: Apache-2.0
"""The description of the API, docs/api/openapi.json, and answers held against it.

Only the keywords of JSON Schema that the document uses are known; any other is an error, and so is
a property of an answer that the document does not name.
"""

import json
import pathlib
import re
from urllib.parse import urlsplit

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "api" / "openapi.json"
DOCUMENT = json.loads(PATH.read_text())

NOTES = {"description", "examples", "default", "format"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "null": type(None),
}


def resolve(node):
    """What a reference stands for; anything else is itself."""
    while "$ref" in node:
        target = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


# --- a value against a schema --------------------------------------------------------------------


def is_type(value, name):
    return isinstance(value, TYPES[name]) and (name != "integer" or not isinstance(value, bool))


def check_type(schema, value):
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(is_type(value, name) for name in names):
        yield f"is no {' or '.join(names)}"


def check_one_of(schema, value):
    fits = [each for each in schema["oneOf"] if not list(problems(each, value))]
    if len(fits) != 1:
        yield f"fits {len(fits)} of the {len(schema['oneOf'])} kinds that it may be"


def check_properties(schema, value):
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    other = schema.get("additionalProperties", False)
    for name, item in value.items():
        if name not in known and other is False:
            yield f": the property {name} is not documented"
        elif name in known or other is not True:
            for problem in problems(known.get(name, other), item):
                yield f".{name} {problem}"


def check_items(schema, value):
    for i, item in enumerate(value if isinstance(value, list) else []):
        for problem in problems(schema["items"], item):
            yield f"[{i}] {problem}"


def limit(kind, applies, describe):
    def check(schema, value):
        if isinstance(value, kind) and not isinstance(value, bool) and not applies(schema, value):
            yield describe

    return check


CHECKS = {
    "type": check_type,
    "oneOf": check_one_of,
    "properties": check_properties,
    "additionalProperties": lambda schema, value: (
        () if "properties" in schema else check_properties(schema, value)
    ),
    "items": check_items,
    "enum": lambda schema, value: () if value in schema["enum"] else ("is no value that it has",),
    "const": lambda schema, value: () if value == schema["const"] else ("is not the constant",),
    "required": limit(dict, lambda s, v: set(s["required"]) <= set(v), "lacks a property"),
    "maxProperties": limit(dict, lambda s, v: len(v) <= s["maxProperties"], "has too much"),
    "minItems": limit(list, lambda s, v: len(v) >= s["minItems"], "is too short"),
    "maxItems": limit(list, lambda s, v: len(v) <= s["maxItems"], "is too long"),
    "minLength": limit(str, lambda s, v: len(v) >= s["minLength"], "is too short"),
    "maxLength": limit(str, lambda s, v: len(v) <= s["maxLength"], "is too long"),
    "pattern": limit(str, lambda s, v: re.search(s["pattern"], v), "does not match its pattern"),
    "minimum": limit(int, lambda s, v: v >= s["minimum"], "is too small"),
    "maximum": limit(int, lambda s, v: v <= s["maximum"], "is too large"),
}


def problems(schema, value):
    """What is wrong with `value`, as sentences without their beginning."""
    schema = resolve(schema)
    for keyword in schema:
        if keyword not in NOTES:
            yield from CHECKS[keyword](schema, value)


def check(schema, value, what):
    found = [f"{what}{problem}" for problem in problems(schema, value)]
    assert not found, "\n".join(found) + f"\n{json.dumps(value)[:2000]}"


# --- operations ----------------------------------------------------------------------------------


def operations():
    """(method, path, operation) of all that the document has."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def parameters(path, operation):
    both = DOCUMENT["paths"][path].get("parameters", []) + operation.get("parameters", [])
    return [resolve(parameter) for parameter in both]


def path_matches(path, target):
    parts, wanted = path.split("/"), target.split("/")
    return len(parts) == len(wanted) and all(
        a == b or (a.startswith("{") and b) for a, b in zip(parts, wanted)
    )


def find(method, target):
    """The operation that serves a target, None for none, and whether the path has any."""
    path_known = False
    for literal in (True, False):
        for known_method, path, operation in operations():
            if ("{" in path) != literal and path_matches(path, urlsplit(target).path):
                path_known = True
                if known_method == ("GET" if method == "HEAD" else method):
                    return operation, True
    return None, path_known


ERROR = {"$ref": "#/components/schemas/Error"}


def check_unrouted(status, headers, body, path_known):
    check(ERROR, json.loads(body), "the error ")
    code = json.loads(body)["error"]["code"]
    if code in ("unavailable", "exhausted", "too_large", "forbidden"):
        return  # refused before anybody looked at the path
    if path_known and status == 405:
        assert code == "invalid_argument" and headers["Allow"], headers
    else:
        assert (status, code) in ((404, "not_found"), (400, "invalid_argument"))


def check_answer(method, target, status, headers, body):
    """Asserts that an answer is one that the document promises."""
    operation, path_known = find(method, target)
    what = f"{method} {target}: {status} "
    if operation is None:
        check_unrouted(status, headers, body, path_known)
        return
    assert str(status) in operation["responses"], f"{what}is not documented: {body[:500]!r}"
    response = resolve(operation["responses"][str(status)])
    kind = headers.get("Content-Type")
    if status == 101 or method == "HEAD":
        return
    assert kind in response["content"], f"{what}of type {kind} is not documented"
    for name in headers:
        if name.startswith("Reeve-"):
            assert name in response.get("headers", {}), f"{what}header {name} is not documented"
    if kind in ("application/octet-stream", "application/x-reeve-events"):
        return
    if kind.startswith("text/"):
        return
    schema = response["content"][kind]["schema"]
    if kind == "application/x-ndjson":
        for line in body.splitlines():
            check(schema, json.loads(line), what)
        return
    value = json.loads(body)
    check(schema, value, what)
    if "x-error-codes" in response:
        assert value["error"]["code"] in response["x-error-codes"], what + str(value)
