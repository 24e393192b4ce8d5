/* simd.h: the vector vocabulary that kernels are written in.
 *
 * An isa_*.c defines CK_VECTOR_BYTES (and the build defines CK_DOUBLE); everything below follows.
 * + - * / on vreal are the compiler's vector extensions. Contraction is off, so a multiply and an
 * add fuse only in vfma, and vector body and tail round alike. Baseline x86 has no FMA: there vfma
 * rounds twice, in the body and in the tail.
 *
 *   real, ireal, vreal, vint   scalar float, integer of its width, and vectors of VL lanes
 *   vload vstore               unaligned;  vload_n: the first n lanes, others read as 0
 *   vstore_n                   the first n lanes, n < VL
 *   vset1 vbroadcast           a scalar; a scalar in memory (no shuffle port)
 *   vfma(a, b, c)              a * b + c;  vkept(a): a, in a register from here on
 *   a < b, a == b ...          vint of 0 / -1;  vselect(mask, a, b): mask ? a : b, lane by lane
 *   vany(mask)                 is a lane set?
 *   vmax vmin                  NaN in either operand gives NaN
 *   vsqrt vabs vreduce_add     sums lanes in a fixed tree
 *   vstream vfence             a store past the caches, and the fence before it is read
 *   highest_of_four            the highest and its number;  highest_number: where NaNs are seldom
 *   vstore_bytes_n vload_bytes_n   the first n lanes, as bytes;  vselect_bytes(p, mask, a, b, n)
 *   vshuffle(a, b, index)      lanes of two vectors by number;  vpermute(a, index): of one
 *   vtranspose(v)              VL vectors: lane j of v[i] and lane i of v[j] change places
 */
#ifndef CK_SIMD_H
#define CK_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if CK_DOUBLE
typedef double real;
typedef int64_t ireal;
#define REAL(x) x
#else
typedef float real;
typedef int32_t ireal;
#define REAL(x) x##f
#endif

#define VL ((ptrdiff_t)(CK_VECTOR_BYTES / sizeof(real)))
#define CK_AVX512 (CK_VECTOR_BYTES == 64)
#define CK_AVX2 (CK_VECTOR_BYTES == 32)

/* Right rather than fast, and small: float64, and x86 CPUs without AVX2. */
#if CK_DOUBLE || (defined(__SSE2__) && CK_VECTOR_BYTES == 16)
#define CK_SMALL 1
#else
#define CK_SMALL 0
#endif

#define INLINE static inline __attribute__((always_inline, unused))
/* Once a call of a kernel: one copy of it serves all callers. */
#define OUTLINE static __attribute__((noinline, unused))

/* Loops over registers are unrolled whole, or these would live in memory. */
#define UNROLLED(i, n) _Pragma("GCC unroll 32") for (int i = 0; i < n; i++)

typedef real vreal __attribute__((vector_size(CK_VECTOR_BYTES)));
typedef ireal vint __attribute__((vector_size(CK_VECTOR_BYTES)));
typedef real vreal_unaligned
    __attribute__((vector_size(CK_VECTOR_BYTES), aligned(sizeof(real)), may_alias));

INLINE vreal vload(const real *p) { return *(const vreal_unaligned *)p; }
INLINE void vstore(real *p, vreal a) { *(vreal_unaligned *)p = a; }
INLINE vreal vzero(void) { return (vreal){0}; }

/* Past the caches: p is aligned to a vector, and vfence comes before anybody reads. */
INLINE void vstream(real *p, vreal a) {
#if CK_AVX512 && CK_DOUBLE
    _mm512_stream_pd(p, a);
#elif CK_AVX512
    _mm512_stream_ps(p, a);
#elif CK_AVX2 && CK_DOUBLE
    _mm256_stream_pd(p, a);
#elif CK_AVX2
    _mm256_stream_ps(p, a);
#elif defined(__SSE2__)
    _mm_stream_ps((float *)p, (__m128)a);
#else
    vstore(p, a);
#endif
}
INLINE void vfence(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#if CK_AVX512 && CK_DOUBLE
INLINE vreal vset1(real a) { return _mm512_set1_pd(a); }
INLINE vreal vfma(vreal a, vreal b, vreal c) { return _mm512_fmadd_pd(a, b, c); }
INLINE vreal vload_n(const real *p, ptrdiff_t n) {
    return _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
INLINE void vstore_n(real *p, vreal a, ptrdiff_t n) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), a);
}
INLINE vreal vsqrt(vreal a) { return _mm512_sqrt_pd(a); }
#elif CK_AVX512
INLINE vreal vset1(real a) { return _mm512_set1_ps(a); }
INLINE vreal vfma(vreal a, vreal b, vreal c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vreal vload_n(const real *p, ptrdiff_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE void vstore_n(real *p, vreal a, ptrdiff_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}
INLINE vreal vsqrt(vreal a) { return _mm512_sqrt_ps(a); }
#elif CK_AVX2
/* The n-th row of a sliding window over ones and zeros is the mask of the first n lanes. */
static const ireal tail_masks[2 * CK_VECTOR_BYTES / sizeof(ireal)]
    __attribute__((aligned(64), unused)) = {
#if CK_DOUBLE
        -1, -1, -1, -1};
INLINE __m256i tail_mask(ptrdiff_t n) {
    return _mm256_loadu_si256((const __m256i *)(tail_masks + VL - n));
}
INLINE vreal vset1(real a) { return _mm256_set1_pd(a); }
INLINE vreal vfma(vreal a, vreal b, vreal c) { return _mm256_fmadd_pd(a, b, c); }
INLINE vreal vload_n(const real *p, ptrdiff_t n) { return _mm256_maskload_pd(p, tail_mask(n)); }
INLINE void vstore_n(real *p, vreal a, ptrdiff_t n) { _mm256_maskstore_pd(p, tail_mask(n), a); }
INLINE vreal vsqrt(vreal a) { return _mm256_sqrt_pd(a); }
#else
        -1, -1, -1, -1, -1, -1, -1, -1};
INLINE __m256i tail_mask(ptrdiff_t n) {
    return _mm256_loadu_si256((const __m256i *)(tail_masks + VL - n));
}
INLINE vreal vset1(real a) { return _mm256_set1_ps(a); }
INLINE vreal vfma(vreal a, vreal b, vreal c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vreal vload_n(const real *p, ptrdiff_t n) { return _mm256_maskload_ps(p, tail_mask(n)); }
/* In up to three parts: a masked store takes AMD's CPUs some twenty cycles (Zen 3). */
OUTLINE void vstore_n(real *p, vreal a, ptrdiff_t n) {
    __m128 part = _mm256_castps256_ps128(a);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        p += 4;
        part = _mm256_extractf128_ps(a, 1);
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        p += 2;
        part = _mm_movehl_ps(part, part);
    }
    if (n & 1) _mm_store_ss(p, part);
}
INLINE vreal vsqrt(vreal a) { return _mm256_sqrt_ps(a); }
#endif
#else
/* 16-byte vectors: SSE2, NEON, or whatever the compiler makes of the vector extensions. */
INLINE vreal vset1(real a) { return a - vzero(); }
#if defined(__aarch64__) && CK_DOUBLE
INLINE vreal vfma(vreal a, vreal b, vreal c) {
    return (vreal)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
INLINE vreal vsqrt(vreal a) { return (vreal)vsqrtq_f64((float64x2_t)a); }
#elif defined(__aarch64__)
INLINE vreal vfma(vreal a, vreal b, vreal c) {
    return (vreal)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
INLINE vreal vsqrt(vreal a) { return (vreal)vsqrtq_f32((float32x4_t)a); }
#else
INLINE vreal vfma(vreal a, vreal b, vreal c) { return a * b + c; }
INLINE vreal vsqrt(vreal a) {
    for (ptrdiff_t i = 0; i < VL; i++)
        a[i] = CK_DOUBLE ? (real)__builtin_sqrt((double)a[i]) : (real)__builtin_sqrtf((float)a[i]);
    return a;
}
#endif
INLINE vreal vload_n(const real *p, ptrdiff_t n) {
    vreal a = vzero();
    for (ptrdiff_t i = 0; i < n; i++) a[i] = p[i];
    return a;
}
INLINE void vstore_n(real *p, vreal a, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) p[i] = a[i];
}
#endif

/* set1 of a value in memory compiles to a broadcasting load. */
INLINE vreal vbroadcast(const real *p) { return vset1(*p); }

/* Full or partial load and store under one name, for loops whose last step is a tail. */
INLINE vreal vload_upto(const real *p, ptrdiff_t n) { return n >= VL ? vload(p) : vload_n(p, n); }
INLINE void vstore_upto(real *p, vreal a, ptrdiff_t n) {
    if (n >= VL)
        vstore(p, a);
    else
        vstore_n(p, a, n);
}

/* The same where n is a constant: VL of whole vectors, so that no tail is made. */
INLINE vreal vload_part(const real *p, ptrdiff_t n) { return n == VL ? vload(p) : vload_n(p, n); }
INLINE void vstore_part(real *p, vreal a, ptrdiff_t n) {
    if (n == VL)
        vstore(p, a);
    else
        vstore_n(p, a, n);
}

/* The same for a loop whose steps all have the same tail: without a branch, where masks are cheap. */
INLINE vreal vload_some(const real *p, ptrdiff_t n) {
    return CK_AVX512 || CK_AVX2 ? vload_n(p, n) : vload_upto(p, n);
}

INLINE vreal vselect(vint mask, vreal a, vreal b) {
#if CK_AVX2 && !CK_DOUBLE
    return (vreal)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask);
#else
    return (vreal)((mask & (vint)a) | (~mask & (vint)b));
#endif
}
INLINE vreal vmax(vreal a, vreal b) { return vselect((a > b) | (a != a), a, b); }
INLINE vreal vmin(vreal a, vreal b) { return vselect((a < b) | (a != a), a, b); }
INLINE vint vint_set1(ireal a) { return a - (vint){0}; }

/* Is a lane of the mask set? */
INLINE int vany(vint mask) {
#if CK_AVX512
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif CK_AVX2
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    ireal any = 0;
    for (ptrdiff_t i = 0; i < VL; i++) any |= mask[i];
    return any != 0;
#endif
}

/* The highest of four values in order: the first of equals, and NaN is above all. */
struct winner {
    vreal value;
    vint index;
};
#if CK_AVX512 && !CK_DOUBLE
/* Does b win over a that comes before it? Neither b <= a nor a NaN. */
INLINE __mmask16 later_wins(vreal a, vreal b) {
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), b, a, _CMP_NLE_UQ);
}
INLINE struct winner highest_of_four(vreal a, vreal b, vreal c, vreal d) {
    const __mmask16 second = later_wins(a, b), fourth = later_wins(c, d);
    const vreal top = _mm512_mask_blend_ps(second, a, b);
    const vreal bottom = _mm512_mask_blend_ps(fourth, c, d);
    const __mmask16 low = later_wins(top, bottom);
    const __m512i three = _mm512_set1_epi32(3);
    __m512i index = _mm512_maskz_set1_epi32(second, 1);
    index = _mm512_mask_set1_epi32(index, low, 2);
    return (struct winner){_mm512_mask_blend_ps(low, top, bottom),
                           (vint)_mm512_mask_mov_epi32(index, low & fourth, three)};
}
#else
INLINE vint later_wins(vreal a, vreal b) { return ~(b <= a) & (a == a); }
INLINE struct winner highest_of_four(vreal a, vreal b, vreal c, vreal d) {
    const vint second = later_wins(a, b), fourth = later_wins(c, d);
    const vreal top = vselect(second, b, a), bottom = vselect(fourth, d, c);
    const vint low = later_wins(top, bottom);
    return (struct winner){vselect(low, bottom, top),
                           (low & (vint_set1(2) - fourth)) | (~low & -second)};
}
#endif

/* The same, in half the steps where the ISA has them; of a NaN it may also note the lane, and give anything. */
#if CK_AVX512 && !CK_DOUBLE
typedef __mmask16 nan_lanes;
INLINE int vany_nan(nan_lanes nans) { return nans != 0; }
/* max_ps takes its second operand of equals, as of 0 and -0. */
INLINE vreal higher_number(vreal a, vreal b) { return _mm512_max_ps(b, a); }
INLINE void note_nans(vreal a, vreal b, nan_lanes *nans) {
    *nans |= _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
}
INLINE struct winner highest_number(vreal a, vreal b, vreal c, vreal d, nan_lanes *nans) {
    const vreal best = higher_number(higher_number(a, b), higher_number(c, d));
    const __mmask16 not_a = _mm512_cmp_ps_mask(best, a, _CMP_NEQ_UQ);
    const __mmask16 is_b = _mm512_cmp_ps_mask(best, b, _CMP_EQ_OQ);
    const __mmask16 is_c = _mm512_cmp_ps_mask(best, c, _CMP_EQ_OQ);
    const __m512i of_two = _mm512_mask_set1_epi32(_mm512_set1_epi32(3), is_c, 2);
    const __m512i of_three = _mm512_mask_set1_epi32(of_two, is_b, 1);
    note_nans(a, b, nans), note_nans(c, d, nans);
    return (struct winner){best, (vint)_mm512_maskz_mov_epi32(not_a, of_three)};
}
#elif defined(__SSE2__) && !CK_AVX512 && !CK_AVX2 && !CK_DOUBLE
typedef vint nan_lanes;
INLINE int vany_nan(nan_lanes nans) { return vany(nans); }
INLINE vreal higher_number(vreal a, vreal b) { return _mm_max_ps(b, a); }
INLINE void note_nans(vreal a, vreal b, nan_lanes *nans) { *nans |= (vint)_mm_cmpunord_ps(a, b); }
INLINE struct winner highest_number(vreal a, vreal b, vreal c, vreal d, nan_lanes *nans) {
    const vreal best = higher_number(higher_number(a, b), higher_number(c, d));
    const vint is_b = best == b, of_two = vint_set1(3) + (best == c);
    note_nans(a, b, nans), note_nans(c, d, nans);
    return (struct winner){best, (best != a) & ((is_b & vint_set1(1)) | (~is_b & of_two))};
}
#else
typedef int nan_lanes;
#define vany_nan(nans) (nans)
#define highest_number(a, b, c, d, nans) ((void)(nans), highest_of_four(a, b, c, d))
#define note_nans(a, b, nans) ((void)(nans))
INLINE vreal higher_number(vreal a, vreal b) { return vselect(later_wins(a, b), b, a); }
#endif

/* A value that stays in a register: without this GCC reads it from memory again at every use. */
INLINE vreal vkept(vreal a) {
#if CK_AVX512
    __asm__("" : "+v"(a));
#elif CK_AVX2
    __asm__("" : "+x"(a));
#endif
    return a;
}
/* Lane i is lane index[i] of the 2 VL lanes of a and b. */
INLINE vreal vshuffle(vreal a, vreal b, vint index) {
#if defined(__clang__)
    vreal c = a;
    for (ptrdiff_t i = 0; i < VL; i++) c[i] = index[i] < VL ? a[index[i]] : b[index[i] - VL];
    return c;
#else
    return __builtin_shuffle(a, b, index);
#endif
}
/* Lane i is lane index[i] of a. */
INLINE vreal vpermute(vreal a, vint index) {
#if defined(__clang__)
    return vshuffle(a, a, index);
#else
    return __builtin_shuffle(a, index);
#endif
}
/* Stage h of a transpose exchanges, between vectors h apart, the lanes whose number has bit h. */
#define LOW_LANE(lane, h) ((lane) & (h) ? VL + (lane) - (h) : (lane))
#define HIGH_LANE(lane, h) ((lane) & (h) ? VL + (lane) : (lane) + (h))
#define TWO_LANES(f, h) f(0, h), f(1, h)
#define FOUR_LANES(f, h) TWO_LANES(f, h), f(2, h), f(3, h)
#define EIGHT_LANES(f, h) FOUR_LANES(f, h), f(4, h), f(5, h), f(6, h), f(7, h)
#define SIXTEEN_LANES(f, h)                                                                        \
    EIGHT_LANES(f, h), f(8, h), f(9, h), f(10, h), f(11, h), f(12, h), f(13, h), f(14, h), f(15, h)
#if CK_VECTOR_BYTES == 64 && !CK_DOUBLE
#define ALL_LANES SIXTEEN_LANES
#elif CK_VECTOR_BYTES == 64 || (CK_VECTOR_BYTES == 32 && !CK_DOUBLE)
#define ALL_LANES EIGHT_LANES
#elif CK_VECTOR_BYTES == 32 || !CK_DOUBLE
#define ALL_LANES FOUR_LANES
#else
#define ALL_LANES TWO_LANES
#endif
#define TRANSPOSE_STAGE(v, h)                                                                      \
    do {                                                                                           \
        if (h >= VL) break;                                                                        \
        const vint low = {ALL_LANES(LOW_LANE, h)}, high = {ALL_LANES(HIGH_LANE, h)};               \
        UNROLLED(i, VL) {                                                                          \
            if (i & h) continue;                                                                   \
            const vreal a = v[i], b = v[i + h];                                                    \
            v[i] = vshuffle(a, b, low);                                                            \
            v[i + h] = vshuffle(a, b, high);                                                       \
        }                                                                                          \
    } while (0)
INLINE void vtranspose(vreal *v) {
    TRANSPOSE_STAGE(v, 1);
    TRANSPOSE_STAGE(v, 2);
    TRANSPOSE_STAGE(v, 4);
    TRANSPOSE_STAGE(v, 8);
}
INLINE vreal vabs(vreal a) { return (vreal)((vint)a & ~(vint)vset1(REAL(-0.0))); }
INLINE vreal vcopysign(vreal magnitude, vreal sign) {
    const vint bit = (vint)vset1(REAL(-0.0));
    return (vreal)(((vint)magnitude & ~bit) | ((vint)sign & bit));
}

/* n lanes of small integers, to and from bytes; lanes beyond are 0. */
#if CK_AVX512 && CK_DOUBLE
INLINE void vstore_bytes_n(uint8_t *p, vint a, ptrdiff_t n) {
    _mm512_mask_cvtepi64_storeu_epi8(p, (__mmask8)((1u << n) - 1), (__m512i)a);
}
INLINE vint vload_bytes_n(const uint8_t *p, ptrdiff_t n) {
    const __m128i bytes = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p);
    return (vint)_mm512_cvtepu8_epi64(bytes);
}
#elif CK_AVX512
INLINE void vstore_bytes_n(uint8_t *p, vint a, ptrdiff_t n) {
    if (n == VL)
        _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)a));
    else
        _mm512_mask_cvtepi32_storeu_epi8(p, (__mmask16)((1u << n) - 1), (__m512i)a);
}
INLINE vint vload_bytes_n(const uint8_t *p, ptrdiff_t n) {
    return (vint)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p));
}
#else
INLINE void vstore_bytes_n(uint8_t *p, vint a, ptrdiff_t n) {
    uint8_t lanes[VL];
#if CK_AVX2 && !CK_DOUBLE
    /* The low bytes of each half to its front, then both fronts side by side. */
    const __m256i low = _mm256_shuffle_epi8((__m256i)a, _mm256_set1_epi32(0x0c080400));
    const __m256i front =
        _mm256_permutevar8x32_epi32(low, _mm256_setr_epi32(0, 4, 0, 0, 0, 0, 0, 0));
    _mm_storel_epi64((__m128i *)lanes, _mm256_castsi256_si128(front));
    if (n == VL) {
        memcpy(p, lanes, sizeof lanes);
        return;
    }
#else
    for (ptrdiff_t i = 0; i < VL; i++) lanes[i] = (uint8_t)a[i];
#endif
    for (ptrdiff_t i = 0; i < n; i++) p[i] = lanes[i];
}
INLINE vint vload_bytes_n(const uint8_t *p, ptrdiff_t n) {
#if CK_AVX2 && !CK_DOUBLE
    if (n == VL) return (vint)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#endif
    vint a = {0};
    for (ptrdiff_t i = 0; i < n; i++) a[i] = p[i];
    return a;
}
#endif
/* A mask whose origin the compiler does not see: GCC 12 ends with an internal error where it narrows
 * comparisons of 64-bit lanes to bytes without an instruction for it. */
INLINE vint vopaque(vint mask) {
#if !CK_AVX512 && !CK_AVX2
    __asm__("" : "+m"(mask));
#endif
    return mask;
}
/* The bytes of a where the mask is set, of b elsewhere. */
INLINE void vselect_bytes(uint8_t *p, vint mask, const uint8_t *a, const uint8_t *b, ptrdiff_t n) {
#if CK_AVX512 || (CK_AVX2 && !CK_DOUBLE)
    const vint of_a = vload_bytes_n(a, n), of_b = vload_bytes_n(b, n);
    vstore_bytes_n(p, (mask & of_a) | (~mask & of_b), n);
#else
    for (ptrdiff_t i = 0; i < n; i++) p[i] = mask[i] ? a[i] : b[i];
#endif
}

/* ((0 + h) + (h/2 + ...)): the same tree for every width of the loop that made the vector. */
INLINE real vreduce_add(vreal a) {
#if (CK_AVX512 || CK_AVX2) && !CK_DOUBLE
#if CK_AVX512
    const __m256 half = _mm512_castps512_ps256(a) + _mm512_extractf32x8_ps(a, 1);
#else
    const __m256 half = (__m256)a;
#endif
    const __m128 quarter = _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1);
    const __m128 pair = quarter + _mm_movehl_ps(quarter, quarter);
    return pair[0] + pair[1];
#else
    real lanes[CK_VECTOR_BYTES / sizeof(real)];
    memcpy(lanes, &a, sizeof lanes);
    for (ptrdiff_t half = VL / 2; half > 0; half /= 2)
        for (ptrdiff_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
#endif
}
INLINE real vreduce_max(vreal a) {
    real max = a[0];
    for (ptrdiff_t i = 1; i < VL; i++) max = a[i] > max || a[i] != a[i] ? a[i] : max;
    return max;
}

/* ---- sizes and shares ----------------------------------------------------------------------- */

INLINE ptrdiff_t min_size(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t max_size(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
INLINE ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t b) { return ceil_div(a, b) * b; }

/* The share of a rank: items [begin, end) of `items` independent ones. Which rank computes an item
 * depends on the team; what is computed for it never does. */
struct share {
    ptrdiff_t begin, end;
};

INLINE struct share share_of(ptrdiff_t items, int rank, int size) {
    const ptrdiff_t each = items / size, rest = items % size;
    const ptrdiff_t begin = rank * each + min_size(rank, rest);
    return (struct share){begin, begin + each + (rank < rest)};
}

#endif
