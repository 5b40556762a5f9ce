/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a part of a file whole. */
#ifndef READ_FILE_H
#define READ_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "ebb/types.h"

/* -EIO: the file ends before; -errno of pread. offset and size_bytes together fit off_t. */
EBB_MUST_CHECK int read_file(int fd, uint64_t offset, void *buf, size_t size_bytes);

#endif
