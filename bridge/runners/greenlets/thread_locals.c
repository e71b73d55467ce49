/* What a thread keeps in `threading.local` objects, exchanged when it switches greenlets (G7).

   Each `threading.local` finds its values by way of the thread's state: up to Python 3.12 in a
   dictionary of that state, from 3.13 on by a key that the state has. Whoever exchanges these has
   another thread, as far as `threading.local` can tell, whatever was imported when. What an empty
   state needs, Python makes at the first look. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* What is kept while another greenlet runs; all NULL: nothing yet. */
typedef struct {
    PyObject_HEAD
    PyObject *first;
    PyObject *second;
} Locals;

static void exchange(PyObject **here, PyObject **there)
{
    PyObject *kept = *here;
    *here = *there;
    *there = kept;
}

#if PY_VERSION_HEX < 0x030D0000
/* Whether `value` stands for a `threading.local` that is no more. It points to what that one had,
   and another one can have its key, which is its address. A living one holds a weak reference. */
static int is_left_over(PyObject *value)
{
    static PyTypeObject *dummy = NULL;
    PyTypeObject *type = Py_TYPE(value);
    if (dummy == NULL && strcmp(type->tp_name, "_thread._localdummy") == 0) {
        dummy = type;
    }
    return type == dummy && *(PyObject **)((char *)value + type->tp_weaklistoffset) == NULL;
}

/* Remove what `threading.local` objects have left that ended while `dict` was put aside: Python
   looks for it in the states of threads only. */
static void prune(PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (dict != NULL && PyDict_Next(dict, &position, &key, &value)) {
        if (is_left_over(value)) {
            Py_INCREF(key);
            if (PyDict_DelItem(dict, key) < 0) {
                PyErr_Clear();
            }
            Py_DECREF(key);
            position = 0;
        }
    }
}
#endif

static void swap(Locals *self)
{
    PyThreadState *state = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030D0000
    exchange(&self->first, &state->threading_local_key);
    exchange(&self->second, &state->threading_local_sentinel);
#else
    prune(self->first);
    exchange(&self->first, &state->dict);
#endif
}

static PyObject *locals_call(Locals *self, PyObject *const *args, Py_ssize_t count)
{
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "call() takes a callable and its arguments");
        return NULL;
    }
    swap(self);
    PyObject *result = PyObject_Vectorcall(args[0], args + 1, count - 1, NULL);
#if PY_VERSION_HEX < 0x030D0000
    PyObject *error = NULL, *value = NULL, *traceback = NULL;
    PyErr_Fetch(&error, &value, &traceback);
    swap(self);
    PyErr_Restore(error, value, traceback);
#else
    swap(self);
#endif
    return result;
}

static int locals_traverse(Locals *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->first);
    Py_VISIT(self->second);
    return 0;
}

static int locals_clear(Locals *self)
{
    Py_CLEAR(self->first);
    Py_CLEAR(self->second);
    return 0;
}

static void locals_dealloc(Locals *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    locals_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(call_doc,
"call($self, function, /, *args)\n--\n\n"
"Return ``function(*args)``; meanwhile this thread has these values.");

static PyMethodDef locals_methods[] = {
    {"call", (PyCFunction)(void (*)(void))locals_call, METH_FASTCALL, call_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(locals_doc,
"ThreadLocals()\n--\n\n"
"The values of all `threading.local` objects for one greenlet; none at first.");

static PyType_Slot locals_slots[] = {
    {Py_tp_doc, (void *)locals_doc},
    {Py_tp_methods, locals_methods},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, locals_traverse},
    {Py_tp_clear, locals_clear},
    {Py_tp_dealloc, locals_dealloc},
    {0, NULL},
};

static PyType_Spec locals_spec = {
    .name = "bridge.runners.greenlets.thread_locals.ThreadLocals",
    .basicsize = sizeof(Locals),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = locals_slots,
};

static int fill(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&locals_spec);
    if (type == NULL) {
        return -1;
    }
    int failed = PyModule_AddObjectRef(module, "ThreadLocals", type);
    Py_DECREF(type);
    return failed;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "thread_locals",
    .m_doc = "The values of `threading.local` for each greenlet; written in C.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_thread_locals(void)
{
    return PyModuleDef_Init(&definition);
}
