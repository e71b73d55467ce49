/* Calls of a socket that never block, whatever the mode of its descriptor (G6).

   As the methods of `socket.socket` with the flag MSG_DONTWAIT, but that these wait first if the
   socket has a timeout, and raise an exception if they would block; here that is None. Since they
   do not block, other threads are not let in. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <sys/socket.h>

#if PY_VERSION_HEX < 0x030D0000
#define PyLong_AsInt _PyLong_AsInt
#endif

/* What to do about a call that has failed. */
enum { AGAIN, WOULD_BLOCK, FAILED };

static int after_failure(void)
{
    if (errno == EINTR) {
        return PyErr_CheckSignals() < 0 ? FAILED : AGAIN;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return WOULD_BLOCK;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return FAILED;
}

/* Call recv; -1 with an exception, or without one if it would block. */
static Py_ssize_t receive(int descriptor, void *buffer, Py_ssize_t size, int flags)
{
    int next = AGAIN;
    if (size == 0) {
        return 0; /* as the methods do */
    }
    while (next == AGAIN) {
        ssize_t received = recv(descriptor, buffer, (size_t)size, flags | MSG_DONTWAIT);
        if (received >= 0) {
            return received;
        }
        next = after_failure();
    }
    return -1;
}

static PyObject *number(Py_ssize_t count)
{
    if (count >= 0) {
        return PyLong_FromSsize_t(count);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Read the arguments (descriptor, ..., flags) at the ends. */
static int ends(PyObject *const *args, Py_ssize_t count, Py_ssize_t wanted, int *descriptor,
                int *flags)
{
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "takes %zd arguments (%zd given)", wanted, count);
        return -1;
    }
    *descriptor = PyLong_AsInt(args[0]);
    if (*descriptor == -1 && PyErr_Occurred()) {
        return -1;
    }
    *flags = PyLong_AsInt(args[count - 1]);
    return *flags == -1 && PyErr_Occurred() ? -1 : 0;
}

PyDoc_STRVAR(recv_doc,
"recv($module, descriptor, size, flags, /)\n--\n\n"
"Return what there is, at most `size` bytes; None if nothing is there yet.");

static PyObject *recv_now(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int descriptor, flags;
    if (ends(args, count, 3, &descriptor, &flags) < 0) {
        return NULL;
    }
    Py_ssize_t size = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, size);
    if (data == NULL) {
        return NULL;
    }
    Py_ssize_t received = receive(descriptor, PyBytes_AS_STRING(data), size, flags);
    if (received < 0) {
        Py_DECREF(data);
        return number(-1);
    }
    if (received != size) {
        _PyBytes_Resize(&data, received);
    }
    return data;
}

PyDoc_STRVAR(recv_into_doc,
"recv_into($module, descriptor, buffer, nbytes, flags, /)\n--\n\n"
"Receive into `buffer`, at most `nbytes`, or as much as fits if that is 0; return how much.\n\n"
"None if nothing is there yet.");

static PyObject *recv_into_now(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int descriptor, flags;
    if (ends(args, count, 4, &descriptor, &flags) < 0) {
        return NULL;
    }
    Py_ssize_t size = PyNumber_AsSsize_t(args[2], PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(args[1], &buffer, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    Py_ssize_t received = -1;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv_into");
    }
    else if (size > buffer.len) {
        PyErr_SetString(PyExc_ValueError, "buffer too small for requested bytes");
    }
    else {
        received = receive(descriptor, buffer.buf, size ? size : buffer.len, flags);
    }
    PyBuffer_Release(&buffer);
    return number(received);
}

PyDoc_STRVAR(send_doc,
"send($module, descriptor, data, flags, /)\n--\n\n"
"Send as much of `data` as there is room for, and return how much; None if there is none.");

static PyObject *send_now(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int descriptor, flags;
    if (ends(args, count, 3, &descriptor, &flags) < 0) {
        return NULL;
    }
    Py_buffer data;
    if (PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    Py_ssize_t sent = -1;
    int next = AGAIN;
    while (next == AGAIN) {
        sent = send(descriptor, data.buf, (size_t)data.len, flags | MSG_DONTWAIT);
        next = sent < 0 ? after_failure() : FAILED;
    }
    PyBuffer_Release(&data);
    return number(sent);
}

static PyMethodDef methods[] = {
    {"recv", (PyCFunction)(void (*)(void))recv_now, METH_FASTCALL, recv_doc},
    {"recv_into", (PyCFunction)(void (*)(void))recv_into_now, METH_FASTCALL, recv_into_doc},
    {"send", (PyCFunction)(void (*)(void))send_now, METH_FASTCALL, send_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "nonblocking",
    .m_doc = "Calls of a socket that never block; written in C.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_nonblocking(void)
{
    return PyModuleDef_Init(&definition);
}
