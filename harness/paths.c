/* SPDX-License-Identifier: Apache-2.0 */
/* See paths.h. */
#include "harness/paths.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

char *jm_share_dir(const char *folder)
{
    const char *env = getenv("JM_SHARE");
    if (env && *env)
        return jm_asprintf("%s/%s", env, folder);
    char *share = jm_beside_program("share/joulemark");
    char *dir = share ? jm_asprintf("%s/%s", share, folder) : NULL;
    free(share);
    return dir;
}

static jm_status find(const char *name, const char *folder, const char *suffix, char **out,
                      jm_err *err)
{
    char *share = jm_share_dir(folder);
    char *tries[] = { strdup(name), share ? jm_asprintf("%s/%s", share, name) : NULL,
                      jm_asprintf("%s%s", name, suffix),
                      share ? jm_asprintf("%s/%s%s", share, name, suffix) : NULL };
    *out = NULL;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (!*out && tries[i] && access(tries[i], F_OK) == 0)
            *out = tries[i];
        else
            free(tries[i]);
    }
    jm_status st = *out ? JM_OK
                        : jm_fail(err, JM_ENOTFOUND,
                                  "%s: no such file, neither here nor in %s; "
                                  "'joulemark list' shows the bundled ones",
                                  name, share ? share : folder);
    free(share);
    return st;
}

jm_status jm_find_file(const char *name, const char *suffix, char **out, jm_err *err)
{
    return find(name, "data", suffix, out, err);
}

jm_status jm_find_suite(const char *name, char **out, jm_err *err)
{
    return find(name, "suites", ".ini", out, err);
}
