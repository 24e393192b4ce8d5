/* memory.c: aligned memory, in huge pages where it is large, and memory that results use again.
 *
 * The kernel clears every page of new memory, and glibc gives freed blocks back to it: for a result
 * of 1 MB that costs ten times what an activation does. So the blocks of results that are gone are
 * kept, KEPT_BYTES at most, for the next ones of their size.
 */
#include "convkit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)
#define KEPT_BYTES ((size_t)64 << 20)
#define KEPT 32

static struct block {
    void *data;
    size_t bytes;
} kept[KEPT]; /* the oldest first */
static int n_kept;
static size_t kept_bytes;
/* Whoever finds it set does without: no one waits, and a forked child cannot hang. */
static atomic_flag in_use = ATOMIC_FLAG_INIT;

void *ck_memory(size_t bytes) {
    const size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    void *data = NULL;
    if (posix_memalign(&data, alignment, bytes) != 0) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (alignment == HUGE_PAGE) (void)madvise(data, bytes, MADV_HUGEPAGE);
#endif
    return data;
}

static void *take(int i) {
    void *data = kept[i].data;
    kept_bytes -= kept[i].bytes;
    n_kept--;
    memmove(kept + i, kept + i + 1, (size_t)(n_kept - i) * sizeof *kept);
    return data;
}

void *ck_result_memory(size_t bytes) {
    void *found = NULL;
    if (!atomic_flag_test_and_set(&in_use)) {
        for (int i = n_kept - 1; i >= 0 && !found; i--)
            if (kept[i].bytes == bytes) found = take(i);
        atomic_flag_clear(&in_use);
    }
    return found ? found : ck_memory(bytes);
}

void ck_result_memory_free(void *data, size_t bytes) {
    if (bytes > KEPT_BYTES || atomic_flag_test_and_set(&in_use)) {
        free(data);
        return;
    }
    while (n_kept == KEPT || kept_bytes + bytes > KEPT_BYTES) free(take(0));
    kept[n_kept++] = (struct block){data, bytes};
    kept_bytes += bytes;
    atomic_flag_clear(&in_use);
}
