/* dispatch.c: which ISAs were built, and which of them this CPU runs.
 *
 * Compiled without ISA flags, so that the check itself runs on every CPU. The decision rests on
 * CPUID feature bits and on XGETBV (does the OS save the wide registers?), never on a CPU model.
 */
#include "convkit.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define DECLARE(isa) extern const struct ck_kernels ck_kernels_##isa##_f32, ck_kernels_##isa##_f64;
DECLARE(baseline)
#ifdef CK_BUILT_avx2
DECLARE(avx2)
#endif
#ifdef CK_BUILT_avx512
DECLARE(avx512)
#endif

static int always(void) { return 1; }

#if defined(__x86_64__)
static unsigned long long saved_state(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (unsigned long long)d << 32 | a;
}

static int cpu_has_avx2(void) {
    unsigned a, b, c, d;
    if ((saved_state() & 0x6) != 0x6) return 0; /* xmm, ymm */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

static int cpu_has_avx512(void) {
    const unsigned needed = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    unsigned a, b, c, d;
    if (!cpu_has_avx2() || (saved_state() & 0xe6) != 0xe6) return 0; /* and opmask, zmm */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & needed) == needed;
}
#endif

struct isa {
    const char *name;
    int (*usable)(void);
    const struct ck_kernels *f32, *f64; /* NULL where not built */
};

static const struct isa isas[] = {
    {"baseline", always, &ck_kernels_baseline_f32, &ck_kernels_baseline_f64},
#if defined(__x86_64__)
#ifdef CK_BUILT_avx2
    {"avx2", cpu_has_avx2, &ck_kernels_avx2_f32, &ck_kernels_avx2_f64},
#else
    {"avx2", cpu_has_avx2, NULL, NULL},
#endif
#ifdef CK_BUILT_avx512
    {"avx512", cpu_has_avx512, &ck_kernels_avx512_f32, &ck_kernels_avx512_f64},
#else
    {"avx512", cpu_has_avx512, NULL, NULL},
#endif
#endif
};

#define N_ISAS ((int)(sizeof isas / sizeof *isas))

const char *ck_isa_name(int index) { return index < N_ISAS ? isas[index].name : NULL; }
int ck_isa_built(int index) { return isas[index].f32 != NULL; }
int ck_isa_usable(int index) { return ck_isa_built(index) && isas[index].usable(); }

const struct ck_kernels *ck_kernels_for(int isa_index, int real_bytes) {
    return real_bytes == 4 ? isas[isa_index].f32 : isas[isa_index].f64;
}
