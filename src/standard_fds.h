/* SPDX-License-Identifier: Apache-2.0 */
/* The three standard descriptors, whoever starts ebb. Private to src/. */
#ifndef STANDARD_FDS_H
#define STANDARD_FDS_H

#include "ebb/types.h"

/*
 * Puts something harmless where stdin, stdout or stderr is closed, so that no file or socket of
 * ours gets its number and the guest's console with it. Reading from it or writing to it fails as
 * before, with EBADF. At the start, before anything is opened. 0 or -errno of open.
 */
EBB_MUST_CHECK int standard_fds_fill(void);

#endif
