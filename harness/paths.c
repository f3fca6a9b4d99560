/* SPDX-License-Identifier: Apache-2.0 */
/* See paths.h. */
#include "harness/paths.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

char *jm_share_dir(void)
{
    const char *env = getenv("JM_SHARE");
    if (env && *env)
        return strdup(env);
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return NULL;
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    return jm_asprintf("%s/../share/joulemark", exe);
}

jm_status jm_find_file(const char *name, const char *suffix, char **out, jm_err *err)
{
    char *share = jm_share_dir();
    char *tries[] = { strdup(name), share ? jm_asprintf("%s/data/%s", share, name) : NULL,
                      jm_asprintf("%s%s", name, suffix),
                      share ? jm_asprintf("%s/data/%s%s", share, name, suffix) : NULL };
    *out = NULL;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (!*out && tries[i] && access(tries[i], F_OK) == 0)
            *out = tries[i];
        else
            free(tries[i]);
    }
    jm_status st = *out ? JM_OK
                        : jm_fail(err, JM_ENOTFOUND,
                                  "%s: no such file, neither here nor in %s/data; "
                                  "'joulemark list' shows the bundled ones",
                                  name, share ? share : "share/joulemark");
    free(share);
    return st;
}
