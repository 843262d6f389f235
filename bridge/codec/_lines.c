/* Text of adapters, logs and apps as frame records, and back: slcan, candump, raw CAN writes. */
#include "_codec.h"

PyMethodDef codec_line_functions[] = {
    {NULL, NULL, 0, NULL},
};
