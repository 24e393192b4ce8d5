/* test_memory.c: what results leave behind, and how much of it is kept. */
#include "harness.h"

#include <stdint.h>

static void expect_true(const char *what, int holds) { expect_number(what, holds, 1, 0); }

void test_memory(void) {
    enum { MEGABYTE = 1 << 20 };
    char *a = ck_result_memory(MEGABYTE), *b = ck_result_memory(MEGABYTE);
    expect_true("memory: aligned", (uintptr_t)a % 64 == 0 && (uintptr_t)b % 64 == 0 && a != b);
    memset(a, 1, MEGABYTE), memset(b, 1, MEGABYTE);
    ck_result_memory_free(a, MEGABYTE);
    ck_result_memory_free(b, MEGABYTE);
    char *other = ck_result_memory(MEGABYTE + 1);
    other[MEGABYTE] = 1;
    expect_true("memory: the newest of its size", ck_result_memory(MEGABYTE) == b);
    expect_true("memory: then the other", ck_result_memory(MEGABYTE) == a);
    ck_result_memory_free(other, MEGABYTE + 1);
    ck_result_memory_free(a, MEGABYTE);
    /* More than is kept drives out the oldest; what is larger yet is not kept. */
    for (size_t i = 0; i < 70; i++) ck_result_memory_free(ck_memory(MEGABYTE + i), MEGABYTE + i);
    ck_result_memory_free(ck_memory((size_t)65 * MEGABYTE), (size_t)65 * MEGABYTE);
    ck_result_memory_free(b, MEGABYTE);
    expect_true("memory: still the newest", ck_result_memory(MEGABYTE) == b);
    free(b);
}
