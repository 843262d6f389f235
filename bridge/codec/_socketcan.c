/* A CAN socket, many frames a system call: recvmmsg and sendmmsg. Linux only. */
#define _GNU_SOURCE
#include "_codec.h"

PyMethodDef codec_socketcan_functions[] = {
    {NULL, NULL, 0, NULL},
};
