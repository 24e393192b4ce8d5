/* isa_avx512.c: AVX-512 F, BW, DQ, VL. */
#define CK_ISA avx512
#define CK_VECTOR_BYTES 64
#define CK_REGISTERS 32
#include "kernels.inc"
