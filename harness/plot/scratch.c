/* SPDX-License-Identifier: Apache-2.0 */
/* See scratch.h. */
#include "harness/plot/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness/paths.h"

jm_status jm_scratch_open(struct jm_scratch *s, jm_err *err)
{
    *s = (struct jm_scratch){ .dir = "/tmp/joulemark-plot-XXXXXX" };
    if (!mkdtemp(s->dir))
        return jm_fail(err, JM_EIO, "%s: %s", s->dir, strerror(errno));
    s->scripts = jm_share_dir("plots");
    s->data = jm_asprintf("%s/plot.dat", s->dir);
    if (s->scripts && s->data)
        return JM_OK;
    jm_status st =
        s->scripts ? jm_fail(err, JM_ENOMEM, "plot: out of memory")
                   : jm_fail(err, JM_ENOTFOUND, "the plot scripts cannot be found; set JM_SHARE");
    jm_scratch_close(s);
    return st;
}

void jm_scratch_close(struct jm_scratch *s)
{
    if (*s->dir)
        jm_remove_folder(s->dir);
    free(s->scripts);
    free(s->data);
    *s = (struct jm_scratch){ .data = NULL };
}
