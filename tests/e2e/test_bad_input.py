# SPDX-License-Identifier: Apache-2.0
"""Nonsense of every kind is refused with a clear error, and harms nobody.

The wrong bodies and parameters are made from docs/api/openapi.json, which test_openapi.py holds
against the daemon's own tables: a field that is added there is tried here.
"""

import contextlib
import json

import openapi
import pytest
from frames import CLOSED, Connection
from observers import subscribe

pytestmark = pytest.mark.shared

NUL = "a\0b"


# --- wrong values, by the schema of what would be right ------------------------------------------


def wrong_integers(schema):
    yield from ("5", 1.5, True, [], {})
    yield from (1 << 63, -(1 << 63) - 1)
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"] + 1


def wrong_strings(schema):
    yield from (5, True, [], {"text": "x"})
    if "enum" in schema:
        yield from ("no-such-word", schema["enum"][0].upper(), "")
        return
    yield NUL
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield ""
    if "pattern" in schema:
        yield "!"


def wrong_bytes(schema):
    yield from (5, True, [], {}, {"base64": 5}, {"base64": "!"}, {"base64": "YQ==", "more": 1})
    yield from ({"base64": "YQ"}, {"base64": "AA=="}, NUL)  # not padded; a NUL
    text = next(one for one in schema["oneOf"] if one.get("type") == "string")
    if "maxLength" in text:
        yield "x" * (text["maxLength"] + 1)
    if "minLength" in text:
        yield ""


def wrong_lists(schema):
    yield from ("x", 5, {}, True)
    for value in wrong_values(schema["items"]):
        yield [value]


def wrong_objects(schema):
    yield from ("x", 5, [], True)
    other = schema.get("additionalProperties")
    if other is False:
        yield {"no-such-field": 1}
    elif isinstance(other, dict):
        for value in wrong_values(other):
            yield {"key": value}
    for name, inner in schema.get("properties", {}).items():
        for value in wrong_values(inner):
            yield {name: value}


def wrong_durations():
    yield from (
        5,
        True,
        [],
        {},
        "",
        "5",
        "soon",
        "-1s",
        "1s2m",
        "1.s",
        "4000d",
        " 1s",
        "1s ",
        "1e3s",
    )


def wrong_values(schema):
    """Values that are no instance of a schema, nor meant by it."""
    if schema.get("$ref") == "#/components/schemas/Duration":
        yield from wrong_durations()
        return
    schema = openapi.resolve(schema)
    kind = schema.get("type")
    if "oneOf" in schema:
        if any(openapi.resolve(one).get("type") == "string" for one in schema["oneOf"]):
            yield from wrong_bytes(schema)
        else:
            yield from ("x", 5, [], {}, {"no-such-thing": True})
    elif isinstance(kind, list):
        yield from ("x", 1.5, -1, [], True)
    elif kind == "boolean":
        yield from ("true", 1, [], {})
    else:
        kinds = {"integer": wrong_integers, "string": wrong_strings, "array": wrong_lists}
        yield from {**kinds, "object": wrong_objects}[kind](schema)


# --- bodies --------------------------------------------------------------------------------------


def body_schema(operation):
    content = operation.get("requestBody", {}).get("content", {})
    return openapi.resolve(content.get("application/json", {}).get("schema", {}))


POSTS = [(path, body_schema(op)) for _, path, op in openapi.operations() if body_schema(op)]
FIELDS = [
    pytest.param(path, name, inner, id=f"{path.removeprefix('/v1/').replace('/{id}', '')}.{name}")
    for path, schema in POSTS
    for name, inner in schema["properties"].items()
]
NEEDED = {"/v1/sessions": {"command": ["true"], "cwd": "/"}}


@pytest.fixture
def target(api):
    """Makes the target of a path; its session sleeps, and must not be harmed."""
    made = []

    def make(path):
        if "{id}" not in path:
            return path
        made.append(api.spawn("sleep", "1000", stdin="pipe"))
        path = path.replace("{id}", made[0]["id"])
        if "{subscriberId}" not in path:
            return path
        return path.replace("{subscriberId}", subscribe(api, made[0], "lifecycle")["subscriberId"])

    yield make
    for session in made:
        assert api.show(session)["status"] == "running", "a wrong request had an effect"


def is_named(name, schema, value, message):
    """A number that no integer can hold is an error of the JSON, and what stands inside of an
    object has a name of its own."""
    inner = list(value) if isinstance(value, dict) else []
    inner += openapi.resolve(schema).get("properties", {})
    return name in message or "integer near" in message or any(key in message for key in inner)


@pytest.mark.parametrize("path, name, schema", FIELDS)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(api, target, path, name, schema):
    where = target(path)
    before = len(api.get("/v1/sessions").json["items"])
    for value in wrong_values(schema):
        body = {**NEEDED.get(path, {}), name: value}
        if name == "shell":
            del body["command"]
        answer = api.post(where, body)
        assert (answer.status, answer.code) in (
            (400, "invalid_argument"), (413, "too_large"),
        ), (value, answer.body)  # fmt: skip
        assert is_named(name, schema, value, answer.json["error"]["message"]), (value, answer.body)
    assert len(api.get("/v1/sessions").json["items"]) == before


@pytest.mark.parametrize("path", [path for path, _ in POSTS])
def test_null_is_as_good_as_absent(api, path):
    session = api.spawn("true", stdin="pipe")
    api.ended(session)
    if path == "/v1/daemon/stop" or path.endswith("/kill"):
        return  # the one would end the daemon, the other has nothing to signal
    for name in dict(POSTS)[path]["properties"]:
        body = {**NEEDED.get(path, {}), name: None}
        answer = api.post(path.replace("{id}", session["id"]), body)
        if name in ("command", "cwd"):  # the home directory may not be there
            assert answer.status == 201 or answer.code == "invalid_argument"
        elif path == "/v1/sessions/purge":
            session = api.spawn("true")
            api.ended(session)
        else:
            assert answer.status in (200, 201), (name, answer.body)


BODIES = {
    "no JSON": b"command=true",
    "cut off": b'{"command": ["true"]',
    "cut off in a string": b'{"command": ["tr',
    "a list": b'["true"]',
    "a string": b'"true"',
    "a number": b"5",
    "two values": b"{} {}",
    "something behind it": b"{}x",
    "a NUL": b"{}\0",
    "a key twice": b'{"command": ["true"], "command": ["false"]}',
    "a key twice, deep inside": b'{"command": ["true"], "env": {"A": "1", "A": "2"}}',
    "not UTF-8": b'{"command": ["\xff"]}',
    "cut UTF-8": b'{"command": ["\xe2\x82"]}',
    "half a surrogate": b'{"command": ["\\ud800"]}',
    "an unknown escape": b'{"command": ["\\x41"]}',
    "a control character": b'{"command": ["a\nb"]}',
    "too deep": b'{"command": ' + b"[" * 40 + b"]" * 40 + b"}",
    "far too deep": b"[" * 100_000,
    "far too deep inside": b'{"a":' * 50_000,
    "not a number": b'{"nice": NaN}',
    "a comment": b'{} // "x"',
    "a trailing comma": b'{"command": ["true"],}',
    "single quotes": b"{'command': ['true']}",
    "a huge number": b'{"nice": 1' + b"0" * 400 + b"}",
    "UTF-16": '{"command": ["true"]}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("path", [path for path, _ in POSTS])
def test_a_body_that_is_no_json_object_is_refused(api, target, path):
    where = target(path)
    limit = openapi.find("POST", where)[0]["requestBody"]["x-max-bytes"]
    for what, data in BODIES.items():
        answer = api.post(where, data)
        wanted = (400, "invalid_argument") if len(data) <= limit else (413, "too_large")
        assert (answer.status, answer.code) == wanted, (what, answer.body)


def test_a_json_error_says_where_it_is(api):
    answer = api.post("/v1/sessions", b'{"command":\n ["true",,]}')
    assert "line 2" in answer.json["error"]["message"]


@pytest.mark.parametrize("path", [path for path, _ in POSTS])
def test_an_unknown_field_is_named(api, target, path):
    answer = api.post(target(path), {**NEEDED.get(path, {}), "noSuchField": 1})
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "noSuchField" in answer.json["error"]["message"]


@pytest.mark.parametrize("path", [path for path, _ in POSTS if path != "/v1/sessions"])
def test_a_body_over_the_limit_is_too_large(api, target, path):
    where = target(path)
    limit = openapi.find("POST", where)[0]["requestBody"]["x-max-bytes"]
    answer = api.post(where, b" " * (limit + 1))
    assert (answer.status, answer.code) == (413, "too_large")
    assert str(limit) in answer.json["error"]["message"]


def test_a_request_may_take_as_much_as_its_limit(api):
    body = json.dumps({"command": ["true"], "env": {"A": "x" * 100}}).encode()
    limit = openapi.find("POST", "/v1/sessions")[0]["requestBody"]["x-max-bytes"]
    answer = api.post("/v1/sessions", body + b" " * (limit - len(body)))
    assert answer.status in (201, 400), answer.body
    assert api.post("/v1/sessions", body + b" " * (limit - len(body) + 1)).code == "too_large"


# --- parameters ----------------------------------------------------------------------------------


def wrong_texts(schema):
    """What a query parameter may not be."""
    schema = openapi.resolve(schema)
    if schema.get("type") == "boolean":
        yield from ("maybe", "2", "tru", "%20true")
    elif schema.get("type") == "integer":
        yield from ("", "x", "-1", "1.5", "%2B1", "01", "1%20", str(1 << 64))
        if "maximum" in schema:
            yield str(schema["maximum"] + 1)
    elif "enum" in schema:
        yield from ("no-such-word", "", schema["enum"][0].upper())
    elif schema.get("pattern", "").startswith("^([0-9]+"):
        yield from ("", "5", "soon", "-1s")
    elif "oneOf" in schema:
        yield from ("", "x", "-1", str(1 << 63))


PARAMETERS = [
    pytest.param(method, path, parameter, id=f"{operation['operationId']}.{parameter['name']}")
    for method, path, operation in openapi.operations()
    for parameter in openapi.parameters(path, operation)
    if parameter["in"] == "query" and list(wrong_texts(parameter["schema"]))
]


@pytest.mark.parametrize("method, path, parameter", PARAMETERS)
def test_a_wrong_parameter_is_refused_by_its_name(api, target, method, path, parameter):
    where = target(path)
    for text in wrong_texts(parameter["schema"]):
        answer = api.request(method, f"{where}?{parameter['name']}={text}")
        assert (answer.status, answer.code) == (400, "invalid_argument"), (text, answer.body)
        assert parameter["name"] in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "method, path", [(method, path) for method, path, _ in openapi.operations()]
)
def test_an_unknown_parameter_is_named(api, target, method, path):
    answer = api.request(method, target(path) + "?noSuchParameter=1")
    assert (answer.status, answer.code) == (400, "invalid_argument")
    assert "noSuchParameter" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "query",
    ["limit=1&limit=2", "label=%ff", "label=%00", "label=%4", "label=%zz", "&".join(["a"] * 40)],
)
def test_a_query_that_is_no_query_is_refused(api, query):
    answer = api.get(f"/v1/sessions?{query}")
    assert (answer.status, answer.code) == (400, "invalid_argument")


# --- paths and methods ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/sessions", "/v1/session", "/v1/sessions/", "/v1//sessions", "/V1/daemon",
             "/v1/sessions/a/b/c", "/v1/sessions/../daemon", "/v1/sessions/x/nothing"]
)  # fmt: skip
def test_a_path_that_there_is_not_is_not_found(api, path):
    answer = api.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("path", ["/" + "a/" * 100, "/v1/%", "/v1/%00", "/v1/sessions/%ff"])
def test_a_path_that_is_no_path_is_refused(api, path):
    assert api.get(path).status in (400, 404)


def test_a_method_that_a_path_does_not_take_is_refused_with_those_that_it_takes(api):
    for path, item in openapi.DOCUMENT["paths"].items():
        known = {method.upper() for method in item if method != "parameters"}
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - known:
            if openapi.find(method, path)[0]:
                continue  # `stop` and `purge` are also names that a session may have
            answer = api.request(method, path.replace("{id}", "x"))
            assert (answer.status, answer.code) == (405, "invalid_argument"), (method, path)
            allowed = set(answer.headers["Allow"].split(", "))
            assert allowed - {"HEAD"} >= known, (method, path, allowed)


def test_head_is_answered_as_get_without_the_body(api):
    for path in ("/v1/daemon", "/v1/sessions"):
        answer = api.request("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
    assert api.request("HEAD", "/v1/sessions/nobody").status == 404


def test_a_body_where_none_belongs_is_too_large(api):
    answer = api.request("GET", "/v1/daemon", b"x")
    assert (answer.status, answer.code) == (413, "too_large")


# --- HTTP ----------------------------------------------------------------------------------------

REQUEST = (
    b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 42\r\n\r\n{"command": ["sleep", "9"], "cwd": "/tmp"}'
)


def test_half_a_request_is_no_request(api):
    for cut in range(1, len(REQUEST), 7):
        with contextlib.closing(Connection(api.path)) as connection:
            connection.sock.sendall(REQUEST[:cut])
    assert api.get("/v1/sessions").json["items"] == []


def test_half_a_request_holds_nobody_up_and_may_be_completed(api):
    with contextlib.closing(Connection(api.path)) as connection:
        connection.sock.sendall(REQUEST[:100])
        assert api.get("/v1/sessions").json["items"] == []
        connection.sock.sendall(REQUEST[100:])
        assert connection.read_head()[0] == 201


def raw_answer(api, data):
    """The status of the answer to some bytes; None when the connection is merely closed."""
    with contextlib.closing(Connection(api.path)) as connection:
        with contextlib.suppress(*CLOSED):
            connection.sock.sendall(data)
        while b"\r\n\r\n" not in connection.buffer:
            if not connection.more():
                assert not connection.buffer
                return None
        return connection.read_head()[0]


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /v1/daemon HTTP/3.0\r\nHost: x\r\n\r\n",
        b"GET /v1/daemon HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET /v1/daemon HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n",
        b"GET /v1/daemon\0x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/daemon HTTP/1.1\r\nHost: x\r\nA: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /v1/" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 512,
    ],
    ids=range(15),
)
def test_what_is_no_http_is_refused_or_hung_up_on(api, data):
    status = raw_answer(api, data + b"\r\n\r\n")
    assert status is None or 400 <= status < 600, status
    assert api.get("/v1/daemon").status == 200
    assert api.get("/v1/sessions").json["items"] == []


def test_a_chunked_body_is_taken(api):
    data = b'{"command": ["true"], "cwd": "/"}'
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(data[i : i + 5]), data[i : i + 5]) for i in range(0, 33, 5)
    )
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw_answer(api, head + chunks + b"0\r\n\r\n") == 201


def test_several_requests_on_one_connection_are_answered_in_their_order(api):
    with contextlib.closing(Connection(api.path)) as connection:
        paths = ("/v1/daemon", "/nothing", "/v1/sessions", "/v1/sessions/nobody")
        for path in paths:
            connection.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        statuses = []
        for _ in paths:
            status, headers = connection.read_head()
            connection.read(int(headers["Content-Length"]))
            statuses.append(status)
    assert statuses == [200, 404, 200, 404]
