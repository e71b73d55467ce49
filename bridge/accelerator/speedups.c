/* The optional accelerator: plain heads and plain fields, read as the Python code reads them.

   The Python code is the truth: `HeadParser.parse`, `wsgi.environ.add_headers`,
   `http.plain_fields.encode_plain` and `server.metrics.meter.PythonMeter`. The functions
   here do the common part of its work, and leave to it whatever is unusual or wrong. So they raise
   no error of their own, and there is one rule to keep: what they return is what Python returns.

   Nothing is kept from one call to the next but names of fields, in a table of fixed size. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#include "clock.h"

typedef unsigned char byte;

/* A head with more fields is Python's. */
#define MOST_FIELDS 128
/* Names of fields that are kept, and the longest of them. */
#define KNOWN_NAMES 512
#define KNOWN_SIZE 48

/* Classes of bytes. */
enum { TOKEN = 1, PATH = 2, QUERY = 4, HOST_NAME = 8 };

/* What a field does. */
typedef enum { NOTHING, HOST, CONNECTION, LENGTH, CODING, CONTROL } Effect;

/* A name as it was sent, in lower case, and what such a field does. */
typedef struct {
    PyObject *name; /* NULL: none yet */
    uint32_t size;
    Effect effect;
    byte sent[KNOWN_SIZE];
} KnownName;

/* Those that llhttp knows, without CONNECT and those of other protocols. */
static const char *const METHODS[] = {
    "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE",
    "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH",
    "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE", "SUBSCRIBE", "UNSUBSCRIBE",
    "PURGE", "LINK", "UNLINK",
};
#define METHOD_COUNT (sizeof METHODS / sizeof *METHODS)
#define HEAD_METHOD 2 /* its place in the table: Python acts on it */

static const struct {
    const char *name;
    Effect effect;
} EFFECTS[] = {
    {"host", HOST},
    {"connection", CONNECTION},
    {"content-length", LENGTH},
    {"transfer-encoding", CODING},
    {"upgrade", CONTROL},
    {"proxy-connection", CONTROL},
    {"expect", CONTROL},
    {"forwarded", CONTROL},
    {"x-forwarded-for", CONTROL},
    {"x-forwarded-port", CONTROL},
    {"x-forwarded-proto", CONTROL},
    {"x-forwarded-ssl", CONTROL},
};
#define EFFECT_COUNT (sizeof EFFECTS / sizeof *EFFECTS)

typedef struct {
    byte classes[256];
    PyObject *methods[METHOD_COUNT];
    KnownName names[KNOWN_NAMES];
} State;

/* ------------------------------------------------------------- a head, as slices of its bytes */

typedef struct {
    const byte *start;
    Py_ssize_t size;
} Slice;

typedef struct {
    Slice name, value;
    uint32_t hash;
} Field;

typedef struct {
    size_t method;
    Slice target, path, query;
    Py_ssize_t count;
    Field fields[MOST_FIELDS];
} Head;

static int
equals(Slice slice, const char *text)
{
    size_t size = strlen(text);
    return (size_t)slice.size == size && memcmp(slice.start, text, size) == 0;
}

static byte
lower(byte c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static int
is_blank(byte c)
{
    return c == ' ' || c == '\t';
}

/* The end of the bytes of `class` from `at`. A NUL, with which each bytes object ends, has none. */
static inline const byte *
skip(const State *state, const byte *at, int class)
{
    while (state->classes[*at] & class)
        at++;
    return at;
}

/* The first byte from `at` that a value may not have, or `end`: controls, except tabs. */
static const byte *
skip_value(const byte *at, const byte *end)
{
    const uint64_t ones = 0x0101010101010101u;
    for (;;) {
        while (end - at >= 8) {
            uint64_t word, deletes;
            memcpy(&word, at, 8);
            deletes = word ^ (ones * 0x7f);
            if ((((word - ones * 0x20) & ~word) | ((deletes - ones) & ~deletes)) & (ones * 0x80))
                break; /* a byte under 0x20, or a 0x7f */
            at += 8;
        }
        while (at < end && *at >= 0x20 && *at != 0x7f)
            at++;
        if (at == end || *at != '\t')
            return at;
        at++;
    }
}

/* Read ``GET /path?query HTTP/1.1``. Returns where the fields begin; NULL if it is not so plain. */
static const byte *
read_line(const State *state, const byte *at, const byte *end, Head *head)
{
    static const char version[] = " HTTP/1.1\r\n";
    const Py_ssize_t version_size = sizeof version - 1;
    Slice method = {at, 0};
    at = skip(state, at, TOKEN);
    method.size = at - method.start;
    for (head->method = 0; !equals(method, METHODS[head->method]);)
        if (++head->method == METHOD_COUNT)
            return NULL;
    if (at[0] != ' ' || at[1] != '/')
        return NULL;
    head->target.start = head->path.start = ++at;
    at = skip(state, at, PATH);
    head->path.size = at - head->path.start;
    head->query.start = at;
    if (*at == '?') {
        head->query.start = ++at;
        at = skip(state, at, QUERY);
    }
    head->query.size = at - head->query.start;
    head->target.size = at - head->target.start;
    if (end - at < version_size || memcmp(at, version, version_size) != 0)
        return NULL;
    return at + version_size;
}

/* Read the fields, at most `limit`, and the blank line behind them, which must be at `end`.
   Returns whether all of it is plain. */
static int
read_fields(const State *state, const byte *at, const byte *end, Head *head, Py_ssize_t limit)
{
    head->count = 0;
    while (*at != '\r') {
        Field *field = &head->fields[head->count];
        const byte *value_end;
        uint32_t hash = 0;
        if (head->count >= limit)
            return 0;
        head->count++;
        field->name.start = at;
        for (; state->classes[*at] & TOKEN; at++)
            hash = hash * 31 + *at;
        field->hash = hash;
        field->name.size = at - field->name.start;
        if (field->name.size == 0 || *at++ != ':')
            return 0;
        while (is_blank(*at))
            at++;
        field->value.start = at;
        value_end = at = skip_value(at, end);
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return 0;
        while (value_end > field->value.start && is_blank(value_end[-1]))
            value_end--;
        field->value.size = value_end - field->value.start;
        at += 2;
    }
    return end - at == 2 && at[1] == '\n';
}

/* ------------------------------------------------------------- what fields do */

static int
is_plain_host(const State *state, Slice value)
{
    const byte *end = value.start + value.size;
    const byte *at = skip(state, value.start, HOST_NAME), *port;
    if (at == value.start || at == end)
        return at == end && value.size > 0;
    if (*at++ != ':')
        return 0;
    for (port = at; at < end && *at >= '0' && *at <= '9';)
        at++;
    return at == end && at - port <= 5;
}

/* Whether no blanks follow; llhttp takes them amiss, behind a coding. */
static int
ends_line(Slice value)
{
    return value.start[value.size] == '\r';
}

static int
is_length(Slice value)
{
    Py_ssize_t i;
    for (i = 0; i < value.size; i++)
        if (value.start[i] < '0' || value.start[i] > '9')
            return 0;
    return value.size >= 1 && value.size <= 18;
}

static int
is_keep_alive(Slice value)
{
    static const char expected[] = "keep-alive";
    Py_ssize_t i;
    if (value.size != sizeof expected - 1)
        return 0;
    for (i = 0; i < value.size; i++)
        if (lower(value.start[i]) != expected[i])
            return 0;
    return 1;
}

/* The fields of a head that may come once only. */
typedef struct {
    int hosts, framings;
} Seen;

/* Note a field that has an effect. Returns whether it is plain; sets `acts` if Python must act. */
static int
note_effect(const State *state, Effect effect, Slice value, Seen *seen, int *acts)
{
    switch (effect) {
    case HOST:
        return ++seen->hosts == 1 && is_plain_host(state, value);
    case CONNECTION:
        *acts |= !is_keep_alive(value);
        return 1;
    case LENGTH:
        *acts = 1;
        return ++seen->framings == 1 && is_length(value) && ends_line(value);
    case CODING:
        *acts = 1;
        return ++seen->framings == 1 && equals(value, "chunked") && ends_line(value);
    default:
        *acts = 1;
        return 1;
    }
}

/* ------------------------------------------------------------- Python objects */

static PyObject *
to_bytes(Slice slice)
{
    return PyBytes_FromStringAndSize((const char *)slice.start, slice.size);
}

/* The lower-case name of `field`, a new reference, and its effect; NULL: no memory. */
static PyObject *
find_name(State *state, const Field *field, Effect *effect)
{
    KnownName *known = &state->names[(field->hash ^ field->hash >> 9) % KNOWN_NAMES];
    PyObject *name, *before = known->name;
    Py_ssize_t size = field->name.size, i;
    size_t number;
    char *text;
    if (before && known->size == size && memcmp(known->sent, field->name.start, size) == 0) {
        *effect = known->effect;
        Py_INCREF(before);
        return before;
    }
    name = PyBytes_FromStringAndSize(NULL, size);
    if (name == NULL)
        return NULL;
    text = PyBytes_AS_STRING(name);
    for (i = 0; i < size; i++)
        text[i] = (char)lower(field->name.start[i]);
    *effect = NOTHING;
    for (number = 0; number < EFFECT_COUNT; number++)
        if (equals((Slice){(const byte *)text, size}, EFFECTS[number].name))
            *effect = EFFECTS[number].effect;
    if (size <= KNOWN_SIZE) {
        memcpy(known->sent, field->name.start, size);
        known->size = (uint32_t)size;
        known->effect = *effect;
        Py_INCREF(name);
        known->name = name;
        Py_XDECREF(before);
    }
    return name;
}

/* Make the list of fields. NULL with an error set: no memory; without: they are not plain. */
static PyObject *
make_headers(State *state, const Head *head, int *acts)
{
    Seen seen = {0, 0};
    Py_ssize_t i;
    PyObject *headers = PyList_New(head->count);
    if (headers == NULL)
        return NULL;
    for (i = 0; i < head->count; i++) {
        const Field *field = &head->fields[i];
        Effect effect;
        PyObject *pair = PyTuple_New(2), *name, *value;
        if (pair == NULL)
            goto failed;
        PyList_SET_ITEM(headers, i, pair);
        name = find_name(state, field, &effect);
        if (name == NULL)
            goto failed;
        PyTuple_SET_ITEM(pair, 0, name);
        if (effect != NOTHING && !note_effect(state, effect, field->value, &seen, acts))
            goto failed;
        value = to_bytes(field->value);
        if (value == NULL)
            goto failed;
        PyTuple_SET_ITEM(pair, 1, value);
    }
    if (seen.hosts == 1)
        return headers;
failed:
    Py_DECREF(headers);
    return NULL;
}

static PyObject *
make_result(State *state, const Head *head)
{
    int acts = head->method == HEAD_METHOD;
    PyObject *result, *headers = make_headers(state, head, &acts);
    if (headers == NULL) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    result = PyTuple_New(6);
    if (result == NULL) {
        Py_DECREF(headers);
        return NULL;
    }
    Py_INCREF(state->methods[head->method]);
    PyTuple_SET_ITEM(result, 0, state->methods[head->method]);
    PyTuple_SET_ITEM(result, 1, to_bytes(head->target));
    PyTuple_SET_ITEM(result, 2, to_bytes(head->path));
    PyTuple_SET_ITEM(result, 3, to_bytes(head->query));
    PyTuple_SET_ITEM(result, 4, headers);
    PyTuple_SET_ITEM(result, 5, PyBool_FromLong(acts));
    if (PyErr_Occurred()) {
        Py_DECREF(result);
        return NULL;
    }
    return result;
}

PyDoc_STRVAR(read_head_doc,
"read_head(head, count_limit, /)\n--\n\n"
"Read a whole head that is plain; None if it is not, or has more fields than `count_limit`.");

static PyObject *
read_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    const byte *start, *end, *fields;
    long limit;
    int overflow;
    Head head;
    if (count != 2 || !PyBytes_CheckExact(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "read_head() takes bytes and an int");
        return NULL;
    }
    limit = PyLong_AsLongAndOverflow(arguments[1], &overflow);
    if (limit == -1 && PyErr_Occurred())
        return NULL;
    if (overflow > 0 || limit > MOST_FIELDS)
        limit = MOST_FIELDS;
    start = (const byte *)PyBytes_AS_STRING(arguments[0]);
    end = start + PyBytes_GET_SIZE(arguments[0]);
    fields = read_line(state, start, end, &head);
    if (fields == NULL || !read_fields(state, fields, end, &head, limit))
        Py_RETURN_NONE;
    return make_result(state, &head);
}

/* ------------------------------------------------------------- environs */

/* The environ key of the field `name`: a new reference, or NULL with an error set. */
static PyObject *
find_key(PyObject *keys, PyObject *name)
{
    PyObject *key = PyDict_GetItemWithError(keys, name);
    if (key != NULL)
        return Py_NewRef(key);
    return PyErr_Occurred() ? NULL : PyObject_GetItem(keys, name);
}

/* Add one field. Returns 1; 0 if it is not plain; -1 with an error set. */
static int
add_header(PyObject *environ, PyObject *pair, PyObject *keys)
{
    PyObject *key, *text;
    Py_ssize_t before;
    int result;
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 ||
        !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
        !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1)))
        return 0;
    key = find_key(keys, PyTuple_GET_ITEM(pair, 0));
    if (key == NULL)
        return -1;
    if (!PyUnicode_CheckExact(key) || PyUnicode_GET_LENGTH(key) == 0) {
        result = PyUnicode_CheckExact(key);
        Py_DECREF(key);
        return result;
    }
    before = PyDict_Size(environ);
    text = PyUnicode_DecodeLatin1(PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 1)),
                                  PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 1)), NULL);
    result = -1;
    if (text != NULL && PyDict_SetDefault(environ, key, text) != NULL)
        result = PyDict_Size(environ) > before; /* else the key is there: the field is repeated */
    Py_DECREF(key);
    Py_XDECREF(text);
    return result;
}

PyDoc_STRVAR(add_headers_doc,
"add_headers(environ, headers, keys, /)\n--\n\n"
"Add fields to `environ`, up to the first that is not plain, which is repeated for example.\n"
"Returns its index; if all were added, their number.");

static PyObject *
add_headers(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Py_ssize_t index;
    if (count != 3 || !PyDict_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[1]) ||
        !PyDict_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "add_headers() takes a dict, a list and a dict");
        return NULL;
    }
    for (index = 0; index < PyList_GET_SIZE(arguments[1]); index++) {
        /* Python code can run for a key that is new, and change the list. */
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(arguments[1], index));
        int added = add_header(arguments[0], pair, arguments[2]);
        Py_DECREF(pair);
        if (added < 0)
            return NULL;
        if (added == 0)
            break;
    }
    return PyLong_FromSsize_t(index);
}

/* ------------------------------------------------------------- heads of responses */

/* What the name of a field says (`http/plain_fields.py`); every other number: it is not plain. */
enum { NO_ROLE = 0, CONTENT_LENGTH = 1, UNIQUE = 6 };

/* Digits of a Content-Length, and so no more than an unsigned long long holds. */
#define MOST_DIGITS 19

/* The bytes of `text`, which is exactly of `kind`: bytes, or a str of latin-1. Returns success. */
static int
as_slice(PyObject *text, PyTypeObject *kind, Slice *slice)
{
    if (Py_TYPE(text) != kind)
        return 0;
    if (kind == &PyBytes_Type) {
        slice->start = (const byte *)PyBytes_AS_STRING(text);
        slice->size = PyBytes_GET_SIZE(text);
        return 1;
    }
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0) {
        PyErr_Clear();
        return 0;
    }
#endif
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND)
        return 0;
    slice->start = PyUnicode_1BYTE_DATA(text);
    slice->size = PyUnicode_GET_LENGTH(text);
    return 1;
}

/* Both parts of a field. Returns whether it is a pair of such, and its value is plain. */
static int
read_pair(PyObject *pair, PyTypeObject *kind, Slice *name, Slice *value)
{
    const byte *end;
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 ||
        !as_slice(PyTuple_GET_ITEM(pair, 0), kind, name) ||
        !as_slice(PyTuple_GET_ITEM(pair, 1), kind, value) || value->size == 0)
        return 0;
    end = value->start + value->size;
    return skip_value(value->start, end) == end && !is_blank(*value->start) && !is_blank(end[-1]);
}

/* The role of the field `name`; -1 with an error set. */
static long
find_role(PyObject *roles, PyObject *name)
{
    PyObject *role = find_key(roles, name);
    long number = role == NULL ? -1 : PyLong_AsLong(role);
    Py_XDECREF(role);
    return number;
}

/* Read a Content-Length, a new reference; None if it is none. */
static PyObject *
read_length(Slice value)
{
    unsigned long long number = 0;
    Py_ssize_t i;
    if (value.size > MOST_DIGITS)
        Py_RETURN_NONE;
    for (i = 0; i < value.size; i++) {
        if (value.start[i] < '0' || value.start[i] > '9')
            Py_RETURN_NONE;
        number = number * 10 + (value.start[i] - '0');
    }
    return PyLong_FromUnsignedLongLong(number);
}

/* Check the fields, and add up the size of their lines. Returns 1; 0 if one is not plain; -1 with
   an error set. `length` is a new reference if there is a Content-Length. */
static int
check_pairs(PyObject *pairs, PyObject *roles, PyTypeObject *kind, Py_ssize_t *size,
            PyObject **length, int *unique)
{
    Py_ssize_t i;
    for (i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        Slice name, value;
        long role;
        if (!read_pair(pair, kind, &name, &value))
            return 0;
        role = find_role(roles, PyTuple_GET_ITEM(pair, 0));
        if (role == -1 && PyErr_Occurred())
            return -1;
        if (role == CONTENT_LENGTH && *length == NULL) {
            *length = read_length(value);
            if (*length == NULL)
                return -1;
            if (*length == Py_None)
                return 0;
        }
        else if (role == UNIQUE)
            *unique = 1;
        else if (role != NO_ROLE)
            return 0;
        if (name.size + value.size > PY_SSIZE_T_MAX - *size - 4)
            return 0;
        *size += name.size + value.size + 4;
    }
    return 1;
}

static byte *
copy_bytes(byte *to, const void *start, Py_ssize_t size)
{
    memcpy(to, start, size);
    return to + size;
}

/* `line`, and the lines of the fields, which were checked; `size`: of all that. */
static PyObject *
join_lines(PyObject *line, PyObject *pairs, PyTypeObject *kind, Py_ssize_t size)
{
    PyObject *joined = PyBytes_FromStringAndSize(NULL, size);
    byte *to;
    Py_ssize_t i;
    if (joined == NULL)
        return NULL;
    to = (byte *)PyBytes_AS_STRING(joined);
    to = copy_bytes(to, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line));
    for (i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        Slice name = {NULL, 0}, value = {NULL, 0};
        read_pair(PyTuple_GET_ITEM(pairs, i), kind, &name, &value);
        to = copy_bytes(to, name.start, name.size);
        to = copy_bytes(to, ": ", 2);
        to = copy_bytes(to, value.start, value.size);
        to = copy_bytes(to, "\r\n", 2);
    }
    return joined;
}

PyDoc_STRVAR(join_fields_doc,
"join_fields(line, fields, roles, kind, /)\n--\n\n"
"Encode a status line and fields, pairs of `kind`, by the roles of their names.\n"
"Returns the bytes, the Content-Length or None, and whether the head may come again;\n"
"None if a field is not plain.");

static PyObject *
join_fields(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *pairs, *joined = NULL, *length = NULL, *result = NULL;
    PyTypeObject *kind;
    Py_ssize_t size;
    int unique = 0, found;
    if (count != 4 || !PyBytes_CheckExact(arguments[0]) || !PyList_CheckExact(arguments[1]) ||
        !PyDict_Check(arguments[2]) ||
        (arguments[3] != (PyObject *)&PyBytes_Type && arguments[3] != (PyObject *)&PyUnicode_Type)) {
        PyErr_SetString(PyExc_TypeError,
                        "join_fields() takes bytes, a list, a dict, and bytes or str");
        return NULL;
    }
    kind = (PyTypeObject *)arguments[3];
    size = PyBytes_GET_SIZE(arguments[0]);
    pairs = PyList_AsTuple(arguments[1]); /* Python code can run for a name that is new */
    if (pairs == NULL)
        return NULL;
    found = check_pairs(pairs, arguments[2], kind, &size, &length, &unique);
    if (found > 0)
        joined = join_lines(arguments[0], pairs, kind, size);
    if (joined != NULL)
        result = PyTuple_Pack(3, joined, length ? length : Py_None, unique ? Py_False : Py_True);
    else if (found == 0)
        result = Py_NewRef(Py_None);
    Py_DECREF(pairs);
    Py_XDECREF(joined);
    Py_XDECREF(length);
    return result;
}

/* ------------------------------------------------------------- meters */

/* Bounds of a histogram. */
#define MOST_BOUNDS 24
/* Aborted, and 1xx to 5xx. */
#define CLASSES 6

typedef struct {
    PyObject_HEAD
    Py_ssize_t bounds_count;
    double bounds[MOST_BOUNDS];
    unsigned long long counts[MOST_BOUNDS + 1], classes[CLASSES];
    double sum;
} Meter;

PyDoc_STRVAR(read_clock_doc,
"read_clock()\n--\n\n"
"The time in seconds, as time.perf_counter() gives it, in half the time.");

static PyObject *
read_clock(PyObject *Py_UNUSED(module), PyObject *const *Py_UNUSED(arguments), Py_ssize_t count)
{
    if (count != 0) {
        PyErr_SetString(PyExc_TypeError, "read_clock() takes nothing");
        return NULL;
    }
    return PyFloat_FromDouble(seconds_now());
}

/* Count what took from `started` until now. Returns success. */
static int
add_duration(Meter *self, PyObject *started)
{
    double seconds = seconds_now();
    Py_ssize_t bucket = 0;
    if (!PyFloat_CheckExact(started)) {
        PyErr_SetString(PyExc_TypeError, "the time is a float, as time.perf_counter() gives it");
        return 0;
    }
    seconds -= PyFloat_AS_DOUBLE(started);
    if (seconds < 0)
        seconds = 0;
    while (bucket < self->bounds_count && seconds > self->bounds[bucket])
        bucket++;
    self->counts[bucket]++;
    self->sum += seconds;
    return 1;
}

PyDoc_STRVAR(record_doc,
"record(started, status, /)\n--\n\n"
"Count a request that is over: it came at `started`, and its status is 0 if it was aborted.");

static PyObject *
meter_record(Meter *self, PyObject *const *arguments, Py_ssize_t count)
{
    long status;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "record() takes a float and an int");
        return NULL;
    }
    status = PyLong_AsLong(arguments[1]);
    if ((status == -1 && PyErr_Occurred()) || !add_duration(self, arguments[0]))
        return NULL;
    status /= 100;
    self->classes[status < 0 ? 0 : status >= CLASSES ? CLASSES - 1 : status]++;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(since_doc,
"since(started, /)\n--\n\n"
"Count what began at `started`, and is over now.");

static PyObject *
meter_since(Meter *self, PyObject *started)
{
    if (!add_duration(self, started))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
numbers(const unsigned long long *first, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    Py_ssize_t i;
    for (i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(first[i]);
        if (number == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, number);
    }
    return list;
}

PyDoc_STRVAR(read_doc,
"read()\n--\n\n"
"What was counted: a list by bucket, the sum in seconds, and a list by class of status.");

static PyObject *
meter_read(Meter *self, PyObject *Py_UNUSED(none))
{
    double sum = self->sum;
    PyObject *counts = numbers(self->counts, self->bounds_count + 1);
    PyObject *classes = numbers(self->classes, CLASSES);
    if (counts == NULL || classes == NULL) {
        Py_XDECREF(counts);
        Py_XDECREF(classes);
        return NULL;
    }
    return Py_BuildValue("NdN", counts, sum, classes);
}

static PyObject *
meter_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *bounds;
    Meter *self;
    Py_ssize_t i, count;
    if (!PyArg_ParseTuple(arguments, "O!", &PyTuple_Type, &bounds))
        return NULL;
    count = PyTuple_GET_SIZE(bounds);
    if (count > MOST_BOUNDS) {
        PyErr_Format(PyExc_ValueError, "at most %d bounds", MOST_BOUNDS);
        return NULL;
    }
    self = (Meter *)type->tp_alloc(type, 0); /* all zeros */
    if (self == NULL)
        return NULL;
    self->bounds_count = count;
    for (i = 0; i < count; i++)
        self->bounds[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(bounds, i));
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
meter_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef meter_methods[] = {
    {"record", (PyCFunction)(void (*)(void))meter_record, METH_FASTCALL, record_doc},
    {"since", (PyCFunction)meter_since, METH_O, since_doc},
    {"read", (PyCFunction)meter_read, METH_NOARGS, read_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(meter_doc,
"Meter(bounds, /)\n--\n\n"
"Counts durations, and requests by class of status; each count is whole in any thread.");

static PyType_Slot meter_slots[] = {
    {Py_tp_doc, (void *)meter_doc},
    {Py_tp_new, meter_new},
    {Py_tp_dealloc, meter_free},
    {Py_tp_methods, meter_methods},
    {0, NULL},
};

static PyType_Spec meter_spec = {
    .name = "bridge.accelerator.speedups.Meter",
    .basicsize = sizeof(Meter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = meter_slots,
};

/* ------------------------------------------------------------- the module */

static void
set_class(State *state, int class, const char *bytes)
{
    for (; *bytes; bytes++)
        state->classes[(byte)*bytes] |= (byte)class;
}

static int
set_up(PyObject *module)
{
    State *state = PyModule_GetState(module);
    PyObject *meter;
    const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t i;
    set_up_clock();
    set_class(state, TOKEN | PATH | QUERY | HOST_NAME, letters);
    set_class(state, TOKEN, "!#$%&'*+-.^_`|~");
    set_class(state, PATH | QUERY, "-._~:/@!$&'()*+,;=%[]|");
    set_class(state, QUERY, "?{}^\\`\"");
    set_class(state, HOST_NAME, "-._~");
    for (i = 0; i < METHOD_COUNT; i++) {
        state->methods[i] = PyUnicode_InternFromString(METHODS[i]);
        if (state->methods[i] == NULL)
            return -1;
    }
    meter = PyType_FromModuleAndSpec(module, &meter_spec, NULL);
    if (meter == NULL)
        return -1;
    i = PyModule_AddType(module, (PyTypeObject *)meter) < 0;
    Py_DECREF(meter);
    return i ? -1 : 0;
}

static int
clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    size_t i;
    for (i = 0; i < METHOD_COUNT; i++)
        Py_CLEAR(state->methods[i]);
    for (i = 0; i < KNOWN_NAMES; i++)
        Py_CLEAR(state->names[i].name);
    return 0;
}

static void
release(void *module)
{
    clear(module);
}

static PyMethodDef functions[] = {
    {"read_head", (PyCFunction)(void (*)(void))read_head, METH_FASTCALL, read_head_doc},
    {"add_headers", (PyCFunction)(void (*)(void))add_headers, METH_FASTCALL, add_headers_doc},
    {"join_fields", (PyCFunction)(void (*)(void))join_fields, METH_FASTCALL, join_fields_doc},
    /* Not METH_NOARGS: the interpreter has no fast way to call that. */
    {"read_clock", (PyCFunction)(void (*)(void))read_clock, METH_FASTCALL, read_clock_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, set_up},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bridge.accelerator.speedups",
    .m_doc = "The optional accelerator of `bridge.accelerator`, in C.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = slots,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC
PyInit_speedups(void)
{
    return PyModuleDef_Init(&definition);
}
