/* SPDX-License-Identifier: Apache-2.0 */
/* What the program's exit status means, the same for every command. */
#ifndef JM_HARNESS_EXIT_CODE_H
#define JM_HARNESS_EXIT_CODE_H

#include "base/status.h"

enum jm_exit {
    JM_EXIT_OK = 0,
    JM_EXIT_INVALID = 1,      /* a run was invalid or failed */
    JM_EXIT_USAGE = 2,        /* the command line makes no sense */
    JM_EXIT_INCOMPARABLE = 2, /* gate and reproduce: what was given cannot be judged */
    JM_EXIT_INPUT = 3,        /* a file given to us is missing, damaged or hostile */
    JM_EXIT_SYSTEM = 4,       /* the system refused: I/O, memory, disk */
    JM_EXIT_UNSUPPORTED = 5,  /* nothing here can do it */
    JM_EXIT_INTERRUPTED = 130
};

static inline int jm_exit_code(jm_status st)
{
    switch (st) {
    case JM_OK:
        return JM_EXIT_OK;
    case JM_EUSAGE:
        return JM_EXIT_USAGE;
    case JM_EINPUT:
    case JM_ENOTFOUND:
    case JM_ERANGE:
        return JM_EXIT_INPUT;
    case JM_EIO:
    case JM_ENOMEM:
        return JM_EXIT_SYSTEM;
    case JM_EUNSUPPORTED:
        return JM_EXIT_UNSUPPORTED;
    case JM_EDEVICE:
        return JM_EXIT_INVALID;
    case JM_EINTERRUPTED:
        return JM_EXIT_INTERRUPTED;
    }
    return JM_EXIT_INVALID;
}

#endif
