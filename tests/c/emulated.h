/* emulated.h: the AVX-512 intrinsics that simd.h uses, in AVX2 and plain C, so that the kernels of isa_avx512.c
 * can be tested where the CPU has none. Included before everything else (run.sh avx512); slow.
 *
 * What an instruction does is from Intel's manual (volume 2): masks choose lanes, minimum and maximum
 * give their second operand where lanes are equal or one is NaN, fused products round once.
 */
#ifndef CONVKIT_EMULATED_H
#define CONVKIT_EMULATED_H

#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMULATED static inline __attribute__((always_inline, unused))
#define FOR_LANES(n) for (int i = 0; i < (n); i++)

typedef int e_int16 __attribute__((vector_size(64)));

EMULATED __m512 e_set1_ps(float a) {
    __m512 r;
    FOR_LANES(16) r[i] = a;
    return r;
}
EMULATED __m512d e_set1_pd(double a) {
    __m512d r;
    FOR_LANES(8) r[i] = a;
    return r;
}
EMULATED __m512i e_set1_epi32(int a) {
    e_int16 r;
    FOR_LANES(16) r[i] = a;
    return (__m512i)r;
}
EMULATED __m512 e_fmadd_ps(__m512 a, __m512 b, __m512 c) {
    __m256 x[2], y[2], z[2];
    memcpy(x, &a, 64);
    memcpy(y, &b, 64);
    memcpy(z, &c, 64);
    x[0] = _mm256_fmadd_ps(x[0], y[0], z[0]);
    x[1] = _mm256_fmadd_ps(x[1], y[1], z[1]);
    memcpy(&a, x, 64);
    return a;
}
EMULATED __m512d e_fmadd_pd(__m512d a, __m512d b, __m512d c) {
    __m256d x[2], y[2], z[2];
    memcpy(x, &a, 64);
    memcpy(y, &b, 64);
    memcpy(z, &c, 64);
    x[0] = _mm256_fmadd_pd(x[0], y[0], z[0]);
    x[1] = _mm256_fmadd_pd(x[1], y[1], z[1]);
    memcpy(&a, x, 64);
    return a;
}
EMULATED __m512 e_maskz_loadu_ps(__mmask16 m, const float *p) {
    __m512 r;
    FOR_LANES(16) r[i] = m >> i & 1 ? p[i] : 0;
    return r;
}
EMULATED __m512d e_maskz_loadu_pd(__mmask8 m, const double *p) {
    __m512d r;
    FOR_LANES(8) r[i] = m >> i & 1 ? p[i] : 0;
    return r;
}
EMULATED void e_mask_storeu_ps(float *p, __mmask16 m, __m512 a) {
    FOR_LANES(16) if (m >> i & 1) p[i] = a[i];
}
EMULATED void e_mask_storeu_pd(double *p, __mmask8 m, __m512d a) {
    FOR_LANES(8) if (m >> i & 1) p[i] = a[i];
}
EMULATED __m512 e_sqrt_ps(__m512 a) {
    FOR_LANES(16) a[i] = sqrtf(a[i]);
    return a;
}
EMULATED __m512d e_sqrt_pd(__m512d a) {
    FOR_LANES(8) a[i] = sqrt(a[i]);
    return a;
}
EMULATED __m512 e_max_ps(__m512 a, __m512 b) {
    FOR_LANES(16) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
EMULATED __m512 e_min_ps(__m512 a, __m512 b) {
    FOR_LANES(16) a[i] = a[i] < b[i] ? a[i] : b[i];
    return a;
}
EMULATED int e_cmp1(float a, float b, int k) {
    switch (k) {
    case _CMP_UNORD_Q: return a != a || b != b;
    case _CMP_ORD_Q: return !(a != a || b != b);
    case _CMP_NEQ_UQ: return !(a == b);
    case _CMP_EQ_OQ: return a == b;
    case _CMP_NLE_UQ: return !(a <= b);
    default: __builtin_trap();
    }
}
EMULATED __mmask16 e_cmp_ps_mask(__m512 a, __m512 b, int k) {
    __mmask16 m = 0;
    FOR_LANES(16) m |= (__mmask16)(e_cmp1(a[i], b[i], k) << i);
    return m;
}
EMULATED __m512 e_mask_blend_ps(__mmask16 m, __m512 a, __m512 b) {
    FOR_LANES(16) a[i] = m >> i & 1 ? b[i] : a[i];
    return a;
}
EMULATED __m512i e_mask_mov_epi32(__m512i s, __mmask16 m, __m512i a) {
    e_int16 x = (e_int16)s, y = (e_int16)a;
    FOR_LANES(16) if (m >> i & 1) x[i] = y[i];
    return (__m512i)x;
}
EMULATED __mmask16 e_test_epi32_mask(__m512i a, __m512i b) {
    e_int16 x = (e_int16)a & (e_int16)b;
    __mmask16 m = 0;
    FOR_LANES(16) m |= (__mmask16)((x[i] != 0) << i);
    return m;
}
EMULATED __m512 e_scalef_ps(__m512 a, __m512 b) {
    FOR_LANES(16)
    a[i] = a[i] != a[i] || b[i] != b[i] ? a[i] + b[i]
                                        : ldexpf(a[i], (int)floorf(b[i] > 1000    ? 1000
                                                                   : b[i] < -1000 ? -1000
                                                                                  : b[i]));
    return a;
}
EMULATED __m512 e_cvtepi32_ps(__m512i a) {
    __m512 r;
    e_int16 x = (e_int16)a;
    FOR_LANES(16) r[i] = (float)x[i];
    return r;
}
EMULATED __m128i e_cvtepi32_epi8(__m512i a) {
    e_int16 x = (e_int16)a;
    unsigned char r[16];
    FOR_LANES(16) r[i] = (unsigned char)x[i];
    __m128i v;
    memcpy(&v, r, 16);
    return v;
}
EMULATED void e_mask_cvtepi32_storeu_epi8(void *p, __mmask16 m, __m512i a) {
    e_int16 x = (e_int16)a;
    FOR_LANES(16) if (m >> i & 1)((unsigned char *)p)[i] = (unsigned char)x[i];
}
EMULATED void e_mask_cvtepi64_storeu_epi8(void *p, __mmask8 m, __m512i a) {
    FOR_LANES(8) if (m >> i & 1)((unsigned char *)p)[i] = (unsigned char)a[i];
}
EMULATED __m512i e_cvtepu8_epi32(__m128i a) {
    unsigned char r[16];
    memcpy(r, &a, 16);
    e_int16 x;
    FOR_LANES(16) x[i] = r[i];
    return (__m512i)x;
}
EMULATED __m512i e_cvtepu8_epi64(__m128i a) {
    unsigned char r[16];
    memcpy(r, &a, 16);
    __m512i x;
    FOR_LANES(8) x[i] = r[i];
    return x;
}
EMULATED __m128i e_maskz_loadu_epi8(__mmask16 m, const void *p) {
    unsigned char r[16];
    FOR_LANES(16) r[i] = m >> i & 1 ? ((const unsigned char *)p)[i] : 0;
    __m128i v;
    memcpy(&v, r, 16);
    return v;
}
EMULATED __m256 e_half(__m512 a, int k) {
    __m256 r;
    memcpy(&r, (char *)&a + 32 * k, 32);
    return r;
}
#define _mm512_set1_ps e_set1_ps
#define _mm512_set1_pd e_set1_pd
#define _mm512_set1_epi32 e_set1_epi32
#define _mm512_fmadd_ps e_fmadd_ps
#define _mm512_fmadd_pd e_fmadd_pd
#define _mm512_maskz_loadu_ps e_maskz_loadu_ps
#define _mm512_maskz_loadu_pd e_maskz_loadu_pd
#define _mm512_mask_storeu_ps e_mask_storeu_ps
#define _mm512_mask_storeu_pd e_mask_storeu_pd
#define _mm512_sqrt_ps e_sqrt_ps
#define _mm512_sqrt_pd e_sqrt_pd
#define _mm512_max_ps e_max_ps
#define _mm512_min_ps e_min_ps
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask e_cmp_ps_mask
#undef _mm512_mask_cmp_ps_mask
#define _mm512_mask_cmp_ps_mask(m, a, b, k) ((__mmask16)((m) & e_cmp_ps_mask(a, b, k)))
#define _mm512_mask_blend_ps e_mask_blend_ps
#define _mm512_mask_mov_epi32 e_mask_mov_epi32
#define _mm512_maskz_mov_epi32(m, a) e_mask_mov_epi32((__m512i){0}, m, a)
#define _mm512_mask_set1_epi32(s, m, a) e_mask_mov_epi32(s, m, e_set1_epi32(a))
#define _mm512_maskz_set1_epi32(m, a) e_mask_mov_epi32((__m512i){0}, m, e_set1_epi32(a))
#define _mm512_test_epi32_mask e_test_epi32_mask
#define _mm512_scalef_ps e_scalef_ps
#define _mm512_cvtepi32_ps e_cvtepi32_ps
#define _mm512_cvtepi32_epi8 e_cvtepi32_epi8
#define _mm512_mask_cvtepi32_storeu_epi8 e_mask_cvtepi32_storeu_epi8
#define _mm512_mask_cvtepi64_storeu_epi8 e_mask_cvtepi64_storeu_epi8
#define _mm512_cvtepu8_epi32 e_cvtepu8_epi32
#define _mm512_cvtepu8_epi64 e_cvtepu8_epi64
#define _mm_maskz_loadu_epi8 e_maskz_loadu_epi8
#define _mm512_castps512_ps256(a) e_half(a, 0)
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps(a, k) e_half(a, k)
#define _mm512_stream_ps(p, a) (*(__m512 *)(p) = (__m512)(a))
#define _mm512_stream_pd(p, a) (*(__m512d *)(p) = (__m512d)(a))

/* Barriers for the optimizer name registers of 64 bytes. */
#define __asm__(...)

#endif
