/* The codec's hot path in C: a batch of frames in, records out, by a compiled plan. */
#include "_codec.h"

static int module_exec(PyObject *module)
{
    if (PyModule_AddFunctions(module, codec_line_functions) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, codec_socketcan_functions);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if defined(Py_mod_gil) && defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bridge.codec._codec",
    .m_doc = "The hot path in C. See bridge.codec.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__codec(void)
{
    return PyModuleDef_Init(&module_definition);
}
