# SPDX-License-Identifier: Apache-2.0
"""docs/api/openapi.json says what the daemon does: its routes, parameters, bodies and errors."""

import json
import re
import subprocess

import openapi
import pytest
from conftest import BUILD


@pytest.fixture(scope="module")
def tables():
    """What the engine's own tables say: (routes by method and path, errors)."""
    lines = subprocess.run([BUILD / "reeved", "--routes"], capture_output=True, check=True).stdout
    rows = [json.loads(line) for line in lines.splitlines()]
    routes = {(row["method"], row["path"]): row for row in rows if "path" in row}
    return routes, [row for row in rows if "error" in row]


@pytest.fixture(scope="module")
def documented():
    return {(method, path): op for method, path, op in openapi.operations()}


def request_schema(operation):
    content = operation.get("requestBody", {}).get("content", {})
    return openapi.resolve(content.get("application/json", {}).get("schema", {}))


def test_the_document_has_the_routes_of_the_daemon_and_no_other(tables, documented):
    assert set(documented) == set(tables[0])


def test_each_route_has_its_parameters_and_no_other(tables, documented):
    for (method, path), route in tables[0].items():
        known = openapi.parameters(path, documented[method, path])
        query = {parameter["name"] for parameter in known if parameter["in"] == "query"}
        assert query == set(route["query"]), (method, path)
        lists = {each["name"] for each in known if each["schema"].get("type") == "array"}
        assert lists == set(route["repeated"]), (method, path)
        in_path = {parameter["name"] for parameter in known if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)), (method, path)


def test_each_route_says_how_large_its_body_may_be(tables, documented):
    for key, route in tables[0].items():
        assert documented[key].get("requestBody", {}).get("x-max-bytes", 0) == route["bodyMax"], key


def test_the_routes_that_keep_a_place_are_marked(tables, documented):
    for key, route in tables[0].items():
        assert documented[key].get("x-keeps-place", False) == route["keepPlace"], key


def test_each_body_has_its_fields_and_no_other(tables, documented):
    for key, route in tables[0].items():
        fields = {field["name"] for field in route["body"]}
        assert set(request_schema(documented[key]).get("properties", {})) == fields, key


# What a field of a type looks like in the document: the name of its schema, or its JSON type.
LOOKS = {
    "string": {"string", "StopPlan", "Signal"},
    "bytes": {"Bytes", None},
    "list": {"array"},
    "words": {"LabelFilter"},
    "map": {"object"},
    "bool": {"boolean"},
    "u64": {"integer"},
    "i64": {"integer"},
    "duration": {"Duration"},
    "enum": {"string", "Origin", "Status"},
    "json": {"object", "array", "Labels", "Conditions", "ObserveRequest"},
}


def text_of(schema):
    """The schema of a string that may be Base64 as well."""
    return next((one for one in schema.get("oneOf", []) if one.get("type") == "string"), schema)


def check_limits(field, schema):
    if field["type"] in ("string", "bytes"):
        assert text_of(schema).get("maxLength") == field.get("max"), field
        assert text_of(schema).get("minLength") == field.get("min"), field
    if field["type"] in ("u64", "i64"):
        assert schema["minimum"] == field.get("min", 0), field
        assert schema.get("maximum") == field.get("max"), field
    if field["type"] in ("list", "map"):
        key = "maxItems" if field["type"] == "list" else "maxProperties"
        assert schema[key] == field["max"], field
    if field["type"] == "words":
        (several,) = (one for one in schema["oneOf"] if one["type"] == "array")
        assert (several["minItems"], several["maxItems"]) == (field["min"], field["max"]), field


def test_each_field_has_its_type_and_limits(tables, documented):
    for key, route in tables[0].items():
        document = request_schema(documented[key])
        for field in route["body"]:
            schema = document["properties"][field["name"]]
            name = schema["$ref"].rpartition("/")[2] if "$ref" in schema else schema.get("type")
            schema = openapi.resolve(schema)
            assert name in LOOKS[field["type"]], (key, field, name)
            assert schema.get("enum") == field.get("values"), (key, field)
            assert (field["name"] in document.get("required", [])) == field["required"]
            check_limits(field, schema)


def test_the_errors_have_their_codes_and_statuses(tables, documented):
    known = {row["error"]: row["status"] for row in tables[1]}
    error = openapi.DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]
    assert set(error["properties"]["code"]["enum"]) == set(known)
    for key, operation in documented.items():
        for status, response in operation["responses"].items():
            codes = openapi.resolve(response).get("x-error-codes", [])
            assert (int(status) >= 400) == bool(codes), (key, status)
            assert all(known[code] == int(status) or status == "426" for code in codes), key


def walk(node, path=""):
    yield path, node
    for name, child in node.items() if isinstance(node, dict) else ():
        yield from walk(child, f"{path}/{name}")
    for i, child in enumerate(node if isinstance(node, list) else ()):
        yield from walk(child, f"{path}/{i}")


def test_every_reference_has_its_target_and_every_component_is_used():
    used = set()
    for path, node in walk(openapi.DOCUMENT):
        if isinstance(node, dict) and "$ref" in node:
            assert openapi.resolve(node), path
            used.add(node["$ref"])
    for kind, components in openapi.DOCUMENT["components"].items():
        for name in components:
            assert f"#/components/{kind}/{name}" in used, name


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(documented):
    names = [operation["operationId"] for operation in documented.values()]
    assert len(set(names)) == len(names)
    for operation in documented.values():
        assert operation["summary"] and any(s < "400" for s in operation["responses"])
        assert all(openapi.resolve(r)["description"] for r in operation["responses"].values())


def schemas():
    for path, node in walk(openapi.DOCUMENT):
        if path.endswith("/schema") or re.fullmatch(r"/components/schemas/\w+", path):
            yield path, node


def test_every_example_and_default_fits_its_schema():
    for path, node in walk(openapi.DOCUMENT):
        if isinstance(node, dict) and ("examples" in node or "default" in node) and "type" in node:
            for value in node.get("examples", []) + [node[k] for k in ("default",) if k in node]:
                openapi.check(node, value, f"{path}: {value!r} ")


def test_the_checks_know_every_keyword_of_the_schemas():
    def keywords(schema):
        for name, value in schema.items():
            yield name
            if name == "properties":
                for child in value.values():
                    yield from keywords(child)
            elif name in ("items", "additionalProperties") and isinstance(value, dict):
                yield from keywords(value)
            elif name == "oneOf":
                for child in value:
                    yield from keywords(child)

    for path, schema in schemas():
        unknown = set(keywords(schema)) - set(openapi.CHECKS) - openapi.NOTES - {"$ref"}
        assert not unknown, path


@pytest.mark.parametrize(
    "schema, good, bad",
    [
        ({"type": "integer", "minimum": 1}, [1, 5], [0, True, "1", None, 1.5]),
        ({"type": ["integer", "null"]}, [None, -3], ["", False]),
        ({"type": "string", "pattern": "^a+$"}, ["a", "aa"], ["", "b", 1]),
        ({"enum": ["a", "b"]}, ["a"], ["c", None]),
        ({"type": "array", "items": {"const": True}}, [[], [True]], [[False], [True, 1.5], {}]),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            [{"a": ""}],
            [{}, {"a": 1}, {"a": "", "b": 1}, []],
        ),
        (
            {"type": "object", "additionalProperties": {"type": "boolean"}},
            [{"x": True}],
            [{"x": 1}],
        ),
        ({"oneOf": [{"type": "string"}, {"const": 1}]}, ["", 1], [2, None]),
    ],
)
def test_the_checks_tell_right_from_wrong(schema, good, bad):
    for value in good:
        assert not list(openapi.problems(schema, value)), value
    for value in bad:
        assert list(openapi.problems(schema, value)), value
