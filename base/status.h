/* SPDX-License-Identifier: Apache-2.0 */
/* How every part of joulemark reports failure: a status for the program, one sentence for the
 * person. Libraries never print or exit; they fill a jm_err and return. */
#ifndef JM_BASE_STATUS_H
#define JM_BASE_STATUS_H

typedef enum jm_status {
    JM_OK = 0,
    JM_EUSAGE,       /* the caller asked for something that makes no sense */
    JM_EINPUT,       /* a file or text given to us is damaged or hostile */
    JM_EIO,          /* the system refused: open, read, write, disk full */
    JM_ENOMEM,       /* memory ran out, or a size does not fit */
    JM_EUNSUPPORTED, /* well formed, but nothing here can do it */
    JM_ENOTFOUND,    /* the named thing does not exist */
    JM_ERANGE,       /* data do not cover what was asked */
    JM_EDEVICE,      /* a backend or meter failed while running */
    JM_EINTERRUPTED, /* stopped by SIGINT or SIGTERM */
} jm_status;

enum { JM_ERR_TEXT = 512 };

/* text: one sentence without a trailing newline: object, cause, and what to do if not obvious. */
typedef struct jm_err {
    jm_status status;
    char text[JM_ERR_TEXT];
} jm_err;

/**
 * Records a failure and returns st, so that a caller can write `return jm_fail(...)`.
 * Keeps the first cause: a second call on the same err changes nothing but still returns st.
 * err may be NULL.
 */
jm_status jm_fail(jm_err *err, jm_status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A short English name: "ok", "bad input", … Never NULL. */
const char *jm_status_name(jm_status st);

#endif
