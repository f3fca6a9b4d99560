/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark version: what this program is and how it was built. */
#include "harness/commands.h"

#include <stdio.h>
#include <string.h>

#include "harness/exit_code.h"
#include "harness/record/columns.h"
#include "harness/system/machine.h"

int jm_cmd_version(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs("usage: joulemark version\n\n"
                    "Prints version, source revision, compiler, flags, and schema of results.\n\n"
                    "example:\n"
                    "  joulemark version\n",
                    stdout);
        return JM_EXIT_OK;
    }
    if (argc > 1) {
        (void)fprintf(stderr, "joulemark version: takes no arguments, not '%s'\n", argv[1]);
        return JM_EXIT_USAGE;
    }
    struct jm_build b = jm_machine_build();
    (void)printf("joulemark %s\ncommit %s\ncompiler %s\nflags %s\nresults schema %d\n", b.version,
                 b.commit, b.compiler, b.flags, JM_SCHEMA_VERSION);
    return fflush(stdout) == 0 ? JM_EXIT_OK : JM_EXIT_SYSTEM;
}
