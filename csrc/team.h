/* team.h: what team.c offers to the other C files beyond convkit.h. */
#ifndef CK_TEAM_H
#define CK_TEAM_H

#include "convkit.h"

typedef uint64_t ck_float_mode;

/* Both return the mode before. */
ck_float_mode ck_flush_subnormals(void);
ck_float_mode ck_keep_subnormals(void);
void ck_restore_float_mode(ck_float_mode mode);

#endif
